"""Rows of a registered table by their numbers: embeddings."""

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..metering import GATHER, Work, moves
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_constant, require_dims, require_dtype, require_items


class Gather(Value, frozen=True, tag=18):
    """table[indices]: indices (…) int32, table (v, d) int8 or int32, gives (…, d), table's dtype.

    The indices' range must lie in [0, v − 1]: a program that could look past its table is refused.
    """

    indices: U32
    table: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """indices, table."""
        return (self.indices, self.table)

    def result_type(self, operands: Operands, /) -> TensorType:
        """Every index becomes a row of the table."""
        indices, table = operands
        require_items(indices, "indices")
        require_constant(table, "table")
        require_dtype(indices, DType.INT32, "indices")
        rows, columns = require_dims(table, 2, "table")
        if not indices.interval.within(Interval(0, rows - 1)):
            raise RuleViolation(
                "program-range", f"indices in {indices.interval} could leave {rows} rows"
            )
        return TensorType(table.type.dtype, (*indices.type.shape, columns))

    def result_interval(self, operands: Operands, /) -> Interval:
        """What the table declares."""
        return operands[1].interval

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """The rows of each item; the table once, for it must be at hand whole."""
        indices, table = operands
        return moves(GATHER, indices.type.bytes + result.bytes, result, table.type.bytes)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Indices are in range: the input was held to its declaration, all else was derived."""
        indices, table = values
        return np.take(table, indices, axis=0)
