"""One job of this miner, from the claim to the pay, a step for every new block.

Each step looks at the job on the chain and does what its status asks for, so that it makes no
difference whether the miner, the node or the chain was interrupted in between.
"""

import secrets
from enum import Enum

import msgspec
import structlog

from ..consensus.jobs.claims import DECISION_BLOCKS
from ..consensus.prices import claim_bond
from ..core.errors import UserError
from ..core.hashing import HASH_BYTES, Hash
from ..core.units import format_amount
from ..wallet import bodies
from ..wallet.session import EXPIRY_BLOCKS, Sent
from .desk import Desk, Dispatch
from .journal import Entry
from .offers import JobOffer
from .posting import Posting

_log = structlog.get_logger(__name__)


class Step(Enum):
    """What a job needs after a step."""

    WAIT = "wait"
    """The next block."""
    EXECUTE = "execute"
    """To be executed: it is ours and has no result yet."""
    DONE = "done"
    """Nothing more: it was settled."""
    LOST = "lost"
    """Nothing more: it never was ours."""
    FAILED = "failed"
    """Nothing more: we did not deliver. To be left to others."""


class JobLife:
    """A job that was claimed by this miner.

    `step` is called by one thread, which also keeps the journal clear of what has ended.
    """

    def __init__(
        self, desk: Desk, entry: Entry, claim: Sent | None, offer: JobOffer | None = None
    ) -> None:
        """Go on with a journalled job; `claim` is its claim where this process knows it was sent.

        `offer` is the job as it was when this process claimed it.
        """
        self._desk = desk
        self._entry = entry
        self._claim = None if claim is None else Dispatch(desk, claim)
        self._unseen = offer is not None
        self._is_kept = True
        """Whether the journal has the result."""
        self.devices_lost = 0
        """While they executed it."""
        self._give_up_at: int | None = None
        self._commit = Dispatch(desk)
        self._settle = Dispatch(desk)
        self._posting: Posting | None = None
        self.offer: JobOffer | None = offer
        """The job as of the last step."""

    @property
    def job(self) -> Hash:
        """The job's id."""
        return self._entry.job

    @property
    def executed(self) -> bool:
        """Whether there is a result."""
        return bool(self._entry.output)

    @property
    def macs(self) -> int:
        """Multiply-accumulates still to be executed."""
        return 0 if self.offer is None or self.executed else self.offer.macs

    @property
    def unseen_bond(self) -> int:
        """Base units that the claim will stake once it is in a block; 0 afterwards."""
        if self.offer is None or not self._unseen:
            return 0
        return claim_bond(self._desk.params, self.offer.bounty, self.offer.openings)

    def step(self, tip: int) -> Step:
        """Do what the job's status asks for; `tip` is the height of the newest block.

        Raises UserError when the node is away, or the journal cannot be written.
        """
        offer = self.offer = self._desk.job(self.job)
        if offer is None:
            return self._end(Step.LOST, "the chain does not know it any more")
        if offer.openings != self._entry.openings:
            return self._end(Step.FAILED, "the claim has run out or the result was refused")
        self._unseen = self._unseen and offer.status == "submitted"
        ours = offer.worker == self._desk.worker
        match offer.status:
            case "submitted":
                return self._await_assignment(tip)
            case "claimed" if ours:
                return self._hand_in()
            case "committed" if ours:
                return self._reveal()
            case "settled" if ours:
                return self._settled(offer)
            case "claimed" | "committed":
                return self._end(Step.LOST, "another worker was picked")
            case _:
                return self._end(Step.LOST, f"it is {offer.status}")

    def take_result(self, output: bytes, products: tuple[bytes, ...]) -> None:
        """Keep the result on disk; where that is impossible now, again before it is committed to.

        Nothing is executed twice because a disk is full for a while.
        """
        self._entry = msgspec.structs.replace(self._entry, output=output, products=products)
        self._is_kept = False
        try:
            self._keep()
        except UserError as error:
            _log.error("job.unkept", job=self.job.hex(), why=str(error))

    def abandon(self, why: str) -> None:
        """Tell that the job is given up, whatever its status."""
        self._end(Step.FAILED, why)

    def _await_assignment(self, tip: int) -> Step:
        if self._claim is None:  # sent by an earlier process
            if self._give_up_at is None:
                self._give_up_at = tip + EXPIRY_BLOCKS
            if tip < self._give_up_at:
                return Step.WAIT
            return self._end(Step.LOST, "the claim never came through")
        height = self._claim.included_at()
        if height is None:
            if self._claim.started:
                return Step.WAIT
            return self._end(Step.LOST, "the claim was dropped before it was in a block")
        self._unseen = False
        if tip >= height + DECISION_BLOCKS:
            return self._end(Step.LOST, "the claim was not assigned")
        return Step.WAIT

    def _hand_in(self) -> Step:
        if not self.executed:
            return Step.EXECUTE
        self._keep()
        entry = self._entry
        body = bodies.commit_result(self._desk.address, entry.job, entry.output, entry.salt)
        self._commit.ensure("commit", body)
        return Step.WAIT

    def _keep(self) -> None:
        if not self._is_kept:
            self._desk.journal.save(self._entry)
            self._is_kept = True

    def _reveal(self) -> Step:
        entry = self._entry
        if not self.executed:
            return self._end(Step.FAILED, "its result is not in the journal")
        if self._posting is None:
            self._posting = Posting(self._desk, entry.products)
        if self._posting.step():
            body = bodies.settle_job(entry.job, entry.output, entry.salt, self._posting.roots)
            self._settle.ensure("settle", body)
        return Step.WAIT

    def _settled(self, offer: JobOffer) -> Step:
        model = bytes.fromhex(offer.model)
        earned = offer.bounty - self._desk.library.royalties(model, offer.bounty)
        self._desk.meter.add(jobs=1, earned=earned)
        pay = f"{format_amount(earned)} POUW"
        _log.info("job.settled", job=self.job.hex(), macs=offer.macs, earned=pay)
        return Step.DONE

    def _end(self, step: Step, why: str) -> Step:
        _log.warning(f"job.{step.value}", job=self.job.hex(), why=why)
        return step


def new_entry(offer: JobOffer) -> Entry:
    """Return the journal's entry for a job that is about to be claimed."""
    return Entry(offer.hash, offer.openings, secrets.token_bytes(HASH_BYTES))
