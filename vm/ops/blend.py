"""The sum of two values quantised differently, quantised anew: residual connections."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import BLEND, Work, wide_traffic
from ..types import Array, DType, Int32, Interval, Operands, TensorType
from .base import Multiply, require_channels, require_constant, require_dtype, require_items
from .broadcast import require_spread, spread_blocks, spread_part
from .fixed_point import (
    half_of,
    magnitude,
    require_clamp,
    require_int64,
    require_per_channel,
    require_shift,
    require_up,
    rescale,
    rescaled_interval,
)


class Blend(Value, frozen=True, tag=21):
    """clamp((x·x_multiplier + y·y_multiplier + (offset << up) + 2^(shift−1)) >> shift, lo, hi).

    x (…, n) and y int8 or int32; y, computed or constant, is spread over x (see `broadcast`). The
    multipliers and the offset are int32 constants of shape (1) or (n), any sign. The result is
    (…, n) of type `dtype`, within which lo ≤ hi lie. 1 ≤ shift ≤ 62, up ≤ 62. The offset carries
    the zeros of encodings that have one.
    """

    x: U32
    x_multiplier: U32
    y: U32
    y_multiplier: U32
    offset: U32
    up: U32
    shift: U32
    dtype: DType
    lo: Int32
    hi: Int32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, x_multiplier, y, y_multiplier, offset."""
        return (self.x, self.x_multiplier, self.y, self.y_multiplier, self.offset)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's shape and the stated type."""
        x, x_multiplier, y, y_multiplier, offset = operands
        constants = {
            "x_multiplier": x_multiplier,
            "y_multiplier": y_multiplier,
            "offset": offset,
        }
        require_items(x, "x")
        for name, constant in constants.items():
            require_constant(constant, name)
        for name, constant in constants.items():
            require_dtype(constant, DType.INT32, name)
        channels = require_channels(x, "x")
        require_spread(y, x)
        for name, constant in constants.items():
            require_per_channel(constant, channels, name)
        require_shift(self.shift)
        require_up(self.up)
        require_clamp(Interval(self.lo, self.hi), self.dtype)
        require_int64(
            magnitude(x.interval) * magnitude(x_multiplier.interval),
            magnitude(y.interval) * magnitude(y_multiplier.interval),
            magnitude(offset.interval) << self.up,
            half_of(self.shift),
        )
        return TensorType(self.dtype, x.type.shape)

    def result_interval(self, operands: Operands, /) -> Interval:
        """Rounding is monotone, so the extremes of the sum give those of the result."""
        x, x_multiplier, y, y_multiplier, offset = operands
        raised = offset.interval.times(Interval(1 << self.up, 1 << self.up))
        wide = x.interval.times(x_multiplier.interval)
        wide = wide.plus(y.interval.times(y_multiplier.interval)).plus(raised)
        return rescaled_interval(wide, self.shift, Interval(self.lo, self.hi))

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise, through int64."""
        return wide_traffic(BLEND, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Work through blocks, so that the int64 temporaries stay small."""
        x, x_multiplier, y, y_multiplier, offset = values
        x_scale, y_scale = x_multiplier.astype(np.int64), y_multiplier.astype(np.int64)
        raised = offset.astype(np.int64) << self.up
        bounds = Interval(self.lo, self.hi)
        result = np.empty(x.shape, self.dtype.storage)
        for block in spread_blocks(x.shape):
            wide = x[block] * x_scale
            wide += spread_part(y, block, x.ndim) * y_scale
            wide += raised
            result[block] = rescale(wide, self.shift, bounds)
        return result
