"""The miner on a terminal: one screen that is drawn anew twice a second, gone when it ends.

Log lines are shown inside it, so they cannot tear it. What comes from outside (the node, models,
job ids in the log) is drawn as plain text: no markup, no control characters.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..core.units import format_amount
from .events import JobsAtHand
from .forecast import format_macs, format_seconds, seconds_to_block
from .meter import LONG_SECONDS, SHORT_SECONDS, Meter
from .rate import format_rate
from .sensors import Sensors
from .status import MinerStatus

REFRESHES_PER_SECOND: Final = 2
UNKNOWN: Final = "–"
_MIN_EVENTS: Final = 3
_TIME_CHARS: Final = (11, 19)
"""Where a log line's timestamp has hours, minutes and seconds."""
_DATE_SEPARATOR: Final = 10
_STYLES: Final = {"warning": "yellow", "error": "red", "critical": "red"}
_LONG_IDS: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
"""Whole, they would leave no room for the reasons after them."""
_FRAME_LINES: Final = 2


class LiveView:
    """Draws until stopped, on its own thread."""

    def __init__(
        self,
        meter: Meter,
        status: Callable[[], MinerStatus],
        console: Console | None = None,
        sensors: Sensors | None = None,
    ) -> None:
        """Show on `console`, the terminal behind stderr unless given."""
        self._meter = meter
        self._status = status
        self._console = console or Console(stderr=True)
        self._sensors = sensors or Sensors()
        self._live = Live(
            get_renderable=self.render,
            console=self._console,
            screen=True,
            refresh_per_second=REFRESHES_PER_SECOND,
        )

    def start(self) -> None:
        """Take over the screen."""
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Give the screen back as it was; harmless when repeated."""
        self._live.stop()

    def render(self) -> RenderableType:
        """Return the whole screen as of now."""
        status = self._status()
        width, height = self._console.size
        parts: list[RenderableType] = [
            _title(status),
            self._devices(),
            Panel(_pairs(self._totals(status)), title="this miner", title_align="left"),
            Panel(
                _pairs(self._node(status)), title=Text(_clean(status.node_url)), title_align="left"
            ),
        ]
        used = sum(len(self._console.render_lines(part, pad=False)) for part in parts)
        room = max(_MIN_EVENTS, height - used - _FRAME_LINES - 1)
        events = Group(*(_event(line, width) for line in status.events[-room:]))
        parts.append(Panel(events, title="events", title_align="left", height=room + _FRAME_LINES))
        parts.append(Align.right(Text("Ctrl-C ends in good order", style="dim")))
        return Group(*parts)

    def _devices(self) -> RenderableType:
        table = Table(box=None, expand=True, header_style="bold", pad_edge=True)
        table.add_column("device", no_wrap=True)
        columns = ("useful", "idle", "tickets", "useful share", "°C", "W", "busy")
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True)
        names = tuple(self._meter.by_device)
        for name in names:
            reading = self._sensors.read(name)
            table.add_row(
                Text(_clean(name)),
                *_speeds(self._meter.device(name)),
                _number(reading.celsius),
                _number(reading.watts),
                _percent(reading.utilisation),
            )
        if len(names) != 1:
            table.add_row("all", *_speeds(self._meter), "", "", "", style="bold")
        return Panel(table, title=f"last {SHORT_SECONDS} seconds", title_align="left")

    def _totals(self, status: MinerStatus) -> list[tuple[str, str]]:
        counts, balance = self._meter.counts, status.node.balance
        return [
            ("blocks", f"{counts.blocks:,}, {counts.job_blocks:,} by jobs"),
            ("jobs settled", str(counts.jobs)),
            ("jobs at hand", _at_hand(status.jobs)),
            ("earned by jobs", f"{format_amount(counts.earned)} POUW"),
            ("hot key", UNKNOWN if balance is None else f"{format_amount(balance)} POUW"),
            ("payout", _clean(status.payout)),
        ]

    def _node(self, status: MinerStatus) -> list[tuple[str, str]]:
        node, info = status.node, status.node.info
        difficulty = info.difficulty if info else None
        wait = seconds_to_block(difficulty, self._meter.rates(LONG_SECONDS).macs)
        return [
            ("network", status.params.name),
            ("node", _NODE_WORDS[node.up] + (", synchronising" if info and info.syncing else "")),
            ("tip height", _count(_tip(status))),
            ("peers", _count(info.peers if info else None)),
            ("difficulty", UNKNOWN if difficulty is None else format_macs(difficulty)),
            ("a block every", UNKNOWN if wait is None else f"{format_seconds(wait)} on average"),
        ]


_NODE_WORDS: Final = {True: "answers", False: "away: trying again", None: "asking"}


@dataclass(frozen=True, slots=True)
class Summary:
    """The last words after the screen is given back."""

    meter: Meter
    seconds: float
    serious: tuple[str, ...] = ()
    """Warnings and errors that only the screen has shown."""

    def lines(self) -> list[str]:
        """Return one line of sums, and the last warnings before it."""
        counts, seconds = self.meter.counts, max(self.seconds, 1e-3)
        share = counts.useful / done if (done := counts.useful + counts.idle) else None
        return [
            *self.serious,
            f"mined {format_seconds(self.seconds)} at {format_rate(done / seconds)} on average, "
            f"{_percent(share)} useful: {counts.blocks} blocks ({counts.job_blocks} by jobs), "
            f"{counts.jobs} jobs settled, {format_amount(counts.earned)} POUW earned by jobs",
        ]


def _title(status: MinerStatus) -> Text:
    return Text.assemble(
        ("pouw-miner", "bold"),
        f" on {status.params.name}, since {format_seconds(status.seconds)}",
    )


def _pairs(pairs: list[tuple[str, str]]) -> Table:
    """Lay names and values out in two columns of pairs."""
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in range(2):
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    half = -(-len(pairs) // 2)
    for left, right in zip(pairs[:half], pairs[half:], strict=True):
        grid.add_row(
            Text(left[0], style="dim"), Text(left[1]), Text(right[0], style="dim"), Text(right[1])
        )
    return grid


def _tip(status: MinerStatus) -> int | None:
    """Return the height of the tip, by whatever came from the node last."""
    info, mined = status.node.info, status.template_height
    known = [None if info is None else info.height, None if mined is None else mined - 1]
    return max((height for height in known if height is not None), default=None)


def _at_hand(jobs: JobsAtHand) -> str:
    stages = (
        (jobs.claiming, "claimed"),
        (jobs.executing, "executing"),
        (jobs.delivering, "in delivery"),
    )
    return ", ".join(f"{count} {stage}" for count, stage in stages if count) or "none"


def _speeds(meter: Meter) -> tuple[str, str, str, str]:
    rates = meter.rates()
    return (
        format_rate(rates.useful),
        format_rate(rates.idle),
        f"{rates.tickets:,.0f}/s",
        _percent(rates.useful_share),
    )


def _event(line: str, width: int) -> Text:
    """Return the first line of an event, its timestamp cut down to the time of day."""
    first = line.partition("\n")[0]
    begin, end = _TIME_CHARS
    level = first.split(None, 2)[1:2]
    first = _LONG_IDS.sub(r"\1…", first)
    if first[_DATE_SEPARATOR:begin] == "T":
        first = f"{first[begin:end]} {first.partition(' ')[2]}"
    text = Text(_clean(first), style=_STYLES.get(level[0], "") if level else "", no_wrap=True)
    text.truncate(max(1, width - 4), overflow="ellipsis")
    return text


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.0%}"
