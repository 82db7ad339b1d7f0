"""Judges of ops that only move elements: the one cell that a cell of the result comes from."""

from ..ops import Concat, Reshape, Slice, Transpose
from ..tensor_layout import Index
from ..types import Operands
from .base import Demand, Read, one_cell, ravelled, single, unravelled


class Move:
    """A Transpose, Reshape, Slice or Concat."""

    def cell(
        self,
        op: Transpose | Reshape | Slice | Concat,
        operands: Operands,
        index: Index,
        read: Read,
        /,
    ) -> int:
        """Read the cell that was moved here."""
        number, source = _source(op, operands, index[1:])
        whole = source if operands[number].constant else (index[0], *source)
        return int(read(number, one_cell(whole)).reshape(-1)[0])

    def demands(
        self, op: Transpose | Reshape | Slice | Concat, operands: Operands, /
    ) -> tuple[Demand, ...]:
        """One cell of one operand."""
        return tuple(
            Demand(((number, single(operand)),)) for number, operand in enumerate(operands)
        )


def _source(
    op: Transpose | Reshape | Slice | Concat, operands: Operands, index: Index
) -> tuple[int, Index]:
    """Return operand and cell, without the item, that result cell `index` is a copy of."""
    if isinstance(op, Transpose):
        places = dict(zip(op.perm, index, strict=True))
        return 0, tuple(places[axis] for axis in range(len(places)))
    if isinstance(op, Reshape):
        return 0, unravelled(ravelled(index, op.shape), operands[0].type.shape)
    if isinstance(op, Slice):
        moved = op.start + index[op.axis] * op.step
        return 0, (*index[: op.axis], moved, *index[op.axis + 1 :])
    at, number = index[op.axis], 0
    while at >= operands[number].type.shape[op.axis]:
        at -= operands[number].type.shape[op.axis]
        number += 1
    return number, (*index[: op.axis], at, *index[op.axis + 1 :])
