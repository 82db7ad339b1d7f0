"""The thread of one device: executes ready jobs, mines idly while there is none.

A device that fails gives its job back to the others, and is opened again after a pause.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from ..consensus.jobs.claims import DECISION_BLOCKS
from ..core.errors import RuleViolation, UserError
from ..core.hashing import ZERO_HASH
from .coordinator import PAUSE_SECONDS, JobCoordinator
from .devices import Device, use_one_thread
from .guard import DeviceLost, Guarded
from .idle import IdleMiner
from .life import JobLife
from .meter import Meter
from .mining_products import MiningProducts
from .node_link import NodeLink
from .noised import NoisedOperands
from .offers import JobOffer
from .pace import JobPace
from .rate import SpeedGauge, TokenBucket
from .solution import Solutions
from .templates import Template, TemplateSource

_log = structlog.get_logger(__name__)

STEADY_SECONDS: Final = 600.0
"""A device that worked so long has its chances anew."""


class Stopped(Exception):
    """The miner is to end: leaves an execution between two batches."""


class NotWanted(Exception):
    """The job under execution is over, whatever its result."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the devices of one miner share."""

    link: NodeLink
    templates: TemplateSource
    solutions: Solutions
    stop: threading.Event
    coordinator: JobCoordinator | None
    """None where no jobs are taken."""
    mine_idle: bool
    idle_cap: TokenBucket | None
    """Multiply-accumulates that all devices together may spend on idle mining."""


