"""The miner as a whole: puts its parts together, starts the threads, reports, ends."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

import structlog

from ..wallet.session import Session
from .config import MinerConfig
from .coordinator import JobCoordinator
from .desk import Desk
from .devices import Device
from .journal import Journal
from .library import Library
from .meter import Meter, Report
from .node_link import BACKOFF_FIRST, BACKOFF_LIMIT, NodeAway, NodeLink
from .rate import TokenBucket
from .solution import Solutions
from .templates import TemplateSource
from .throttle import Throttled
from .worker import Site, Worker

_log = structlog.get_logger(__name__)

REPORT_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1.0
"""How long the end waits for the batch at hand."""


class Miner:
    """One mining process."""

    def __init__(
        self, config: MinerConfig, devices: Sequence[Device], link: NodeLink | None = None
    ) -> None:
        """Prepare; nothing is sent yet. `link` replaces the one to the configured node."""
        self.meter = Meter()
        self.stop = threading.Event()
        self.failed = False
        """Whether it ended by a defect of its own, or for want of devices."""
        self._config = config
        self._devices = tuple(devices)
        self.link = link or NodeLink(config.node, config.token)
        self.templates = TemplateSource(self.link, config.key.public, config.payout_text)
        """What is being mined."""
        self._lock = threading.Lock()
        self._left = len(self._devices)
        self._computing: list[threading.Thread] = []

    @property
    def finished(self) -> bool:
        """Whether no computation is under way any more, so that the process may end normally."""
        return not any(thread.is_alive() for thread in self._computing)

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
                devices=", ".join(device.name for device in self._devices),
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
        config = self._config
        cap = None if config.idle_rate is None else TokenBucket(config.idle_rate)
        coordinator = None if journal is None else self._new_coordinator(journal)
        solutions = Solutions(self.link, config.key, self.templates, self.meter)
        site = Site(
            self.link,
            self.templates,
            solutions,
            self.stop,
            coordinator,
            config.mine_idle,
            cap,
        )
        devices: Sequence[Device] = self._devices
        if config.rate is not None:
            throttle = TokenBucket(config.rate)
            devices = [Throttled(each, throttle, self.stop) for each in devices]
        # Before any thread: each worker makes itself known to the coordinator.
        workers = [
            Worker(site, each, self.meter.device(each.name), config.reopen_after)
            for each in devices
        ]
        self._start("templates", lambda: self.templates.follow(self.stop))
        if coordinator is not None:
            self._start("jobs", coordinator.run)
        for worker in workers:
            self._computing.append(self._start(worker.name, lambda one=worker: self._work(one)))

    def _new_coordinator(self, journal: Journal) -> JobCoordinator:
        config = self._config
        session = Session(self.link, config.params, config.key)
        library = Library(self.link)
        address = config.key.address
        desk = Desk(session, config.worker_text, address, journal, library, self.meter)
        return JobCoordinator(self.link, self.templates, desk, self.stop)

    def _start(self, name: str, body: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._watched, args=(body,), name=name, daemon=True)
        thread.start()
        return thread

    def _watched(self, body: Callable[[], None]) -> None:
        """Run the body of a thread, without which there is no mining."""
        try:
            body()
        except Exception:
            self.failed = True
            self.stop.set()
            _log.exception("miner.failed")

    def _work(self, worker: Worker) -> None:
        if worker.run():
            return
        with self._lock:
            self._left -= 1
            left = self._left
        if left == 0:
            self.failed = True
            self.stop.set()
            _log.error("miner.no_device_left", why="every device was lost; see the lines above")

    def _report_until_stopped(self) -> None:
        report = Report(self.meter, time.monotonic())
        while not self.stop.wait(REPORT_SECONDS):
            _log.info("miner.report", **report.fields(time.monotonic()))
        end = time.monotonic() + STOP_SECONDS
        for thread in self._computing:
            thread.join(max(0.0, end - time.monotonic()))
