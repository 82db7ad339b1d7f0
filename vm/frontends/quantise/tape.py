"""Writing a program and running it at the same time, on calibration data.

Every op is checked and executed when it is added, so whoever adds the next one knows the range the
machine derives for its operands, and the integers they hold in practice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....core.errors import RuleViolation, UserError
from ...ops import Op
from ...program import Program
from ...types import Array, Declaration, DType, Interval, Operand, TensorType
from ..builder import ProgramBuilder, Ref

Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]

_EXACT_K: Final = 4096
"""Sums of so many products of seven-bit operands are below 2²⁴: exact in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A value of the program: what the machine knows of it, and its calibration data."""

    ref: Ref
    operand: Operand
    data: Array
    """(items, *shape), or the constant itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item, as the machine lays it out."""
        return self.operand.type.shape

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.operand.type.dtype

    @property
    def interval(self) -> Interval:
        """Range that the machine derives."""
        return self.operand.interval


class Tape:
    """A program under construction, with the values of all its ops on calibration data."""

    def __init__(self, declared: Declaration, data: Array) -> None:
        """Start from the input's declaration and encoded calibration items."""
        self._builder = ProgramBuilder(declared)
        operand = Operand(declared.type, declared.interval, constant=False)
        self.source = Slot(self._builder.source(), operand, data)

    def constant(self, data: Ints, dtype: DType) -> Slot:
        """Add a constant. Raises UserError where it does not fit the type."""
        stored = data.astype(np.int64)
        ref = self._builder.constant(stored, dtype)
        interval = Interval(int(stored.min()), int(stored.max()))
        operand = Operand(TensorType(dtype, stored.shape), interval, constant=True)
        return Slot(ref, operand, stored.astype(dtype.storage))

    def op(self, build: Callable[..., Op], *reads: Slot) -> Slot:
        """Add an op and run it. Raises UserError where the machine would refuse it."""
        op = build(*range(len(reads)))
        operands = tuple(slot.operand for slot in reads)
        try:
            kind = op.result_type(operands)
            interval = op.result_interval(operands)
        except RuleViolation as error:
            raise UserError(f"does not fit the machine: {error}") from None
        if not interval.within(kind.dtype.interval):
            raise UserError(f"does not fit the machine: results in {interval} could leave {kind}")
        data = op.run(tuple(slot.data for slot in reads), _multiply)
        ref = self._builder.op(build, *(slot.ref for slot in reads))
        return Slot(ref, Operand(kind, interval, constant=False), data)

    def finish(self, output: Slot) -> tuple[Program, bytes]:
        """Return the program that ends in `output`, and its weights."""
        return self._builder.finish(output.ref)


class _BlasProducts:
    """Exact integer products by float32 BLAS, in slices short enough for exact sums."""

    def __call__(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        total = np.zeros((len(a), len(b_t)), np.int32)
        for start in range(0, a.shape[1], _EXACT_K):
            part = slice(start, start + _EXACT_K)
            product = a[:, part].astype(np.float32) @ b_t[:, part].astype(np.float32).T
            total += product.astype(np.int32)
        return total

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        total = np.zeros((len(a), a.shape[1], b_t.shape[1]), np.int32)
        grouped = a.reshape(-1, *b_t.shape[:1], *a.shape[1:])
        for start in range(0, a.shape[2], _EXACT_K):
            part = slice(start, start + _EXACT_K)
            left = grouped[..., part].astype(np.float32)
            right = b_t[..., part].astype(np.float32).swapaxes(-1, -2)
            total += (left @ right).reshape(total.shape).astype(np.int32)
        return total


_multiply: Final = _BlasProducts()
