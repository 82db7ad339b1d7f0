"""What the miner's log says, kept for those who show it: the last lines, and the jobs at hand.

A job's way is told by its events (`job.claiming`, `job.executing`, …), whichever thread or device
works on it, so that a view or a metric needs no hold on the threads' own state.
"""

import threading
from collections import deque
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import structlog

KEPT_LINES: Final = 50
_MAX_LINE_CHARS: Final = 4_000
_REPORT: Final = "miner.report"
_SERIOUS: Final = ("warning", "error", "critical")


class _Stage(Enum):
    CLAIMING = "claiming"
    EXECUTING = "executing"
    DELIVERING = "delivering"


_STAGES: Final = {
    "job.claiming": _Stage.CLAIMING,
    "job.executing": _Stage.EXECUTING,
    "job.executed": _Stage.DELIVERING,
}
_ENDS: Final = ("job.settled", "job.lost", "job.failed")


@dataclass(frozen=True, slots=True)
class JobsAtHand:
    """How many jobs this miner has, by what they wait for."""

    claiming: int = 0
    """Claimed, or about to be, and not executed yet."""
    executing: int = 0
    delivering: int = 0
    """Executed; their results are on the way into the chain."""


class EventLog:
    """Remembers what is logged; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, _Stage] = {}
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._serious: deque[str] = deque(maxlen=KEPT_LINES)

    def attach(self, *, silent: bool) -> None:
        """Listen to structlog as it is configured now; `silent` keeps its lines off the screen."""
        *earlier, render = structlog.get_config()["processors"]

        def remember(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
            self.notice(event)
            if silent and event.get("event") == _REPORT:  # whoever shows events shows sums as well
                raise structlog.DropEvent
            line = render(logger, method, event)
            self._keep(str(line), method in _SERIOUS)
            if silent:
                raise structlog.DropEvent
            return line

        structlog.configure(processors=[*earlier, remember])

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, oldest first, as the log renders them."""
        with self._lock:
            return tuple(self._lines)

    @property
    def serious(self) -> tuple[str, ...]:
        """The last lines that were warnings or worse."""
        with self._lock:
            return tuple(self._serious)

    @property
    def jobs(self) -> JobsAtHand:
        """The jobs at this moment."""
        with self._lock:
            stages = list(self._stages.values())
        return JobsAtHand(*(stages.count(stage) for stage in _Stage))

    def notice(self, event: Mapping[str, Any]) -> None:
        """Take one event's fields into account."""
        name, job = event.get("event"), event.get("job")
        if not isinstance(name, str) or not isinstance(job, str):
            return
        with self._lock:
            if name in _ENDS:
                self._stages.pop(job, None)
            elif name == "job.resumed":
                executed = bool(event.get("executed"))
                self._stages[job] = _Stage.DELIVERING if executed else _Stage.CLAIMING
            elif name in _STAGES:
                self._stages[job] = _STAGES[name]

    def _keep(self, line: str, serious: bool) -> None:
        with self._lock:
            self._lines.append(line[:_MAX_LINE_CHARS])
            if serious:
                self._serious.append(line[:_MAX_LINE_CHARS])
