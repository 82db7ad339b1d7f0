"""What the rescaling ops share: rounding shifts, clamps, and the proof that int64 is wide enough.

Rounding is always half up, towards +∞: 2^(shift−1) is added before an arithmetic shift. Whether an
intermediate could leave int64 is judged by adding up the largest absolute values of its terms, so
the order in which an implementation adds them does not matter.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RuleViolation
from ..limits import MAX_SHIFT, MIN_SHIFT
from ..types import DType, Interval, Operand
from .base import require_shape

_MAX_INT64: Final = 2**63 - 1


def require_attribute(name: str, value: int, lo: int, hi: int) -> None:
    """Refuse an attribute outside [lo, hi]."""
    if not lo <= value <= hi:
        raise RuleViolation("program-attribute", f"{name} {value} is not in [{lo}, {hi}]")


def require_shift(shift: int) -> None:
    """Refuse a rounding shift outside [1, 62]."""
    require_attribute("shift", shift, MIN_SHIFT, MAX_SHIFT)


def require_up(up: int) -> None:
    """Refuse to raise an offset by more than 62 bits."""
    require_attribute("up", up, 0, MAX_SHIFT)


def require_clamp(bounds: Interval, dtype: DType) -> None:
    """Refuse a clamp that is empty or leaves the element type it clamps to."""
    if bounds.lo > bounds.hi or not bounds.within(dtype.interval):
        raise RuleViolation(
            "program-attribute", f"clamp {bounds} is empty or not within {dtype.interval}"
        )


def require_per_channel(operand: Operand, channels: int, name: str) -> None:
    """Refuse any shape but (1), for the whole tensor, and (channels)."""
    if operand.type.shape != (1,):
        require_shape(operand, (channels,), name)


def require_int64(*terms: int) -> None:
    """Refuse a sum of terms, given by their largest absolute values, that could leave int64."""
    if sum(terms) > _MAX_INT64:
        raise RuleViolation("program-overflow", f"an intermediate up to {sum(terms)} exceeds int64")


def magnitude(interval: Interval) -> int:
    """Return the largest absolute value of an interval."""
    return max(abs(interval.lo), abs(interval.hi))


def half_of(shift: int) -> int:
    """Return 2^(shift−1), what rounding adds before a shift of at least 1."""
    return 1 << (shift - 1)


def rescaled_interval(wide: Interval, shift: int, bounds: Interval) -> Interval:
    """Return the range of `rescale`, which is monotone, over a range of wide values."""
    half = half_of(shift)
    return Interval(
        bounds.clamp((wide.lo + half) >> shift), bounds.clamp((wide.hi + half) >> shift)
    )


def rescale(wide: NDArray[np.int64], shift: int, bounds: Interval) -> NDArray[np.int64]:
    """Overwrite wide values with clamp((value + 2^(shift−1)) >> shift, lo, hi); return them."""
    wide += half_of(shift)
    wide >>= shift
    return clamped(wide, bounds)


def clamped(wide: NDArray[np.int64], bounds: Interval) -> NDArray[np.int64]:
    """Overwrite wide values with the nearest ones in bounds; return them."""
    return np.clip(wide, bounds.lo, bounds.hi, out=wide)
