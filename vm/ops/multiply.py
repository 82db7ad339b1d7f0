"""Products of two values, element by element: gates, masks, rotations."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import MULTIPLY, Work, wide_traffic
from ..types import Array, DType, Interval, Operands, TensorType
from . import base
from .broadcast import require_spread


class Multiply(Value, frozen=True, tag=22):
    """x · y, element by element: int8 or int32 each, giving int32 of x's shape.

    y, computed or constant, is spread over x (see `broadcast`).
    """

    x: U32
    y: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, y."""
        return (self.x, self.y)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result is int32 and has x's shape."""
        x, y = operands
        base.require_items(x, "x")
        require_spread(y, x)
        return TensorType(DType.INT32, x.type.shape)

    def result_interval(self, operands: Operands, /) -> Interval:
        """The extremes are among the products of the ends."""
        x, y = operands
        return x.interval.times(y.interval)

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise."""
        return wide_traffic(MULTIPLY, operands, result)

    def run(self, values: tuple[Array, ...], multiply: base.Multiply, /) -> Array:
        """Multiply in int32, which every product fits."""
        x, y = values
        return np.multiply(x, y, dtype=np.int32)
