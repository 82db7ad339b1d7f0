"""The log of a process: one human-readable line per event, on stderr."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

_EVENT_WIDTH: Final = 20


def configure_logs(stream: TextIO | None = None) -> None:
    """Send every structlog event to `stream` (stderr unless given) as one line each."""
    # aiohttp logs a traceback for every malformed request, which any stranger may send.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def render_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Write `timestamp level event key=value …`; a traceback follows on lines of its own."""
    timestamp, level = event.pop("timestamp", ""), event.pop("level", "")
    name, trace = event.pop("event", ""), event.pop("exception", "")
    pairs = " ".join(f"{key}={_plain(value)}" for key, value in event.items())
    line = f"{timestamp} {level:<7} {name:<{_EVENT_WIDTH}} {pairs}".rstrip()
    return f"{line}\n{trace}" if trace else line


def _plain(value: Any) -> str:
    """Quote what would not read as one word: others' text must not forge lines or keys."""
    text = str(value)
    plain = text and text.isprintable() and not any(c in text for c in ' "=')
    return text if plain else repr(text)
