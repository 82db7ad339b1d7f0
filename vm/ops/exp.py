"""Powers of e below a row's maximum: the numerators of softmax, in integers.

exp(−s·(max − x)) is 2^(−t) with t in units of 2⁻¹⁶: the whole part of t is a shift, the fraction
goes through a table of 2^(−f/256) that is interpolated linearly. The table is defined by integer
roots alone, so there is nothing to transcribe and nothing that could depend on a maths library.
"""

from functools import cache
from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.codec import U32, Value
from ..metering import EXP, Work, wide_traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_dtype, require_items, require_row, row_blocks
from .fixed_point import half_of, require_attribute, require_int64, require_shift

_FRACTION_BITS: Final = 16
_ONE_BITS: Final = 30
"""The table's numbers are in units of 2⁻³⁰."""
_MAX_WHOLE: Final = 32
"""From 2⁻³² on, any peak rounds to 0."""
_MAX_PEAK: Final = 2**16
_MAX_MULTIPLIER: Final = 2**31 - 1


def power(f: int) -> int:
    """Return the integer nearest to 2³⁰ · 2^(−f/256), for f in [0, 256].

    The floor of a square root of a floor is that of the root of the whole, so eight roots in a
    row give the 256th: r = ⌊2³¹ · 2^(−f/256)⌋, whose half, rounded, is the answer.
    """
    root = 1 << (256 * (_ONE_BITS + 1) - f)
    for _ in range(8):
        root = isqrt(root)
    return (root + 1) >> 1


@cache
def _fractions() -> NDArray[np.int64]:
    """Return 2³⁰ · 2^(−t) for each t in [0, 1) in units of 2⁻¹⁶, from the 257 powers."""
    powers = np.array([power(f) for f in range(257)], np.int64)
    drops = (powers[:-1] - powers[1:])[:, None]
    fractions = (powers[:-1, None] - (drops * np.arange(256) >> 8)).reshape(-1)
    fractions.flags.writeable = False
    return fractions


class Exp(Value, frozen=True, tag=23):
    """Softmax numerators of each row of the last dimension: (…, n) int32 to (…, n) int32.

        t = ((max − x)·multiplier + 2^(shift−1)) >> shift, max being the row's largest x
        y = peak · 2^(−t ÷ 2¹⁶), rounded

    For y = peak · exp(−s·(max − x)): multiplier ÷ 2^shift = s · 2¹⁶ ÷ ln 2. In full, with
    n = min(t >> 16, 32), f = (t >> 8) & 255, g = t & 255, T[f] = `power(f)`:
    w = T[f] − ((T[f] − T[f+1])·g >> 8), y = (w·peak + 2^(29+n)) >> (30 + n).
    1 ≤ multiplier < 2³¹, 1 ≤ shift ≤ 62, 1 ≤ peak ≤ 2¹⁶. y is peak where x is the maximum, falls as
    x falls, and is nowhere farther than 0.56 from peak · 2^(−t ÷ 2¹⁶), by trial of every t.
    """

    x: U32
    multiplier: U32
    shift: U32
    peak: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's type."""
        (x,) = operands
        require_items(x, "x")
        require_dtype(x, DType.INT32, "x")
        require_row(x, "x")
        require_attribute("multiplier", self.multiplier, 1, _MAX_MULTIPLIER)
        require_shift(self.shift)
        require_attribute("peak", self.peak, 1, _MAX_PEAK)
        require_int64((x.interval.hi - x.interval.lo) * self.multiplier, half_of(self.shift))
        return x.type

    def result_interval(self, operands: Operands, /) -> Interval:
        """y falls as x does, so it is least where x is lowest and the maximum highest."""
        (x,) = operands
        widest = np.array([x.interval.hi - x.interval.lo], np.int64)
        return Interval(int(self._numerators(widest)[0]), self.peak)

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """A scan, then elementwise through int64 and a table."""
        return wide_traffic(EXP, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Work through blocks of rows, so that the int64 temporaries stay small."""
        (x,) = values
        rows = x.reshape(-1, x.shape[-1])
        result = np.empty(rows.shape, np.int32)
        for block in row_blocks(*rows.shape):
            top = rows[block].max(axis=-1, keepdims=True).astype(np.int64)
            result[block] = self._numerators(top - rows[block])
        return result.reshape(x.shape)

    def _numerators(self, below: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return y from max − x, which is overwritten."""
        below *= self.multiplier
        below += half_of(self.shift)
        below >>= self.shift
        y = _fractions()[below & ((1 << _FRACTION_BITS) - 1)]
        below >>= _FRACTION_BITS
        shift = np.minimum(below, _MAX_WHOLE, out=below)
        shift += _ONE_BITS
        y *= self.peak
        y += np.left_shift(1, shift - 1)
        y >>= shift
        return y
