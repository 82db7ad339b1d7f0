"""The mining thread: tends the jobs at every new block, executes them, mines idly in between."""

import threading
import time
from typing import Final

import structlog

from ..core.errors import RuleViolation, UserError
from ..core.hashing import ZERO_HASH, Hash
from .desk import Desk
from .devices import Device
from .idle import IdleMiner
from .jobs import Jobs
from .life import JobLife
from .meter import Meter
from .mining_products import MiningProducts
from .node_link import NodeAway, NodeLink
from .rate import SpeedGauge
from .solution import Solutions
from .templates import Template, TemplateSource

_log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.2
"""Longest wait before looking at the stop signal again."""
TEND_SECONDS: Final = 5.0
"""Jobs are looked at this often while no block comes."""


class Stopped(Exception):
    """The miner is to end: leaves an execution between two batches."""


class OutOfTime(Exception):
    """The window of the job under execution is over."""


class Worker:
    """What one thread does from start to stop."""

    def __init__(
        self,
        link: NodeLink,
        templates: TemplateSource,
        solutions: Solutions,
        device: Device,
        meter: Meter,
        idle: IdleMiner | None,
        desk: Desk | None,
        stop: threading.Event,
    ) -> None:
        """Mine idly if `idle` is given, take jobs if `desk` is."""
        self._link = link
        self._templates = templates
        self._solutions = solutions
        self._device = device
        self._meter = meter
        self._idle = idle
        self._desk = desk
        self._jobs = None if desk is None else Jobs(desk)
        self._stop = stop
        self._gauge = SpeedGauge()
        self._tended: Hash = ZERO_HASH
        self._tend_at = 0.0

    def run(self) -> None:
        """Work until the stop signal."""
        if self._jobs is not None:
            self._jobs.resume()
        while not self._stop.is_set():
            try:
                self.turn()
            except Stopped:
                return

    def turn(self) -> None:
        """Tend the jobs if there is a new block, then mine one idle batch."""
        template = self._templates.latest
        if template is None or self._link.away:
            self._stop.wait(PAUSE_SECONDS)
            return
        self._solutions.retry()
        try:
            self._tend(template)
        except NodeAway:
            return  # told by the link
        except UserError as error:
            _log.warning("jobs.trouble", why=str(error))
            self._put_off()
        self._mine_idly(self._templates.latest or template)

    def _tend(self, template: Template) -> None:
        jobs, desk = self._jobs, self._desk
        now = time.monotonic()
        if jobs is None or desk is None:
            return
        if template.header.parent == self._tended and now < self._tend_at:
            return
        sent = desk.sent
        jobs.tend(_tip(template))
        if (life := jobs.ready) is not None:
            self._execute(jobs, desk, life)
            template = self._templates.latest or template
            jobs.tend(_tip(template))
        jobs.seek(_tip(template), template.difficulty, self._gauge.speed)
        self._tended = template.header.parent
        self._put_off()
        if desk.sent != sent:
            self._templates.refresh()

    def _put_off(self) -> None:
        self._tend_at = time.monotonic() + TEND_SECONDS

    def _execute(self, jobs: Jobs, desk: Desk, life: JobLife) -> None:
        offer = life.offer
        if offer is None:
            return
        model = desk.library.model(bytes.fromhex(offer.model))
        data = desk.library.input(bytes.fromhex(offer.input))
        first = self._templates.refresh().header.height
        products = MiningProducts(
            self._device,
            self._solutions,
            self._meter,
            self._gauge,
            life.job,
            model.operands,
            desk.params.posted_product_min_k,
            lambda: self._checkpoint(first, offer.window_end),
        )
        _log.info("job.executing", job=offer.id, macs=offer.macs)
        started = time.monotonic()
        try:
            output = model.run(data, products)
        except OutOfTime:
            jobs.give_up(life, "its window is over")
            return
        except RuleViolation as violation:
            jobs.give_up(life, str(violation))
            return
        posted = tuple(products.posted[index] for index in sorted(products.posted))
        life.take_result(output, posted)
        jobs.executed()
        _log.info("job.executed", job=offer.id, seconds=round(time.monotonic() - started, 3))

    def _checkpoint(self, first: int, window_end: int | None) -> Template | None:
        """Return the template for the next rows of a job, if it can name the job.

        Earlier than height `first` the job was not assigned yet. Other jobs are delivered
        meanwhile. Raises Stopped or OutOfTime.
        """
        if self._stop.is_set():
            raise Stopped
        template = self._templates.latest
        if template is None or template.header.height < first:
            return None
        if window_end is not None and template.header.height >= window_end:
            raise OutOfTime
        if not self._link.away:
            self._solutions.retry()
            if template.header.parent != self._tended:
                template = self._deliver(template)
        return template

    def _deliver(self, template: Template) -> Template:
        jobs, desk = self._jobs, self._desk
        if jobs is None or desk is None:
            return template
        sent = desk.sent
        self._tended = template.header.parent
        try:
            jobs.deliver(_tip(template))
            if desk.sent != sent:
                return self._templates.refresh()
        except UserError as error:
            if not isinstance(error, NodeAway):
                _log.warning("jobs.trouble", why=str(error))
        return template

    def _mine_idly(self, template: Template) -> None:
        if self._idle is None or not self._solutions.wanted(template):
            self._templates.wait_change(template, PAUSE_SECONDS)
            return
        delay = self._idle.delay()
        if delay > 0:
            self._templates.wait_change(template, min(delay, PAUSE_SECONDS))
            return
        self._idle.mine(template)


def _tip(template: Template) -> int:
    """Height of the block that a template builds on."""
    return template.header.height - 1
