"""What the miner has done so far, counted by the mining threads and reported by others.

A meter for the whole process hands out one meter per device; what is added to a device's is in the
total as well.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ..core.units import format_amount
from .rate import format_rate

SHORT_SECONDS: Final = 10
LONG_SECONDS: Final = 60
"""Windows that recent rates are told over; none longer than LONG_SECONDS is remembered."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums since the start."""

    useful: int = 0
    """Multiply-accumulates of jobs' products."""
    idle: int = 0
    """Multiply-accumulates of the zero operand."""
    tickets: int = 0
    """Tickets drawn: one per tile of a product that was mined."""
    blocks: int = 0
    """Blocks of ours that became the tip."""
    job_blocks: int = 0
    """Those of them that a job's product won."""
    jobs: int = 0
    """Jobs settled."""
    earned: int = 0
    """Base units from settled jobs."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Recent speeds, each per second."""

    useful: float
    """Multiply-accumulates of jobs' products."""
    idle: float
    """Multiply-accumulates of the zero operand."""
    tickets: float

    @property
    def macs(self) -> float:
        """Multiply-accumulates of both kinds."""
        return self.useful + self.idle

    @property
    def useful_share(self) -> float | None:
        """Part of the work that served a job, 0 to 1; None where nothing was done."""
        return self.useful / self.macs if self.macs else None


class Meter:
    """Counts; safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at zero; `clock` is in seconds."""
        self._lock: threading.Lock = threading.Lock()
        self._clock = clock
        self._started = clock()
        self._counts = Counts()
        # (whole second, sums at its end); the first entry is the newest from before the window
        self._history: deque[tuple[int, Counts]] = deque()
        self._devices: dict[str, Meter] = {}
        self._whole: Meter | None = None

    @property
    def counts(self) -> Counts:
        """The sums at this moment."""
        with self._lock:
            return self._counts

    @property
    def by_device(self) -> Mapping[str, Counts]:
        """The sums of every device that was asked for, in that order."""
        return MappingProxyType(self.snapshot()[1])

    def snapshot(self) -> tuple[Counts, dict[str, Counts]]:
        """Return total and devices' sums of one and the same moment."""
        with self._lock:
            return self._counts, {name: own._counts for name, own in self._devices.items()}

    def device(self, name: str) -> "Meter":
        """Return the meter of one device; what is added to it counts here, too."""
        with self._lock:
            own = self._devices.get(name)
            if own is None:
                own = self._devices[name] = Meter(self._clock)
                # One lock for all, so that a total never lags behind its parts.
                own._lock, own._whole = self._lock, self
            return own

    def add(
        self,
        useful: int = 0,
        idle: int = 0,
        tickets: int = 0,
        blocks: int = 0,
        job_blocks: int = 0,
        jobs: int = 0,
        earned: int = 0,
    ) -> None:
        """Add to the sums."""
        more = Counts(useful, idle, tickets, blocks, job_blocks, jobs, earned)
        with self._lock:
            second = int(self._clock())
            meter: Meter | None = self
            while meter is not None:
                meter._take(more, second)
                meter = meter._whole

    def rates(self, seconds: int = SHORT_SECONDS) -> Rates:
        """Return the speeds of the last `seconds`, at most LONG_SECONDS, or since the start.

        The window begins with a whole second, so it may be up to one longer.
        """
        with self._lock:
            now = self._clock()
            begin = max(int(now - min(seconds, LONG_SECONDS)), self._started)
            before = self._at(begin)
            counts = self._counts
        passed = max(now - begin, 1e-3)
        return Rates(
            (counts.useful - before.useful) / passed,
            (counts.idle - before.idle) / passed,
            (counts.tickets - before.tickets) / passed,
        )

    def _take(self, more: Counts, second: int) -> None:
        had = self._counts
        self._counts = Counts(
            had.useful + more.useful,
            had.idle + more.idle,
            had.tickets + more.tickets,
            had.blocks + more.blocks,
            had.job_blocks + more.job_blocks,
            had.jobs + more.jobs,
            had.earned + more.earned,
        )
        history = self._history
        if history and history[-1][0] >= second:
            history[-1] = (history[-1][0], self._counts)
            return
        history.append((second, self._counts))
        while len(history) > 1 and history[1][0] < second - LONG_SECONDS:
            history.popleft()

    def _at(self, begin: float) -> Counts:
        """Return the sums as they were when the second `begin` began."""
        if begin == self._started:
            return Counts()
        past = Counts()
        for second, counts in self._history:
            if second >= begin:
                break
            past = counts
        return past


class Report:
    """Turns the sums into a line about the time since the line before."""

    def __init__(self, meter: Meter, now: float) -> None:
        self._meter = meter
        self._last = meter.counts
        self._at = now

    def fields(self, now: float) -> dict[str, str | int]:
        """Return the fields of the next line; `now` in seconds."""
        counts, seconds = self._meter.counts, max(now - self._at, 1e-9)
        useful = (counts.useful - self._last.useful) / seconds
        idle = (counts.idle - self._last.idle) / seconds
        tickets = (counts.tickets - self._last.tickets) / seconds
        self._last, self._at = counts, now
        return {
            "useful": format_rate(useful),
            "idle": format_rate(idle),
            "tickets": f"{tickets:.0f}/s",
            "blocks": counts.blocks,
            "job_blocks": counts.job_blocks,
            "jobs": counts.jobs,
            "earned": f"{format_amount(counts.earned)} POUW",
        }
