"""Adding a registered vector to every row."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import BIAS, Work, traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import (
    Multiply,
    require_channels,
    require_constant,
    require_dtype,
    require_items,
    require_shape,
)


class Bias(Value, frozen=True, tag=2):
    """x (…, n) int32 plus bias (n) int32 gives (…, n) int32."""

    x: U32
    bias: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, bias."""
        return (self.x, self.bias)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The bias has one number per channel of x; the result has x's type."""
        x, bias = operands
        require_items(x, "x")
        require_constant(bias, "bias")
        require_dtype(x, DType.INT32, "x")
        require_dtype(bias, DType.INT32, "bias")
        require_shape(bias, (require_channels(x, "x"),), "bias")
        return x.type

    def result_interval(self, operands: Operands, /) -> Interval:
        """The sum of both ranges; what the bias declares decides whether it fits int32."""
        x, bias = operands
        return x.interval.plus(bias.interval)

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise."""
        return traffic(BIAS, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Add along the last dimension."""
        x, bias = values
        return np.add(x, bias)
