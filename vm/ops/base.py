"""The rhythm every op follows, and the checks they share.

An op is a canonical value: an integer tag, then value indices and fixed attributes. It answers the
same questions in the same order: what it reads, the type of its result, the range of its result,
what work that is, and the result itself.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RuleViolation
from ..limits import MAX_ROW
from ..metering import Work
from ..types import Array, DType, Interval, Operand, Operands, Shape, TensorType

_BLOCK_ELEMENTS = 2**16
"""Ops that need wide temporaries work on blocks of this size, which stay in the cache."""


class Multiply(Protocol):
    """Multiplies whole operands for an op, slice by slice where k is long."""

    def __call__(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        """Return A·B (m, n) from A (m, k) and B transposed (n, k), exactly."""
        ...

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        """Return (count, m, n) from a (count, m, k) and b_t (parts, n, k), parts dividing count.

        Matrix i of the result is a[i] · b_t[i mod parts] transposed, exactly; k ≤ 16 384.
        """
        ...


class Operation(Protocol):
    """One step of a program."""

    @property
    def reads(self) -> tuple[int, ...]:
        """Value indices of the operands, in the order the other methods get them."""
        ...

    def result_type(self, operands: Operands, /) -> TensorType:
        """Return the result's type, or raise RuleViolation if the operands do not fit."""
        ...

    def result_interval(self, operands: Operands, /) -> Interval:
        """Return a range no result leaves, for operands `result_type` accepted."""
        ...

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Return the metered work."""
        ...

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Return the result for all items; values are within their ranges."""
        ...


def require_items(operand: Operand, name: str) -> None:
    """Refuse an operand that does not vary with the item."""
    if operand.constant:
        raise RuleViolation("program-constant", f"{name} must not be a constant")


def require_constant(operand: Operand, name: str) -> None:
    """Refuse an operand that is computed."""
    if not operand.constant:
        raise RuleViolation("program-constant", f"{name} must be a constant")


def require_dtype(operand: Operand, dtype: DType, name: str) -> None:
    """Refuse an operand of another element type."""
    if operand.type.dtype is not dtype:
        raise RuleViolation(
            "program-dtype", f"{name} must be {dtype.name.lower()}, not {operand.type}"
        )


def require_shape(operand: Operand, shape: Shape, name: str) -> None:
    """Refuse an operand of another shape."""
    if operand.type.shape != shape:
        raise RuleViolation(
            "program-shape", f"{name} must have shape {list(shape)}, not {operand.type}"
        )


def require_channels(operand: Operand, name: str) -> int:
    """Return the length of the operand's last dimension; refuse single numbers."""
    if not operand.type.shape:
        raise RuleViolation("program-shape", f"{name} is one number and has no last dimension")
    return operand.type.shape[-1]


def require_row(operand: Operand, name: str) -> int:
    """Return the length of the rows an op reads whole; refuse single numbers and long rows."""
    length = require_channels(operand, name)
    if length > MAX_ROW:
        raise RuleViolation("program-limits", f"rows of {length} are longer than {MAX_ROW}")
    return length


def require_dims(operand: Operand, dims: int, name: str) -> Shape:
    """Return the operand's shape; refuse another number of dimensions."""
    if len(operand.type.shape) != dims:
        raise RuleViolation(
            "program-shape", f"{name} must have {dims} dimensions, not {operand.type}"
        )
    return operand.type.shape


def require_axis(operand: Operand, axis: int, name: str) -> int:
    """Return the length of dimension `axis` of the operand; refuse one it does not have."""
    if axis >= len(operand.type.shape):
        raise RuleViolation("program-attribute", f"{name} {operand.type} has no axis {axis}")
    return operand.type.shape[axis]


def row_blocks(rows: int, channels: int) -> Iterator[slice]:
    """Yield slices of rows that hold about 2¹⁶ elements each."""
    step = max(1, _BLOCK_ELEMENTS // channels)
    for start in range(0, rows, step):
        yield slice(start, start + step)
