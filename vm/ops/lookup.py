"""Any function of one operand: a registered table with an entry for each of the 128 values.

Operands have seven bits, so a table of 128 entries is every function there is, with no error of its
own: GELU, SiLU, sigmoid, tanh, reciprocals, squares. A table of int32 keeps the precision of the
result for what follows.
"""

import numpy as np

from ...core.codec import U32, Value
from ..limits import LOOKUP_ENTRIES, OPERAND_MIN
from ..metering import LOOKUP, Work, traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import (
    Multiply,
    require_constant,
    require_dtype,
    require_items,
    require_shape,
    row_blocks,
)


class Lookup(Value, frozen=True, tag=5):
    """table[x + 64], element by element: x int8, table (128) int8 or int32; table's dtype."""

    x: U32
    table: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, table."""
        return (self.x, self.table)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's shape and the table's elements."""
        x, table = operands
        require_items(x, "x")
        require_constant(table, "table")
        require_dtype(x, DType.INT8, "x")
        require_shape(table, (LOOKUP_ENTRIES,), "table")
        return TensorType(table.type.dtype, x.type.shape)

    def result_interval(self, operands: Operands, /) -> Interval:
        """What the table declares."""
        return operands[1].interval

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise, by gathering."""
        return traffic(LOOKUP, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Gather in blocks: numpy widens the indices to 64 bits."""
        x, table = values
        flat = x.reshape(-1)
        result = np.empty(flat.shape, table.dtype)
        for block in row_blocks(flat.size, 1):
            result[block] = table[flat[block].astype(np.intp) - OPERAND_MIN]
        return result.reshape(x.shape)
