"""Sums of rows: the denominators of softmax and of averages."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import ROW_SUM, Work, wide_traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_items, require_row


class RowSum(Value, frozen=True, tag=24):
    """Sum over the last dimension, which stays with length 1: (…, n) to (…, 1) int32.

    x is int8 or int32; n times the range of x must fit int32.
    """

    x: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The last dimension shrinks to 1."""
        (x,) = operands
        require_items(x, "x")
        require_row(x, "x")
        return TensorType(DType.INT32, (*x.type.shape[:-1], 1))

    def result_interval(self, operands: Operands, /) -> Interval:
        """n times x's range."""
        (x,) = operands
        return x.interval.sum_of(x.type.shape[-1])

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """One scan."""
        return wide_traffic(ROW_SUM, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Add in int32: the partial sums lie between 0 and the extremes of the whole."""
        (x,) = values
        return np.add.reduce(x, axis=-1, keepdims=True, dtype=np.int32)
