"""How fast to work: a cap on idle mining, and the measured speed that batches are sized by."""

import re
import threading
import time
from collections.abc import Callable
from typing import Final

from ..core.errors import UserError

MAX_RATE: Final = 10**18

_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_RATE: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?([kMGT]?)")
_BURST_SECONDS: Final = 0.25
_FIRST_SPEED: Final = 1e9
_MEMORY: Final = 0.75
"""Weight of the past in the measured speed."""


def parse_rate(text: str) -> int:
    """Read multiply-accumulates per second: "5000000", "5M" or "1.5G". Raises UserError."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"'{text}' is not a rate: write MACs per second, like 500k, 5M or 2G")
    whole, fraction, unit = match.groups()
    digits = fraction or ""
    rate = int(whole + digits) * _UNITS[unit] // 10 ** len(digits)
    if not 1 <= rate <= MAX_RATE:
        raise UserError(f"'{text}' is out of range: a rate is 1 to {MAX_RATE} MACs per second")
    return rate


def format_rate(macs_per_second: float) -> str:
    """Write a speed for people: 5300000.0 → "5.30 MMAC/s"."""
    value = macs_per_second
    for unit in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.3g} {unit}MAC/s"
        value /= 1000
    return f"{value:.4g} TMAC/s"


class TokenBucket:
    """Caps the long-run average of something spent in lumps.

    A lump may be spent whenever the level is not negative, however large it is; the debt is then
    waited for. Idle times save up at most a quarter of a second. Safe to share between threads.
    """

    def __init__(self, rate: int, now: Callable[[], float] = time.monotonic) -> None:
        """Allow `rate` units per second, measured by the clock `now` (seconds)."""
        self.rate: Final = rate
        self._now = now
        self._lock = threading.Lock()
        self._level = 0.0
        self._at = now()

    def delay(self) -> float:
        """Return the seconds until the next lump may be spent; 0 when it may be now."""
        with self._lock:
            self._refill()
            return max(0.0, -self._level / self.rate)

    def spend(self, amount: int) -> None:
        """Take a lump."""
        with self._lock:
            self._refill()
            self._level -= amount

    def _refill(self) -> None:
        now = self._now()
        earned = (now - self._at) * self.rate
        self._level = min(self._level + earned, _BURST_SECONDS * self.rate)
        self._at = now


class SpeedGauge:
    """A running estimate of multiply-accumulates per second of busy time."""

    def __init__(self, like: "SpeedGauge | None" = None) -> None:
        """Assume the speed of `like`, or that of an old core, until something was measured."""
        self._like = like
        self._measured: float | None = None

    @property
    def speed(self) -> float:
        """Multiply-accumulates per second."""
        if self._measured is not None:
            return self._measured
        return _FIRST_SPEED if self._like is None else self._like.speed

    def record(self, macs: int, seconds: float) -> None:
        """Take one measured stretch of work into account."""
        if seconds > 0:
            self._measured = _MEMORY * self.speed + (1 - _MEMORY) * macs / seconds
