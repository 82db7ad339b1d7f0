"""Choosing the largest entries of each row, in order."""

import numpy as np

from ...core.codec import U32, Value
from ..limits import MAX_DIM
from ..metering import TOP_K, Work, wide_traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_items, require_row, row_blocks
from .fixed_point import require_attribute

_INDEX_BITS = MAX_DIM.bit_length() - 1


class TopK(Value, frozen=True, tag=29):
    """Positions of the k largest of the last dimension: (…, n) int8 or int32 to (…, k) int32.

    Largest first; of equal entries the lower position first. 1 ≤ k ≤ n.
    """

    x: U32
    k: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The last dimension shrinks to k."""
        (x,) = operands
        require_items(x, "x")
        n = require_row(x, "x")
        require_attribute("k", self.k, 1, n)
        return TensorType(DType.INT32, (*x.type.shape[:-1], self.k))

    def result_interval(self, operands: Operands, /) -> Interval:
        """Any position of the last dimension."""
        (x,) = operands
        return Interval(0, x.type.shape[-1] - 1)

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """A selection from n, then a sort of k."""
        return wide_traffic(TOP_K, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Sort unique keys, value descending (~x = −x − 1) above position ascending."""
        (x,) = values
        n = x.shape[-1]
        rows, positions = x.reshape(-1, n), np.arange(n, dtype=np.int64)
        result = np.empty((len(rows), self.k), np.int32)
        for block in row_blocks(*rows.shape):
            keys = ~rows[block].astype(np.int64) << _INDEX_BITS
            keys |= positions
            keys.partition(self.k - 1, axis=-1)
            best = np.sort(keys[:, : self.k], axis=-1)
            result[block] = best & (MAX_DIM - 1)
        return result.reshape(*x.shape[:-1], self.k)
