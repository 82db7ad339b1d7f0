"""From accumulators back to operands: multiply, round, shift, clamp.

The usual fixed-point requantisation (Jacob et al., arXiv 1712.05877, §2.2), with one rounding only:
half is added before an arithmetic shift, so ties go towards +∞. All in int64, never out of range.
"""

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..metering import REQUANTISE, Work, traffic
from ..types import Array, DType, Int32, Interval, Operands, TensorType
from .base import (
    Multiply,
    require_channels,
    require_constant,
    require_dtype,
    require_items,
    row_blocks,
)
from .fixed_point import (
    require_clamp,
    require_per_channel,
    require_shift,
    rescale,
    rescaled_interval,
)


class Requantise(Value, frozen=True, tag=3):
    """clamp((x · multiplier + 2^(shift−1)) >> shift, lo, hi): (…, n) int32 to (…, n) int8.

    `multiplier` is an int32 constant declared positive: one number, shape (1), for the whole tensor
    or n of them, one per channel. 1 ≤ shift ≤ 62; −64 ≤ lo ≤ hi ≤ 63. lo = 0 is a free relu.
    """

    x: U32
    multiplier: U32
    shift: U32
    lo: Int32
    hi: Int32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, multiplier."""
        return (self.x, self.multiplier)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's shape."""
        x, multiplier = operands
        require_items(x, "x")
        require_constant(multiplier, "multiplier")
        require_dtype(x, DType.INT32, "x")
        require_dtype(multiplier, DType.INT32, "multiplier")
        channels = require_channels(x, "x")
        require_per_channel(multiplier, channels, "multiplier")
        if multiplier.interval.lo < 1:
            raise RuleViolation(
                "program-attribute", f"multiplier {multiplier.interval} must be positive"
            )
        require_shift(self.shift)
        require_clamp(Interval(self.lo, self.hi), DType.INT8)
        return TensorType(DType.INT8, x.type.shape)

    def result_interval(self, operands: Operands, /) -> Interval:
        """Rounding is monotone, so the extremes of x·multiplier give those of the result."""
        x, multiplier = operands
        scaled = x.interval.times(multiplier.interval)
        return rescaled_interval(scaled, self.shift, Interval(self.lo, self.hi))

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise, through int64."""
        return traffic(REQUANTISE, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Work through blocks of rows, so that the int64 temporaries stay small."""
        x, multiplier = values
        rows = x.reshape(-1, x.shape[-1])
        wide_multiplier = multiplier.astype(np.int64)
        bounds = Interval(self.lo, self.hi)
        result = np.empty(rows.shape, np.int8)
        for block in row_blocks(*rows.shape):
            result[block] = rescale(rows[block] * wide_multiplier, self.shift, bounds)
        return result.reshape(x.shape)
