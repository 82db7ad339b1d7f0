"""What a run will cost, before anything is signed; and how its items are divided into jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from ..core.codec import U63
from ..core.errors import UserError
from ..core.hashing import ZERO_HASH
from ..core.transaction import MAX_OUTPUT_BYTES, SubmitJob
from ..genesis import Params
from ..vm.limits import MAX_ITEMS
from ..wallet import answers
from ..wallet.answers import BlobState, ask, ask_optional
from ..wallet.builder import split
from ..wallet.client import RpcClient
from ..wallet.jobs import DEADLINE_OPENINGS, DEADLINE_SLACK
from .amounts import pouw
from .models import Model
from .spending import exact_fee, upload_fee

MAX_JOBS: Final = 64
"""Jobs in one run."""


class _Answer(answers.Quote, frozen=True, kw_only=True):
    """`quotejob`."""

    items: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]
    check_macs: U63
    check_bytes: U63


@dataclass(frozen=True, slots=True)
class JobPrice:
    """What one job takes. Amounts in base units."""

    items: int
    macs: int
    """Multiply-accumulates of the answer."""
    bounty: int
    """To the worker and the model's contributors."""
    burn: int
    """Destroyed; fixed by the chain when it includes the job, at the difficulty of that moment."""
    check_fee: int
    """To the block whose nodes check the result."""
    fees: int
    """Of the submission, and of what has to be uploaded still."""
    deadline: int
    """Blocks from its submission to its refund at the latest."""

    @property
    def escrow(self) -> int:
        """What the chain holds until the job ends; comes back if nobody does it."""
        return self.bounty + self.burn + self.check_fee

    @property
    def total(self) -> int:
        """All together."""
        return self.escrow + self.fees


@dataclass(frozen=True, slots=True)
class Quote:
    """What a run takes: the sum of its jobs. Amounts in base units."""

    model: str
    """Its id."""
    jobs: tuple[JobPrice, ...]

    @property
    def items(self) -> int:
        """Items in all jobs."""
        return sum(job.items for job in self.jobs)

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return sum(job.macs for job in self.jobs)

    @property
    def bounty(self) -> int:
        """To workers and the model's contributors."""
        return sum(job.bounty for job in self.jobs)

    @property
    def burn(self) -> int:
        """Destroyed."""
        return sum(job.burn for job in self.jobs)

    @property
    def check_fee(self) -> int:
        """To the blocks whose nodes check the results."""
        return sum(job.check_fee for job in self.jobs)

    @property
    def fees(self) -> int:
        """Of the transactions."""
        return sum(job.fees for job in self.jobs)

    @property
    def total(self) -> int:
        """All together."""
        return sum(job.total for job in self.jobs)

    @property
    def deadline(self) -> int:
        """Blocks until the last refund, should nobody do the jobs."""
        return max(job.deadline for job in self.jobs)

    def __str__(self) -> str:
        jobs = "one job" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs"
        return (
            f"{pouw(self.total)} for {self.items} items in {jobs}: bounty {pouw(self.bounty)}, "
            f"burned {pouw(self.burn)}, for checking {pouw(self.check_fee)}, "
            f"fees {pouw(self.fees)}; refunded after {self.deadline} blocks if nobody answers"
        )

    def require_within(self, max_cost: int | None) -> None:
        """Raise UserError if this costs more than `max_cost` base units."""
        if max_cost is not None and self.total > max_cost:
            raise UserError(
                f"this costs {pouw(self.total)}, max_cost is {pouw(max_cost)}: nothing was signed; "
                "allow more, or send fewer items"
            )


