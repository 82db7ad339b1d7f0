"""Rounded division by a computed number: normalising by a row's sum."""

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..metering import DIVIDE, Work, wide_traffic
from ..types import Array, DType, Int32, Interval, Operands, TensorType
from .base import Multiply, require_channels, require_dtype, require_items
from .broadcast import require_spread, spread_blocks, spread_part
from .fixed_point import (
    clamped,
    magnitude,
    require_attribute,
    require_clamp,
    require_int64,
)

_MAX_MULTIPLIER = 2**31 - 1
_MAX_DIVISOR_SHIFT = 30


class Divide(Value, frozen=True, tag=26):
    """clamp(⌊x·multiplier ÷ d + ½⌋, lo, hi) with d = max(y, 1) << shift, element by element.

    x (…, n) int8 or int32; y int32 and never negative, computed or constant, is spread over x (see
    `broadcast`): (…, 1) divides rows. The quotient is exact before rounding half up. The result is
    (…, n) of type `dtype`, within which lo ≤ hi lie. 1 ≤ multiplier < 2³¹, shift ≤ 30.

    A divisor of 0 counts as 1: a sum of rounded terms may be 0 without anybody's fault, and a
    program must have a result for every input.
    """

    x: U32
    y: U32
    multiplier: U32
    shift: U32
    dtype: DType
    lo: Int32
    hi: Int32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, y."""
        return (self.x, self.y)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's shape and the stated type."""
        x, y = operands
        require_items(x, "x")
        require_dtype(y, DType.INT32, "y")
        require_channels(x, "x")
        require_spread(y, x)
        if y.interval.lo < 0:
            raise RuleViolation("program-attribute", f"divisor {y.interval} may be negative")
        require_attribute("multiplier", self.multiplier, 1, _MAX_MULTIPLIER)
        require_attribute("shift", self.shift, 0, _MAX_DIVISOR_SHIFT)
        require_clamp(Interval(self.lo, self.hi), self.dtype)
        largest = self._divisors(y.interval).hi
        require_int64(2 * magnitude(x.interval) * self.multiplier, largest)
        return TensorType(self.dtype, x.type.shape)

    def _divisors(self, y: Interval) -> Interval:
        return Interval(max(y.lo, 1) << self.shift, max(y.hi, 1) << self.shift)

    def result_interval(self, operands: Operands, /) -> Interval:
        """Rounding is monotone in the quotient, whose extremes are among those of the ends."""
        x, y = operands
        bounds, divisors = Interval(self.lo, self.hi), self._divisors(y.interval)
        corners = [
            bounds.clamp((2 * numerator * self.multiplier + divisor) // (2 * divisor))
            for numerator in (x.interval.lo, x.interval.hi)
            for divisor in (divisors.lo, divisors.hi)
        ]
        return Interval(min(corners), max(corners))

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise, by division in int64."""
        return wide_traffic(DIVIDE, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """⌊(2·x·multiplier + d) ÷ 2d⌋ in blocks, so that the int64 temporaries stay small."""
        x, y = values
        bounds = Interval(self.lo, self.hi)
        result = np.empty(x.shape, self.dtype.storage)
        for block in spread_blocks(x.shape):
            divisor = np.maximum(spread_part(y, block, x.ndim), 1).astype(np.int64) << self.shift
            wide = x[block] * np.int64(2 * self.multiplier)
            wide += divisor
            wide //= divisor << 1
            result[block] = clamped(wide, bounds)
        return result
