"""What the miner has done so far, counted by the mining thread and reported by another."""

import threading
from dataclasses import dataclass

from ..core.units import format_amount
from .rate import format_rate


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums since the start."""

    useful: int = 0
    """Multiply-accumulates of jobs' products."""
    idle: int = 0
    """Multiply-accumulates of the zero operand."""
    blocks: int = 0
    """Blocks of ours that became the tip."""
    job_blocks: int = 0
    """Those of them that a job's product won."""
    jobs: int = 0
    """Jobs settled."""
    earned: int = 0
    """Base units from settled jobs."""


class Meter:
    """Counts; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """The sums at this moment."""
        with self._lock:
            return self._counts

    def add(
        self,
        useful: int = 0,
        idle: int = 0,
        blocks: int = 0,
        job_blocks: int = 0,
        jobs: int = 0,
        earned: int = 0,
    ) -> None:
        """Add to the sums."""
        with self._lock:
            now = self._counts
            self._counts = Counts(
                now.useful + useful,
                now.idle + idle,
                now.blocks + blocks,
                now.job_blocks + job_blocks,
                now.jobs + jobs,
                now.earned + earned,
            )


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
        self._last, self._at = counts, now
        return {
            "useful": format_rate(useful),
            "idle": format_rate(idle),
            "blocks": counts.blocks,
            "job_blocks": counts.job_blocks,
            "jobs": counts.jobs,
            "earned": f"{format_amount(counts.earned)} POUW",
        }
