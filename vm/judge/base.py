"""What a judge is, and what the judges of all families share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..multiplier import ReferenceMultiplier, matmul_each
from ..ops.base import Operation
from ..tensor_layout import Box, Index
from ..types import Array, Operand, Operands

Read: TypeAlias = Callable[[int, Box], Array]
"""Returns the cells of a box of operand number i of the op; at most one box of each is read."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one judgement reads at most."""

    boxes: tuple[tuple[int, Index], ...]
    """Operand number and lengths of the largest box, items included."""
    steps: int = 1
    """Steps of the op on these boxes, each of a few numpy calls."""


class Judge(Protocol):
    """Judges any cell of one kind of op."""

    def cell(self, op: Any, operands: Operands, index: Index, read: Read, /) -> int:
        """Return the right value of result cell `index` (item first), reading what decides it.

        What is read must lie within the operands' intervals. Boxes are read in a fixed order.
        """
        ...

    def demands(self, op: Any, operands: Operands, /) -> tuple[Demand, ...]:
        """Return the most that a judgement reads, one entry for each way it may go."""
        ...


class _PlainProducts:
    """The few short products of a judgement, in numpy's integers."""

    def __call__(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        return ReferenceMultiplier().matmul(a, b_t)

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        return matmul_each(ReferenceMultiplier(), a, b_t)


_PRODUCTS = _PlainProducts()


def run_on(op: Operation, values: tuple[Array, ...], at: int = 0) -> int:
    """Run an op on a few cells of its operands; return one element of the result, in C order."""
    return int(op.run(values, _PRODUCTS).reshape(-1)[at])


def one_cell(index: Index) -> Box:
    """Return the box of one cell."""
    return Box(index, (1,) * len(index))


def row_of(index: Index, length: int) -> Box:
    """Return the box of the whole row with these leading indices."""
    return Box((*index, 0), (*(1 for _ in index), length))


def dims_of(operand: Operand) -> int:
    """Return the dimensions of an operand as it is stored: items first, unless it is constant."""
    return len(operand.type.shape) + (0 if operand.constant else 1)


def single(operand: Operand) -> Index:
    """Return the lengths of a box of one cell."""
    return (1,) * dims_of(operand)


def whole_row(operand: Operand) -> Index:
    """Return the lengths of a box of one row."""
    return (*(1,) * (dims_of(operand) - 1), operand.type.shape[-1])


def ravelled(index: Index, shape: Index) -> int:
    """Return the number of a cell in C order."""
    flat = 0
    for at, length in zip(index, shape, strict=True):
        flat = flat * length + at
    return flat


def unravelled(flat: int, shape: Index) -> Index:
    """Return the cell with a number in C order; inverse of `ravelled`."""
    index: list[int] = []
    for length in reversed(shape):
        flat, at = divmod(flat, length)
        index.append(at)
    return tuple(reversed(index))
