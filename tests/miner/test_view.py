"""The live view as a terminal shows it."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.genesis import TINY
from pouw.miner.events import JobsAtHand
from pouw.miner.meter import Meter
from pouw.miner.sensors import Sensors
from pouw.miner.status import MinerStatus, NodeInfo, NodeState
from pouw.miner.view import LiveView, Summary
from rich.console import Console

BARE = MinerStatus(TINY, "http://127.0.0.1:9341", "xpouw1payout", 3725.0)
FULL = replace(
    BARE,
    template_height=1_235,
    node=NodeState(True, NodeInfo("tiny", 1_233, 6 * 10**9, 50, 3), 12_500_000_000),
    jobs=JobsAtHand(1, 2, 0),
    events=("2026-11-26T11:39:53.1Z info    block.found          height=1234",),
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def terminal(width: int = 100, height: int = 30) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )


def shown(meter: Meter, status: MinerStatus, console: Console | None = None) -> str:
    console = console or terminal()
    view = LiveView(meter, lambda: status, console, Sensors(Path("/nowhere")))
    with console.capture() as captured:
        console.print(view.render())
    return captured.get()


def line_with(text: str, screen: str) -> str:
    return next(line for line in screen.splitlines() if text in line)


def test_every_device_has_a_line_and_all_have_a_sum() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.device("cpu").add(idle=10**7, tickets=100)
    meter.device("cuda:0").add(useful=3 * 10**7, tickets=300)
    clock.now += 10
    screen = shown(meter, BARE)
    assert "1 MMAC/s" in line_with("cpu", screen) and " 0% " in line_with("cpu", screen)
    assert "3 MMAC/s" in line_with("cuda:0", screen) and "100%" in line_with("cuda:0", screen)
    assert "40/s" in line_with(" all ", screen) and "75%" in line_with(" all ", screen)


def test_one_device_needs_no_sum() -> None:
    meter = Meter()
    meter.device("cpu").add(idle=1)
    assert " all " not in shown(meter, BARE)


def test_totals_and_node() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.add(useful=6 * 10**9, blocks=2_000, job_blocks=3, jobs=4, earned=1_500_000_000)
    clock.now += 20
    screen = shown(meter, FULL)
    for text in (
        "on tiny, since 1 h 2 min",
        "2,000, 3 by jobs",
        "1 claimed, 2 executing",
        "1.5 POUW",
        "12.5 POUW",
        "xpouw1payout",
        "http://127.0.0.1:9341",
        "1,234",
        "6 GMAC",
        "20 s on average",
        "11:39:53 info    block.found",
    ):
        assert text in screen


def test_what_is_unknown_is_a_dash() -> None:
    meter = Meter()
    meter.device("cpu").add(idle=0)
    screen = shown(meter, BARE)
    assert line_with("tip height", screen).count("–") >= 1
    assert line_with("cpu", screen).count("–") == 4, "share, temperature, power, utilisation"
    assert "asking" in screen
    assert "away" in shown(meter, replace(BARE, node=NodeState(False)))


def test_ids_are_cut_so_that_reasons_are_seen() -> None:
    line = f"2026-11-26T11:39:53.1Z warning job.lost job={'0123456789ab' + 52 * 'c'} why='too late'"
    screen = shown(Meter(), replace(BARE, events=(line,)))
    assert "11:39:53 warning job.lost job=0123456789ab… why='too late'" in screen


def test_text_from_outside_is_neither_markup_nor_control() -> None:
    hostile = replace(
        BARE,
        node_url="http://[bold]x[/]\x1b[2J",
        payout="\x1b]0;title\x07",
        events=("2026-11-26T11:39:53.1Z info    [red]event[/red] \x1b[31mx",),
    )
    screen = shown(Meter(), hostile)
    assert "\x1b" not in screen and "\x07" not in screen
    assert "[bold]x[/]" in screen and "[red]event[/red]" in screen


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 50), (60, 24)])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    events = tuple(f"2026-11-26T11:39:53.1Z info    event{i:<3} {'x' * 300}" for i in range(50))
    meter = Meter()
    meter.device("cpu").add(idle=10**9, tickets=10**6)
    lines = shown(meter, replace(FULL, events=events), terminal(width, height)).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("event49" in line for line in lines), "the newest are kept"


@settings(max_examples=30)
@given(st.integers(1, 200), st.integers(1, 60), st.lists(st.text(max_size=40), max_size=4))
def test_no_size_and_no_line_of_log_breaks_it(width: int, height: int, events: list[str]) -> None:
    assert shown(Meter(), replace(FULL, events=tuple(events)), terminal(width, height))


def test_the_screen_is_given_back() -> None:
    console = terminal()
    view = LiveView(Meter(), lambda: BARE, console)
    view.start()
    view.stop()
    view.stop()
    file = console.file
    assert isinstance(file, io.StringIO)
    drawn = file.getvalue()
    assert drawn.count("\x1b[?1049h") == drawn.count("\x1b[?1049l") == 1
    assert drawn.index("\x1b[?1049h") < drawn.index("pouw-miner") < drawn.index("\x1b[?1049l")
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l"), "the cursor is visible"


def test_the_last_words() -> None:
    meter = Meter()
    meter.add(useful=10**9, idle=3 * 10**9, blocks=3, job_blocks=1, jobs=2, earned=5 * 10**8)
    *told, last = Summary(meter, 100.0, ("a warning",)).lines()
    assert told == ["a warning"]
    assert last == (
        "mined 1 min 40 s at 40 MMAC/s on average, 25% useful: 3 blocks (1 by jobs), "
        "2 jobs settled, 0.5 POUW earned by jobs"
    )
    assert "– useful" in Summary(Meter(), 0.0).lines()[-1]
