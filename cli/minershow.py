"""What `pouw-miner` shows while it mines: a live view on terminals, metrics where asked for."""

import os
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final

import click
import structlog

from ..core.errors import UserError
from ..miner.config import MinerConfig
from ..miner.events import EventLog
from ..miner.service import Miner
from ..miner.status import NodeWatch, StatusBoard
from ..miner.view import LiveView, Summary

device_option: Final = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="WHICH",
    help="auto (every usable GPU, else the CPU), all, cpu, cpu:4 (four cores), cuda:0, or several "
    "with commas.",
)


def is_watched() -> bool:
    """Tell whether stderr is a terminal that a view can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def parse_endpoint(text: str) -> tuple[str, int]:
    """Read where metrics are to be served. Raises UserError, also where they cannot be."""
    try:
        from ..miner import metrics  # noqa: PLC0415 - an optional package
    except ImportError:
        raise UserError(
            "--metrics needs prometheus-client: install it with: pip install 'pouw[miner]'"
        ) from None
    return metrics.parse_endpoint(text)


class Show:
    """Everything that watches one miner."""

    def __init__(
        self, config: MinerConfig, miner: Miner, *, live: bool, metrics: tuple[str, int] | None
    ) -> None:
        """Draw on the terminal if `live`; serve metrics at an endpoint (host, port) if given."""
        self._meter = miner.meter
        self._live = live
        self._endpoint = metrics
        self._log = EventLog()
        self._watch = NodeWatch(config.node, config.worker_text)
        self._board = StatusBoard(
            config.params,
            config.payout_text,
            lambda: miner.templates.latest,
            self._watch,
            self._log,
        )

    @contextmanager
    def shown(self) -> Generator[None]:
        """Show the miner while it runs, and a summary after a live view.

        Raises UserError when metrics cannot be served.
        """
        started = time.monotonic()
        with ExitStack() as shown:
            self._serve_metrics(shown)
            if self._live or self._endpoint is not None:
                shown.callback(self._watch.stop)
                self._watch.start()
            self._log.attach(silent=self._live)
            if self._live:
                view = LiveView(self._meter, self._board)
                shown.callback(view.stop)
                view.start()
            yield
        if self._live:
            summary = Summary(self._meter, time.monotonic() - started, self._log.serious)
            click.echo("\n".join(summary.lines()), err=True)

    def _serve_metrics(self, shown: ExitStack) -> None:
        if self._endpoint is None:
            return
        from ..miner.metrics import MetricsServer  # noqa: PLC0415 - an optional package

        server = MetricsServer(self._meter, self._board, *self._endpoint)
        server.start()
        shown.callback(server.stop)
        structlog.get_logger(__name__).info("metrics.serving", url=server.url)
