"""Jobs that were submitted: where they stand, waiting for them, their answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..wallet.session import Patience, Progress
from .encoding import decode_items
from .models import Model
from .proving import JobRecord, fetch_job, fetch_receipt
from .receipt import Receipt

if TYPE_CHECKING:
    from .client import Client

STAGES: Final = ("submitted", "claimed", "committed", "settled")
"""A job's way, as far as all goes well."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the network computed, and the proof of it."""

    output: NDArray[Any]
    """Like the input: one item's answer, or the items first. Floats where the model's card tells
    what its integers stand for, else the integers."""
    raw: NDArray[Any]
    """The integers that are on the chain, int8 or int32."""
    receipts: tuple[Receipt, ...]
    """One for each job, in the order of the items."""

    @property
    def receipt(self) -> Receipt:
        """The receipt of an answer from one job. Raises UserError when there are several."""
        if len(self.receipts) != 1:
            raise UserError(f"the answer comes from {len(self.receipts)} jobs: use .receipts")
        return self.receipts[0]

    @property
    def cost(self) -> int:
        """What it all cost, in base units."""
        return sum(receipt.cost.total for receipt in self.receipts)

    def part(self, start: int, stop: int, single: bool) -> "Answer":
        """Return the answer for some of the items; the receipts stay those of the whole jobs."""
        return Answer(
            _cut(self.output, start, stop, single),
            _cut(self.raw, start, stop, single),
            self.receipts,
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """One job as its owner's program knows it."""

    id: str
    model: str | None = None
    """Id of the model that was asked; None where another program asked."""
    input: str | None = None
    """Blob root of the input that was sent; None where another program sent it."""
    fees: int | None = None
    """Base units that were paid for uploads and submission; None likewise."""


@dataclass(frozen=True, slots=True)
class JobHandle:
    """One job, or several that together answer one run.

    It outlives its program: `client.job(*ids)` makes it anew from the ids.
    """

    jobs: tuple[Submitted, ...]
    client: "Client" = field(repr=False)
    single: bool = False
    """Whether the answer is one item's, without a dimension for the items."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The jobs' ids, in the order of the items."""
        return tuple(job.id for job in self.jobs)

    @property
    def id(self) -> str:
        """The id of a single job. Raises UserError when there are several."""
        if len(self.jobs) != 1:
            raise UserError(f"the run has {len(self.jobs)} jobs: use .ids")
        return self.jobs[0].id

    def states(self) -> tuple[JobRecord, ...]:
        """Return where each job stands. Raises UserError."""
        return tuple(fetch_job(self.client.rpc, job.id) for job in self.jobs)

    def status(self) -> str:
        """Return the status of the job that is least far; an end without result comes first.

        "submitted", "claimed", "committed", "settled", "expired" or "cancelled". Raises UserError.
        """
        return joint_status(self.states())

    def wait(self, timeout: float | None = None) -> str:
        """Wait until all jobs are settled, or one has ended without a result; return the status.

        `timeout` in seconds, the client's without one. Raises UserError when it is over, saying
        how to go on; the jobs run on. So does a KeyboardInterrupt, in a note.
        """
        with self.client.watched() as progress:
            patience = self.client.patience(timeout)
            try:
                return self._follow(progress, patience)
            except UserError as error:
                raise UserError(f"{error}; {self.advice}") from None
            except KeyboardInterrupt as interrupt:
                interrupt.add_note(self.advice)
                raise

    def result(self, timeout: float | None = None) -> Answer:
        """Wait for the answer and return it, verified.

        Raises UserError when there is none: the jobs have expired or were cancelled, time is over,
        or the node cannot prove what it answers.
        """
        status = self.wait(timeout)
        if status != "settled":
            raise UserError(self.failure(status))
        return self.collect()

    def collect(self) -> Answer:
        """Return the answer of settled jobs, verified. Raises UserError."""
        rpc, params = self.client.rpc, self.client.params
        first = self.jobs[0]
        model = self.client.model(first.model or fetch_job(rpc, first.id).model)
        receipts: list[Receipt] = []
        for job in self.jobs:
            receipt = fetch_receipt(rpc, params, model, job.id, job.fees)
            if job.input not in (None, receipt.input):
                raise UserError(f"job {job.id} answers another input than was sent")
            receipts.append(receipt)
        return join(model, receipts, self.single)

    def cancel(self, timeout: float | None = None) -> None:
        """Take jobs back that nobody has claimed yet and wait for the refund.

        Raises UserError where one cannot be cancelled any more.
        """
        self.client.cancel(self.ids, timeout)

    @property
    def advice(self) -> str:
        """How to go on with these jobs later."""
        return resume_advice(self.ids)

    def failure(self, status: str) -> str:
        """Say what it means that these jobs ended without a result."""
        return (
            f"the run is {status}: it has no result, and what was set aside for it came back; "
            "offer more bounty, or look with `pouw job list` whether workers take jobs at all"
        )

    def _follow(self, progress: Progress, patience: Patience) -> str:
        told = ""
        while True:
            states = self.states()
            status = joint_status(states)
            if status != told:
                told = status
                tell(progress, states)
            if has_ended(status):
                return status
            patience.pause(f"the result (it is {status})")


def resume_advice(ids: Sequence[str]) -> str:
    """Say how to come back for jobs that are under way."""
    named = ", ".join(repr(identity) for identity in ids)
    return f"what was submitted goes on by itself; come back with client.job({named})"


def has_ended(status: str) -> bool:
    """Tell whether nothing more is to be waited for in this joint status."""
    return status not in STAGES[:-1]


def joint_status(states: Sequence[JobRecord]) -> str:
    """Return the one status that stands for several jobs."""
    statuses = [state.status for state in states]
    failed = [status for status in statuses if status not in STAGES]
    return failed[0] if failed else min(statuses, key=STAGES.index)


def tell(progress: Progress, states: Sequence[JobRecord]) -> None:
    """Report the stage that several jobs have reached."""
    status = joint_status(states)
    if status in STAGES:
        progress(f"job {status}", STAGES.index(status), len(STAGES) - 1)


def join(model: Model, receipts: Sequence[Receipt], single: bool) -> Answer:
    """Put the outputs of jobs together in their order."""
    raw = np.concatenate([receipt.raw_output() for receipt in receipts])
    output = decode_items(raw, model.encodings)
    return Answer(output, raw, tuple(receipts)).part(0, len(raw), single)


def _cut(array: NDArray[Any], start: int, stop: int, single: bool) -> NDArray[Any]:
    return array[start] if single else array[start:stop]
