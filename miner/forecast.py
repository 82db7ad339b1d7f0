"""What mining can be expected to bring at a speed: mean times and amounts, never a promise.

Finding blocks is a lottery: the time to the next one is exponentially distributed around its mean,
so that a wait of three times the mean is nothing unusual (one in twenty).
"""

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

DAY_SECONDS: Final = 86_400
_UNITS: Final = (("y", 31_557_600), ("d", DAY_SECONDS), ("h", 3_600), ("min", 60), ("s", 1))
_LONGEST_SECONDS: Final = 1e15


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expectations for one speed at one difficulty, without what jobs pay."""

    difficulty: int
    """Expected multiply-accumulates per block."""
    macs_per_s: int
    subsidy: int
    """Base units of new money per block."""
    seconds_to_block: float
    """Mean, at this difficulty."""
    blocks_per_day: float
    """Mean, no more than the whole network finds."""
    base_units_per_day: int
    """Mean, from subsidies alone."""
    too_fast: bool
    """Whether this speed alone outruns the target spacing, so that the difficulty would rise."""

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def forecast(difficulty: int, macs_per_s: int, subsidy: int, target_spacing: int) -> Forecast:
    """Return what `macs_per_s` ≥ 1 is expected to find; `target_spacing` in seconds."""
    seconds = difficulty / macs_per_s
    too_fast = seconds < target_spacing
    per_day = DAY_SECONDS / max(seconds, target_spacing)
    return Forecast(
        difficulty=difficulty,
        macs_per_s=macs_per_s,
        subsidy=subsidy,
        seconds_to_block=seconds,
        blocks_per_day=per_day,
        base_units_per_day=round(per_day * subsidy),
        too_fast=too_fast,
    )


def seconds_to_block(difficulty: int | None, macs_per_second: float) -> float | None:
    """Return the mean time until a block of one's own; None where it is unknown or endless."""
    return difficulty / macs_per_second if difficulty and macs_per_second > 0 else None


def format_seconds(seconds: float) -> str:
    """Write a duration in its two largest units: 3725.0 → "1 h 2 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    left = math.floor(min(seconds, _LONGEST_SECONDS))
    for (name, size), (smaller, part) in pairwise(_UNITS):
        if left >= size:
            whole, rest = divmod(left, size)
            text = f"{whole:,} {name}"
            return f"{text} {rest // part} {smaller}" if rest // part else text
    return f"{left} s"


def format_macs(macs: int) -> str:
    """Write an amount of work: 17179869184 → "17.2 GMAC"."""
    value = macs / 1
    for unit in ("", "k", "M", "G", "T", "P", "E"):
        if value < 999.5:
            return f"{value:.3g} {unit}MAC"
        value /= 1000
    return f"{value:.3g} ZMAC"
