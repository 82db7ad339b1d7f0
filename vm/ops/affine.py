"""One multiplier and one offset per channel, of either sign: the affine end of normalisations."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import AFFINE, Work, wide_traffic
from ..types import Array, DType, Int32, Interval, Operands, TensorType
from .base import Multiply, require_channels, require_constant, require_dtype, require_items
from .broadcast import spread_blocks
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


class Affine(Value, frozen=True, tag=28):
    """clamp((x·multiplier + (offset << up) + 2^(shift−1)) >> shift, lo, hi), element by element.

    x (…, n) int8 or int32; multiplier and offset int32 constants of shape (1) or (n), any sign;
    the result is (…, n) of type `dtype`, within which lo ≤ hi lie. 1 ≤ shift ≤ 62, up ≤ 62.
    """

    x: U32
    multiplier: U32
    offset: U32
    up: U32
    shift: U32
    dtype: DType
    lo: Int32
    hi: Int32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, multiplier, offset."""
        return (self.x, self.multiplier, self.offset)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's shape and the stated type."""
        x, multiplier, offset = operands
        require_items(x, "x")
        require_constant(multiplier, "multiplier")
        require_constant(offset, "offset")
        require_dtype(multiplier, DType.INT32, "multiplier")
        require_dtype(offset, DType.INT32, "offset")
        channels = require_channels(x, "x")
        require_per_channel(multiplier, channels, "multiplier")
        require_per_channel(offset, channels, "offset")
        require_shift(self.shift)
        require_up(self.up)
        require_clamp(Interval(self.lo, self.hi), self.dtype)
        require_int64(
            magnitude(x.interval) * magnitude(multiplier.interval),
            magnitude(offset.interval) << self.up,
            half_of(self.shift),
        )
        return TensorType(self.dtype, x.type.shape)

    def result_interval(self, operands: Operands, /) -> Interval:
        """Rounding is monotone, so the extremes of the sum give those of the result."""
        x, multiplier, offset = operands
        raised = offset.interval.times(Interval(1 << self.up, 1 << self.up))
        wide = x.interval.times(multiplier.interval).plus(raised)
        return rescaled_interval(wide, self.shift, Interval(self.lo, self.hi))

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise, through int64."""
        return wide_traffic(AFFINE, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Work through blocks, so that the int64 temporaries stay small."""
        x, multiplier, offset = values
        scale, raised = multiplier.astype(np.int64), offset.astype(np.int64) << self.up
        bounds = Interval(self.lo, self.hi)
        result = np.empty(x.shape, self.dtype.storage)
        for block in spread_blocks(x.shape):
            wide = x[block] * scale
            wide += raised
            result[block] = rescale(wide, self.shift, bounds)
        return result
