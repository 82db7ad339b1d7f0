"""What is remembered of the log: lines, warnings, and the stage of every job."""

from pathlib import Path

import pytest
import structlog
from pouw.miner.devices import Device
from pouw.miner.events import KEPT_LINES, EventLog, JobsAtHand
from pouw.node.logs import configure_logs
from pouw.tests.miner.harbour import Harbour, Kit
from pouw.tests.miner.test_journey import config, mining, wait


@pytest.mark.parametrize("silent", [True, False])
def test_lines_are_remembered_as_rendered(silent: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    log = EventLog()
    log.attach(silent=silent)
    logger = structlog.get_logger("a")
    logger.info("one", x=1)
    logger.warning("two", why="it is so")
    assert len(log.lines) == 2
    assert "info    one                  x=1" in log.lines[0]
    assert log.serious == (log.lines[1],)
    assert "two" in log.lines[1] and "'it is so'" in log.lines[1]
    printed = capsys.readouterr().err
    assert printed == ("" if silent else f"{log.lines[0]}\n{log.lines[1]}\n")


def test_reports_are_left_out_where_sums_are_shown_anyway() -> None:
    configure_logs()
    log = EventLog()
    log.attach(silent=True)
    structlog.get_logger("a").info("miner.report", blocks=1)
    assert log.lines == ()


def test_a_failure_is_serious_with_its_traceback() -> None:
    configure_logs()
    log = EventLog()
    log.attach(silent=True)
    try:
        raise ZeroDivisionError("oh")
    except ZeroDivisionError:
        structlog.get_logger("a").exception("miner.failed")
    assert "ZeroDivisionError: oh" in log.serious[-1]


def test_memory_is_bounded() -> None:
    configure_logs()
    log = EventLog()
    log.attach(silent=True)
    for number in range(3 * KEPT_LINES):
        structlog.get_logger("a").warning("event", number=number, text="x" * 10_000)
    assert len(log.lines) == len(log.serious) == KEPT_LINES
    assert f"number={3 * KEPT_LINES - 1} " in log.lines[-1]
    assert max(map(len, log.lines)) < 5_000


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["job.claiming"], JobsAtHand(claiming=1)),
        (["job.claiming", "job.executing"], JobsAtHand(executing=1)),
        (["job.claiming", "job.executing", "job.executed"], JobsAtHand(delivering=1)),
        (["job.executed", "job.settled"], JobsAtHand()),
        (["job.claiming", "job.lost"], JobsAtHand()),
        (["job.executing", "job.failed"], JobsAtHand()),
        (["job.passed", "block.found", "job.settled"], JobsAtHand()),
    ],
)
def test_the_stages_of_a_job(events: list[str], expected: JobsAtHand) -> None:
    log = EventLog()
    for name in events:
        log.notice({"event": name, "job": "ab"})
    assert log.jobs == expected


def test_resumed_jobs_are_where_they_were() -> None:
    log = EventLog()
    log.notice({"event": "job.resumed", "job": "ab", "executed": True})
    log.notice({"event": "job.resumed", "job": "cd", "executed": False})
    assert log.jobs == JobsAtHand(claiming=1, delivering=1)


def test_a_real_job_passes_through_every_stage(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    log = EventLog()
    seen: set[JobsAtHand] = set()

    class Witness(EventLog):
        def notice(self, event: object) -> None:
            log.notice(event)  # pyright: ignore[reportArgumentType]
            seen.add(log.jobs)

    configure_logs()
    Witness().attach(silent=True)
    harbour.submit(harbour.register(kit), kit.data)
    with mining(harbour, device, config(tmp_path / "state")) as miner:
        wait(lambda: miner.meter.counts.jobs == 1)
    assert {JobsAtHand(1), JobsAtHand(0, 1), JobsAtHand(0, 0, 1)} <= seen
    assert log.jobs == JobsAtHand()