class Pricer:
    """Divides and prices runs of one model at one node."""

    def __init__(self, rpc: RpcClient, params: Params, model: Model) -> None:
        self._rpc: Final = rpc
        self._params: Final = params
        self._model: Final = model

    def divide(self, items: int) -> list[int]:
        """Return the sizes of as few jobs as the network lets `items` be, nearly equal.

        Raises UserError where not even one item fits, or there would be more than MAX_JOBS.
        """
        most = self._most_items(items)
        jobs = -(-items // most)
        if jobs > MAX_JOBS:
            raise UserError(
                f"{items} items take {jobs} jobs of {most}; a run has at most {MAX_JOBS}: "
                "send them in several runs"
            )
        return even_parts(items, jobs)

    def quote(
        self, sizes: Sequence[int], inputs: Sequence[bytes] | None, bounty: int | None
    ) -> Quote:
        """Price jobs of these sizes.

        With their `inputs`, what is on the chain already is not counted. `bounty` in base units is
        for all of them, divided by items; without it each gets the least that the node expects to
        be taken. Raises UserError.
        """
        shares: Sequence[int | None] = (
            [None] * len(sizes) if bounty is None else proportional(bounty, sizes)
        )
        item_bytes = self._model.input.type.bytes
        jobs: list[JobPrice] = []
        for i, (size, share) in enumerate(zip(sizes, shares, strict=True)):
            data = bytes(size * item_bytes) if inputs is None else inputs[i]
            fees = self._upload(data, known=inputs is not None) + self._submission
            jobs.append(self._price(self._ask(size), share, fees))
        return Quote(self._model.id, tuple(jobs))

    @property
    def _submission(self) -> int:
        widest = SubmitJob(ZERO_HASH, ZERO_HASH, 0, 2**63 - 1, 2**63 - 1)
        return exact_fee(self._params, widest)

    def _upload(self, data: bytes, known: bool) -> int:
        done = 0
        if known:
            state = ask_optional(self._rpc, BlobState, "getblob", root=split(data)[0].hex())
            done = 0 if state is None else state.next_chunk
        return upload_fee(self._params, data, done)

    def _price(self, answer: _Answer, bounty: int | None, fees: int) -> JobPrice:
        params = self._params
        one = answer.window + params.settle_window + 2
        if one >= params.max_deadline_blocks:
            raise UserError(
                f"a worker would take {answer.window} blocks, a job ends after "
                f"{params.max_deadline_blocks} at the latest: send fewer items"
            )
        return JobPrice(
            answer.items,
            answer.macs,
            answer.min_bounty if bounty is None else bounty,
            answer.burn,
            answer.check_fee,
            fees,
            min(params.max_deadline_blocks, DEADLINE_OPENINGS * one + DEADLINE_SLACK),
        )

    def _most_items(self, wanted: int) -> int:
        """Return how many of `wanted` items fit one job."""
        room = MAX_OUTPUT_BYTES // self._model.output.type.bytes
        items = min(wanted, self._model.max_items, room)
        while items >= 1:
            answer = self._ask(items)
            fitting = self._fitting(answer)
            if fitting >= items:
                return items
            items = min(fitting, items - 1)
        raise UserError(f"one item of this model is more than a job may be on {self._params.name}")

    def _fitting(self, answer: _Answer) -> int:
        """Return how many items fit, going by what `answer.items` of them need."""
        params = self._params
        return min(
            answer.items * params.max_job_macs // max(1, answer.check_macs),
            answer.items * params.max_job_bytes // max(1, answer.check_bytes),
        )

    def _ask(self, items: int) -> _Answer:
        answer = ask(self._rpc, _Answer, "quotejob", model=self._model.id, items=items)
        if answer.items != items:
            raise UserError(f"the node at {self._rpc.url} quotes {answer.items} items, not {items}")
        return answer


def even_parts(total: int, parts: int) -> list[int]:
    """Return `parts` sizes that differ by at most one and add up to `total`."""
    size, rest = divmod(total, parts)
    return [size + 1] * rest + [size] * (parts - rest)


def proportional(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount by weights, exactly: the shares add up to it."""
    shares: list[int] = []
    left, rest = amount, sum(weights)
    for weight in weights:
        share = left * weight // rest
        shares.append(share)
        left, rest = left - share, rest - weight
    return shares
