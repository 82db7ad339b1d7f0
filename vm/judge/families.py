"""Judges of ops whose cells depend on one cell, one row or one product of rows."""

from typing import Any

from ..ops import Argmax, BatchMatmul, Gather, Lookup, Matmul
from ..tensor_layout import Box, Index
from ..types import Operand, Operands
from .base import Demand, Read, one_cell, row_of, run_on, single, whole_row


class Elementwise:
    """One cell of each operand; operands are spread over the first as in `ops.broadcast`."""

    def cell(self, op: Any, operands: Operands, index: Index, read: Read, /) -> int:
        """Run the op on one number of each."""
        boxes = [one_cell(_spread(operand, index)) for operand in operands]
        return run_on(op, tuple(read(i, box) for i, box in enumerate(boxes)))

    def demands(self, op: Any, operands: Operands, /) -> tuple[Demand, ...]:
        """One cell of each operand."""
        return (Demand(tuple((i, single(operand)) for i, operand in enumerate(operands))),)


def _spread(operand: Operand, index: Index) -> Index:
    """Return which cell of an operand meets cell `index` of the result."""
    lengths = operand.type.shape
    inner = index[len(index) - len(lengths) :]
    cell = tuple(0 if length == 1 else at for at, length in zip(inner, lengths, strict=True))
    return cell if operand.constant else (index[0], *cell)


class Table:
    """A cell and a whole table of 128 entries, which is one leaf."""

    def cell(self, op: Lookup, operands: Operands, index: Index, read: Read, /) -> int:
        """Look the number up."""
        table = operands[1].type.shape
        return run_on(op, (read(0, one_cell(index)), read(1, Box((0,), table))))

    def demands(self, op: Lookup, operands: Operands, /) -> tuple[Demand, ...]:
        """The cell and the table."""
        x, table = operands
        return (Demand(((0, single(x)), (1, table.type.shape))),)


class Row:
    """A whole row of the operand, from which all cells of the result's row follow."""

    def cell(self, op: Any, operands: Operands, index: Index, read: Read, /) -> int:
        """Run the op on the row."""
        (x,) = operands
        leading, at = (index, 0) if isinstance(op, Argmax) else (index[:-1], index[-1])
        return run_on(op, (read(0, row_of(leading, x.type.shape[-1])),), at)

    def demands(self, op: Any, operands: Operands, /) -> tuple[Demand, ...]:
        """One row."""
        return (Demand(((0, whole_row(operands[0])),)),)


class Product:
    """A row of A and a column of B, which is a row of B transposed."""

    def cell(
        self, op: Matmul | BatchMatmul, operands: Operands, index: Index, read: Read, /
    ) -> int:
        """Multiply the two rows."""
        a, b = operands
        k = a.type.shape[-1]
        leading = index[:-2] if isinstance(op, BatchMatmul) else ()
        column = (*(leading[1:] if b.constant else leading), index[-1])
        return run_on(op, (read(0, row_of(index[:-1], k)), read(1, row_of(column, k))))

    def demands(self, op: Matmul | BatchMatmul, operands: Operands, /) -> tuple[Demand, ...]:
        """One row of each."""
        a, b = operands
        return (Demand(((0, whole_row(a)), (1, whole_row(b)))),)


class TableRow:
    """An index, and the cell of the table that it points to."""

    def cell(self, op: Gather, operands: Operands, index: Index, read: Read, /) -> int:
        """Read the index, then the table where it says."""
        row = int(read(0, one_cell(index[:-1])).reshape(-1)[0])
        return int(read(1, one_cell((row, index[-1]))).reshape(-1)[0])

    def demands(self, op: Gather, operands: Operands, /) -> tuple[Demand, ...]:
        """One cell of each."""
        indices, table = operands
        return (Demand(((0, single(indices)), (1, single(table)))),)
