"""The rectifier."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import RELU, Work, traffic
from ..types import Array, Interval, Operands, TensorType
from .base import Multiply, require_items


class Relu(Value, frozen=True, tag=4):
    """max(x, 0), element by element, on int8 or int32."""

    x: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's type."""
        (x,) = operands
        require_items(x, "x")
        return x.type

    def result_interval(self, operands: Operands, /) -> Interval:
        """Both ends rectified."""
        (x,) = operands
        return Interval(max(x.interval.lo, 0), max(x.interval.hi, 0))

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise."""
        return traffic(RELU, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Take the larger of x and zero."""
        (x,) = values
        return np.maximum(x, x.dtype.type(0))
