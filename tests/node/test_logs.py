"""Log lines: one event, one line, whatever strangers put into the values."""

import io

import pytest
import structlog
from pouw.node.logs import configure_logs, render_line


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> object:
    before = structlog.get_config()
    configure_logs(stream)
    yield structlog.get_logger("test")
    structlog.configure(**before)


def test_a_line_has_time_level_event_and_pairs(log: object, stream: io.StringIO) -> None:
    log.info("chain.tip", height=7, block="ab")  # type: ignore[attr-defined]
    time, level, event, *pairs = stream.getvalue().split()
    assert time.endswith("Z") and time[:4].isdigit()
    assert (level, event, pairs) == ("info", "chain.tip", ["height=7", "block=ab"])


def test_debug_lines_are_left_out(log: object, stream: io.StringIO) -> None:
    log.debug("chain.tip")  # type: ignore[attr-defined]
    assert stream.getvalue() == ""


def test_an_exception_brings_its_traceback(log: object, stream: io.StringIO) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("rpc.failed")  # type: ignore[attr-defined]
    assert "error   rpc.failed" in stream.getvalue()
    assert "ValueError: boom" in stream.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "k=plain"),
        ("two words", "k='two words'"),
        ("line\nbreak", r"k='line\nbreak'"),
        ("\x1b[31m", r"k='\x1b[31m'"),
        ("a=b", "k='a=b'"),
        ("", "k=''"),
        (None, "k=None"),
    ],
)
def test_values_cannot_forge_lines_or_keys(value: object, shown: str) -> None:
    line = render_line(None, "info", {"event": "e", "level": "info", "timestamp": "t", "k": value})
    assert line.endswith(shown)
    assert "\n" not in line
