"""The miner as a whole: puts its parts together, starts the threads, reports, ends."""

import threading
import time
from contextlib import ExitStack
from typing import Final

import structlog

from ..wallet.session import Session
from .config import MinerConfig
from .desk import Desk
from .devices import Device
from .idle import IdleMiner
from .journal import Journal
from .library import Library
from .meter import Meter, Report
from .node_link import BACKOFF_FIRST, BACKOFF_LIMIT, NodeAway, NodeLink
from .solution import Solutions
from .templates import TemplateSource
from .worker import Worker

_log = structlog.get_logger(__name__)

REPORT_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1.0
"""How long the end waits for the batch at hand."""


class Miner:
    """One mining process."""

    def __init__(self, config: MinerConfig, device: Device, link: NodeLink | None = None) -> None:
        """Prepare; nothing is sent yet. `link` replaces the one to the configured node."""
        self.meter = Meter()
        self.stop = threading.Event()
        self.failed = False
        """Whether it ended by a defect of its own."""
        self._config = config
        self._device = device
        self.link = link or NodeLink(config.node, config.token)
        self._worker_thread: threading.Thread | None = None

    @property
    def finished(self) -> bool:
        """Whether no computation is under way any more, so that the process may end normally."""
        return self._worker_thread is None or not self._worker_thread.is_alive()

    def run(self) -> None:
        """Mine until `stop` is set. Raises UserError when it cannot start."""
        config = self._config
        with ExitStack() as opened:
            journal: Journal | None = None
            if config.take_jobs:
                journal = Journal(config.state)
                opened.callback(journal.close)
            if not self._reach_node():
                return
            self._start_threads(journal)
            _log.info(
                "miner.started",
                network=config.params.name,
                device=self._device.name,
                hot_key=config.worker_text,
                payout=config.payout_text,
            )
            self._report_until_stopped()
        _log.info("miner.stopped")

    def _reach_node(self) -> bool:
        """Wait for the node; return whether it was reached before the stop signal."""
        backoff = BACKOFF_FIRST
        while not self.stop.is_set():
            try:
                self.link.require_network(self._config.params)
                return True
            except NodeAway:
                self.stop.wait(backoff)
                backoff = min(2 * backoff, BACKOFF_LIMIT)
        return False

    def _start_threads(self, journal: Journal | None) -> None:
        config, link = self._config, self.link
        templates = TemplateSource(link, config.key.public, config.payout_text)
        solutions = Solutions(link, config.key, templates, self.meter)
        idle: IdleMiner | None = None
        if config.mine_idle:
            idle = IdleMiner(self._device, solutions, self.meter, config.idle_rate)
        desk: Desk | None = None
        if journal is not None:
            session = Session(link, config.params, config.key)
            address = config.key.address
            desk = Desk(session, config.worker_text, address, journal, Library(link), self.meter)
        worker = Worker(link, templates, solutions, self._device, self.meter, idle, desk, self.stop)
        threading.Thread(
            target=templates.follow, args=(self.stop,), name="templates", daemon=True
        ).start()
        self._worker_thread = threading.Thread(
            target=self._work, args=(worker,), name="worker", daemon=True
        )
        self._worker_thread.start()

    def _work(self, worker: Worker) -> None:
        try:
            worker.run()
        except Exception:
            self.failed = True
            self.stop.set()
            _log.exception("miner.failed")

    def _report_until_stopped(self) -> None:
        report = Report(self.meter, time.monotonic())
        while not self.stop.wait(REPORT_SECONDS):
            _log.info("miner.report", **report.fields(time.monotonic()))
        if self._worker_thread is not None:
            self._worker_thread.join(STOP_SECONDS)
