"""All jobs of this miner: one being won or executed, others on their way to be settled."""

from typing import Final

import structlog

from ..consensus import prices
from ..core.codec import MAX_INT
from ..core.errors import RuleViolation, UserError
from ..core.hashing import Hash
from ..core.units import format_amount
from ..vm.tensor import input_items
from ..wallet import bodies
from ..wallet.client import RpcError
from .desk import Desk
from .life import JobLife, Step, new_entry
from .node_link import NodeAway
from .offers import JobOffer, best_first, why_not, why_undeliverable

_log = structlog.get_logger(__name__)

MAX_JOBS: Final = 8
"""Jobs in delivery at once; their bonds are bound until they are settled."""
LISTED_JOBS: Final = 100
RETRY_BLOCKS: Final = 4
"""Blocks after which a job that could not be claimed is looked at again."""
FOR_GOOD: Final = MAX_INT
FEE_RESERVE_KIB: Final = 64
"""KiB of transactions that must stay affordable after a bond: commit, upload, settle."""


class Jobs:
    """Finds, claims and delivers. Methods raise NodeAway when the node is."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._lives: list[JobLife] = []
        self._ready: JobLife | None = None
        self._avoided: dict[Hash, int] = {}
        self._short_of: int | None = None

    def resume(self) -> None:
        """Take up the jobs that an earlier process of this miner has left."""
        for entry in self._desk.journal.load():
            _log.info("job.resumed", job=entry.job.hex(), executed=bool(entry.output))
            self._lives.append(JobLife(self._desk, entry, None))

    @property
    def ready(self) -> JobLife | None:
        """The job that waits to be executed."""
        return self._ready

    def tend(self, tip: int) -> None:
        """Move every job on; `tip` is the height of the newest block."""
        for life in list(self._lives):
            if self._move(life, tip) is Step.EXECUTE:
                self._ready = life

    def deliver(self, tip: int) -> None:
        """Move on the jobs that have a result; the others wait for the execution at hand."""
        for life in [life for life in self._lives if life.executed]:
            self._move(life, tip)

    def give_up(self, life: JobLife, why: str) -> None:
        """Stop working on a job, for good."""
        life.abandon(why)
        self._drop(life, FOR_GOOD)

    def executed(self) -> None:
        """Note that the ready job has its result."""
        self._ready = None

    def seek(self, tip: int, difficulty: int, speed: float) -> None:
        """Claim the best job, unless one is being won or executed, or the hot key is too poor.

        `speed` is this machine's, in multiply-accumulates per second.
        """
        if len(self._lives) >= MAX_JOBS or any(not life.executed for life in self._lives):
            return
        self._avoided = {job: until for job, until in self._avoided.items() if until > tip}
        for offer in best_first(self._desk.jobs("submitted", LISTED_JOBS)):
            if offer.hash in self._avoided:
                continue
            why = why_not(offer, self._desk.params, tip + 1, difficulty, speed)
            if why is None:
                why = self._unfit(offer)
            if why is not None:
                _log.info("job.passed", job=offer.id, why=why)
                self._avoided[offer.hash] = offer.deadline
            elif self._affords(offer):
                self._claim(offer, tip)
                return

    def _move(self, life: JobLife, tip: int) -> Step:
        step = life.step(tip)
        if step is Step.FAILED:
            self._drop(life, FOR_GOOD)
        elif step in (Step.DONE, Step.LOST):
            self._drop(life, tip + RETRY_BLOCKS)
        return step

    def _unfit(self, offer: JobOffer) -> str | None:
        """Return why the job's blobs keep it from being done, having fetched them."""
        library = self._desk.library
        try:
            model = library.model(bytes.fromhex(offer.model))
            data = library.input(bytes.fromhex(offer.input))
            items = input_items(model.checked, len(data))
        except NodeAway:
            raise
        except (RuleViolation, UserError) as error:
            return str(error)
        return why_undeliverable(model, items, self._desk.params)

    def _affords(self, offer: JobOffer) -> bool:
        params = self._desk.params
        bond = prices.claim_bond(params, offer.bounty, offer.openings)
        needed = bond + FEE_RESERVE_KIB * params.min_fee_per_kib
        balance = self._desk.balance()
        if balance >= needed:
            self._short_of = None
            return True
        if self._short_of is None or needed < self._short_of:
            self._short_of = needed
            _log.warning(
                "job.too_poor",
                why=f"a claim takes {format_amount(needed)} POUW (bond and fees), the hot key has "
                f"{format_amount(balance)}: send some to {self._desk.worker}",
            )
        return False

    def _claim(self, offer: JobOffer, tip: int) -> None:
        entry = new_entry(offer)
        self._desk.journal.save(entry)
        try:
            claim = self._desk.send(bodies.claim_job(offer.hash))
        except RpcError as refusal:
            self._desk.journal.remove(offer.hash)
            self._avoided[offer.hash] = tip + RETRY_BLOCKS
            _log.info("job.claim_refused", job=offer.id, why=refusal.message)
            return
        _log.info("job.claiming", job=offer.id, macs=offer.macs, bounty=format_amount(offer.bounty))
        self._lives.append(JobLife(self._desk, entry, claim))

    def _drop(self, life: JobLife, avoid_until: int) -> None:
        self._lives.remove(life)
        self._avoided[life.job] = avoid_until
        if self._ready is life:
            self._ready = None
