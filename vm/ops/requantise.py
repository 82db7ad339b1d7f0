"""From accumulators back to operands: multiply, round, shift, clamp.

The usual fixed-point requantisation (Jacob et al., arXiv 1712.05877, §2.2), with one rounding only:
half is added before an arithmetic shift, so ties go towards +∞. All in int64, never out of range.
"""

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..limits import MAX_SHIFT, MIN_SHIFT
from ..metering import REQUANTISE, Work, traffic
from ..types import Array, DType, Int32, Interval, Operands, TensorType
from .base import (
    Multiply,
    require_channels,
    require_constant,
    require_dtype,
    require_items,
    require_shape,
    row_blocks,
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
        if multiplier.type.shape != (1,):
            require_shape(multiplier, (channels,), "multiplier")
        if multiplier.interval.lo < 1:
            raise RuleViolation(
                "program-attribute", f"multiplier {multiplier.interval} must be positive"
            )
        self._check_attributes()
        return TensorType(DType.INT8, x.type.shape)

    def _check_attributes(self) -> None:
        if not MIN_SHIFT <= self.shift <= MAX_SHIFT:
            raise RuleViolation(
                "program-attribute", f"shift {self.shift} is not in [{MIN_SHIFT}, {MAX_SHIFT}]"
            )
        bounds = Interval(self.lo, self.hi)
        if self.lo > self.hi or not bounds.within(DType.INT8.interval):
            raise RuleViolation(
                "program-attribute", f"clamp {bounds} is empty or not within {DType.INT8.interval}"
            )

    def result_interval(self, operands: Operands, /) -> Interval:
        """Rounding is monotone, so the extremes of x·multiplier give those of the result."""
        x, multiplier = operands
        scaled = x.interval.times(multiplier.interval)
        half = 1 << (self.shift - 1)
        bounds = Interval(self.lo, self.hi)
        return Interval(
            bounds.clamp((scaled.lo + half) >> self.shift),
            bounds.clamp((scaled.hi + half) >> self.shift),
        )

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise, through int64."""
        return traffic(REQUANTISE, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Work through blocks of rows, so that the int64 temporaries stay small."""
        x, multiplier = values
        rows = x.reshape(-1, x.shape[-1])
        wide_multiplier = multiplier.astype(np.int64)
        result = np.empty(rows.shape, np.int8)
        for block in row_blocks(*rows.shape):
            wide = rows[block] * wide_multiplier
            wide += 1 << (self.shift - 1)
            wide >>= self.shift
            result[block] = np.clip(wide, self.lo, self.hi, out=wide)
        return result.reshape(x.shape)
