"""How long a job takes on these devices: learnt from the jobs before it."""

import threading
from math import inf
from typing import Final, TypeAlias

from .rate import SpeedGauge

_Sums: TypeAlias = tuple[float, ...]
_FIRST_FIXED: Final = 0.02
"""Seconds a job costs however small it is, before any was measured."""
_DOUBT: Final = 0.01
"""Weight of the assumption, against 1 of a measured job."""
_MEMORY: Final = 0.9
"""Weight of the jobs before, each time one is measured."""


class JobPace:
    """Seconds of a job on one device: a fixed part, and a part for each multiply-accumulate.

    A least-squares line through the jobs measured, in relative error, so that small jobs count as
    much as large ones. The gauge's speed stands in where they do not tell.
    """

    def __init__(self, gauge: SpeedGauge) -> None:
        self._gauge = gauge
        self._sums: _Sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._typical: tuple[float, float] | None = None
        """MACs and seconds of the jobs measured, on average."""

    def record(self, macs: int, seconds: float) -> None:
        """Take one executed job into account."""
        seconds = max(seconds, 1e-6)
        terms = _terms(macs, seconds, 1 / seconds**2)
        self._sums = tuple(_MEMORY * old + new for old, new in zip(self._sums, terms, strict=True))
        past = self._typical or (max(macs, 1.0), seconds)
        self._typical = (
            _MEMORY * past[0] + (1 - _MEMORY) * macs,
            _MEMORY * past[1] + (1 - _MEMORY) * seconds,
        )

    def seconds(self, macs: int) -> float:
        """Return the expected duration of a job, with everything around its products."""
        fixed, each = self._line()
        return fixed + each * macs

    def _line(self) -> tuple[float, float]:
        sums, speed = self._sums, max(self._gauge.speed, 1.0)
        usual_macs, usual_seconds = self._typical or (speed, 1.0)
        for macs, seconds in ((0.0, _FIRST_FIXED), (usual_macs, usual_macs / speed)):
            # Near the jobs measured and relative to their time, lest a guess outweigh them.
            weight = _DOUBT / max(seconds, usual_seconds) ** 2
            assumed = _terms(macs, seconds, weight)
            sums = tuple(s + more for s, more in zip(sums, assumed, strict=True))
        s0, s1, s2, r0, r1 = sums
        determinant = s0 * s2 - s1 * s1
        fixed, each = (s2 * r0 - s1 * r1) / determinant, (s0 * r1 - s1 * r0) / determinant
        if fixed < 0:
            return 0.0, r1 / s2
        if each < 0:
            return r0 / s0, 0.0
        return fixed, each


class Fleet:
    """The paces of the devices that work at the moment; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paces: list[JobPace] = []

    @property
    def idle(self) -> bool:
        """Whether no device is there to work."""
        with self._lock:
            return not self._paces

    def join(self, pace: JobPace) -> None:
        """Count a device in."""
        with self._lock:
            if pace not in self._paces:
                self._paces.append(pace)

    def leave(self, pace: JobPace) -> None:
        """Count a device out, as long as it is lost."""
        with self._lock:
            if pace in self._paces:
                self._paces.remove(pace)

    def share(self, macs: int) -> float:
        """Return the seconds that one of many such jobs takes all devices together."""
        rate = sum(1 / max(seconds, 1e-9) for seconds in self._each(macs))
        return 1 / rate if rate else inf

    def slowest(self, macs: int) -> float:
        """Return the seconds of such a job on whichever device is worst for it."""
        return max(self._each(macs), default=inf)

    def _each(self, macs: int) -> list[float]:
        with self._lock:
            return [pace.seconds(macs) for pace in self._paces]


def _terms(macs: float, seconds: float, weight: float) -> _Sums:
    """Return what a job of `macs` adds to Σ of w, w·x, w·x², w·y and w·x·y."""
    return (
        weight,
        weight * macs,
        weight * macs * macs,
        weight * seconds,
        weight * macs * seconds,
    )