class Worker:
    """What one device does from start to stop."""

    def __init__(
        self,
        site: Site,
        device: Device,
        meter: Meter,
        reopen_after: Sequence[float],
    ) -> None:
        """Use `device` alone, counted by its `meter`; `reopen_after` see MinerConfig."""
        self._site = site
        self._device = Guarded(device)
        self._meter = meter
        self._reopen_after = reopen_after
        self._failures = 0
        self._opened_at = time.monotonic()
        self._idle = IdleMiner(self._device, site.solutions, meter, site.idle_cap)
        self._gauge = SpeedGauge(like=self._idle.gauge)
        self._pace = JobPace(self._gauge)
        self._noised = NoisedOperands(self._device)
        self._model: str | None = None
        self._awaited = ZERO_HASH
        if site.coordinator is not None:
            site.coordinator.fleet.join(self._pace)

    @property
    def name(self) -> str:
        """The device's name."""
        return self._device.name

    def run(self) -> bool:
        """Work until the stop signal; return False if the device was lost for good before."""
        use_one_thread()
        try:
            while not self._site.stop.is_set():
                try:
                    self.turn()
                except Stopped:
                    return True
                except DeviceLost as loss:
                    if not self._recover(loss):
                        return self._site.stop.is_set()
            return True
        finally:
            self._device.close()

    def turn(self) -> None:
        """Execute one job, or mine one idle batch. Raises Stopped or DeviceLost."""
        site = self._site
        template = site.templates.latest
        if template is None or site.link.away:
            site.stop.wait(PAUSE_SECONDS)
            return
        site.solutions.retry()
        if site.coordinator is not None:
            site.coordinator.await_tended()
            template = site.templates.latest or template
            life = site.coordinator.jobs.next_ready(_tip(template), self._model)
            if life is not None:
                self._execute(site.coordinator, life)
                return
        self._mine_idly(template)

    def _execute(self, coordinator: JobCoordinator, life: JobLife) -> None:
        """Execute a job; unless that is a success, it is given up, or back to other devices."""
        jobs = coordinator.jobs
        try:
            self._execute_offer(coordinator, life)
        except (NotWanted, RuleViolation) as reason:
            jobs.give_up(life, str(reason))
        except UserError as error:
            _log.warning("jobs.trouble", job=life.job.hex(), why=str(error))
            jobs.give_back(life)
            self._site.stop.wait(PAUSE_SECONDS)
        except DeviceLost:
            jobs.device_lost(life)
            raise
        except Stopped:
            raise
        except Exception as defect:  # one job must not end all mining, nor the jobs beside it
            _log.exception("job.defect", job=life.job.hex())
            jobs.give_up(life, str(defect).strip() or type(defect).__name__)

    def _execute_offer(self, coordinator: JobCoordinator, life: JobLife) -> None:
        desk, offer = coordinator.desk, life.offer
        if offer is None:
            return
        model = desk.library.model(bytes.fromhex(offer.model))
        data = desk.library.input(bytes.fromhex(offer.input))
        self._model = offer.model
        products = MiningProducts(
            self._device,
            self._noised,
            self._site.solutions,
            self._meter,
            self._gauge,
            life.job,
            model.operands,
            desk.params,
            lambda: self._checkpoint(coordinator, life, offer),
        )
        _log.info("job.executing", job=offer.id, macs=offer.macs, device=self.name)
        started = time.monotonic()
        output = model.run(data, products)
        seconds = time.monotonic() - started
        self._pace.record(offer.macs, seconds)
        posted = tuple(products.posted[index] for index in sorted(products.posted))
        coordinator.jobs.executed(life, output, posted)
        _log.info("job.executed", job=offer.id, seconds=round(seconds, 3), device=self.name)

    def _checkpoint(
        self, coordinator: JobCoordinator, life: JobLife, offer: JobOffer
    ) -> Template | None:
        """Return the template for the next rows of a job, if it can name the job.

        That is one whose state knows of the assignment. Raises Stopped or NotWanted.
        """
        site = self._site
        if site.stop.is_set():
            raise Stopped
        if not site.link.away:
            site.solutions.retry()
            coordinator.await_tended()
            self._await_successor()
        if not coordinator.jobs.holds(life):
            raise NotWanted("it is not ours any more")
        template = site.templates.latest
        if template is None:
            return None
        height = template.header.height
        if offer.window_end is not None and height >= offer.window_end:
            raise NotWanted("its window is over")
        return template if height > offer.claimed + DECISION_BLOCKS else None

    def _await_successor(self) -> None:
        """Wait, once and briefly, for the template after a block of this miner's own.

        Rows multiplied until then could win nothing any more, and are multiplied only once.
        """
        template = self._site.templates.latest
        if template is None or template.header.parent == self._awaited:
            return
        if self._site.solutions.solved(template):
            self._awaited = template.header.parent
            self._site.templates.wait_change(template, PAUSE_SECONDS)

    def _mine_idly(self, template: Template) -> None:
        site = self._site
        delay = PAUSE_SECONDS
        if site.mine_idle and site.solutions.wanted(template):
            delay = min(self._idle.delay(), PAUSE_SECONDS)
        if delay > 0:
            site.templates.wait_change(template, delay)
            return
        self._idle.mine(template)

    def _recover(self, loss: DeviceLost) -> bool:
        """Open the device again, with longer and longer pauses; return whether it is back."""
        if self._site.coordinator is not None:
            self._site.coordinator.fleet.leave(self._pace)
        self._noised.clear()
        self._idle.forget()
        if time.monotonic() - self._opened_at >= STEADY_SECONDS:
            self._failures = 0
        while self._failures < len(self._reopen_after):
            pause = self._reopen_after[self._failures]
            self._failures += 1
            _log.error("device.lost", device=self.name, why=str(loss), again_in=f"{pause:g} s")
            if self._site.stop.wait(pause):
                return False
            try:
                self._device.reopen()
            except DeviceLost as again:
                loss = again
                continue
            self._opened_at = time.monotonic()
            if self._site.coordinator is not None:
                self._site.coordinator.fleet.join(self._pace)
            _log.info("device.back", device=self.name)
            return True
        _log.error("device.given_up", device=self.name, why=str(loss))
        return False


def _tip(template: Template) -> int:
    """Height of the block that a template builds on."""
    return template.header.height - 1
