"""Submitting and cancelling: what a job costs its owner, and what is refused from the start."""

from dataclasses import dataclass

from ...core.errors import RuleViolation
from ...core.transaction import INSTANT_MODE, CancelJob, SubmitJob
from .. import prices
from .. import records as r
from ..blobs import keep_blob, require_blob
from ..budget import Budget
from ..events import schedule
from ..state import State
from .checker import ResultChecker
from .claims import claim_overhead
from .forfeit import refund


@dataclass(frozen=True, slots=True)
class Offer:
    """A job as it is submitted."""

    job: bytes
    """The transaction's id."""
    owner: bytes
    fee: int
    """The transaction's."""
    body: SubmitJob


def apply_submit(
    state: State, offer: Offer, difficulty: int, checker: ResultChecker, budget: Budget
) -> None:
    """Escrow bounty, check fee and burn for a job.

    Raises RuleViolation "job-mode", "model-unknown", "blob-missing", "block-budget", "input-…",
    "job-too-large", "job-deadline", "agenda-full" or "balance".
    """
    params, body = state.params, offer.body
    if body.mode != INSTANT_MODE:
        raise RuleViolation("job-mode", f"mode {body.mode} is not known")
    model = state.model(body.model)
    size = require_blob(state, body.input, "input").size
    budget.spend(0, size + checker.loading_bytes(model.program))
    work = checker.measure(model, body.input)
    if work.check_macs > params.max_job_macs or work.check_bytes > params.max_job_bytes:
        raise RuleViolation(
            "job-too-large",
            f"checking takes {work.check_macs} MACs and {work.check_bytes} bytes; "
            f"{params.max_job_macs} and {params.max_job_bytes} are allowed",
        )
    _check_deadline(state, body, work.window)
    check_fee = prices.check_fee(params, work.check_macs, work.check_bytes)
    job = r.Job(
        owner=offer.owner,
        model=body.model,
        input=body.input,
        mode=body.mode,
        bounty=body.bounty,
        check_fee=check_fee,
        burn=prices.job_burn(params, work.macs, state.height, difficulty),
        # Capped: a miner pays fees to itself, and must not win bonds by them.
        fee_paid=min(offer.fee, check_fee),
        submitted=state.height,
        deadline=schedule(state, body.deadline, r.EventKind.DEADLINE, offer.job, 0),
        items=work.items,
        macs=work.macs,
        check_macs=work.check_macs,
        check_bytes=work.check_bytes,
        window=work.window,
    )
    state.debit(offer.owner, job.escrow, "the job")
    keep_blob(state, body.input, job.deadline + params.blob_window)
    state.put_job(offer.job, job)


def apply_cancel(state: State, sender: bytes, body: CancelJob) -> None:
    """Refund a job that nobody has claimed. Raises RuleViolation "job-owner", "job-status"."""
    job = state.job(body.job)
    if job.owner != sender:
        raise RuleViolation("job-owner", "only the owner may cancel a job")
    if job.candidates:
        raise RuleViolation("job-status", "the job has just been claimed")
    refund(state, body.job, job, "cancel")


def reach_deadline(state: State, job_id: bytes) -> None:
    """Refund a job whose deadline has come, unless a worker still holds it or it has ended."""
    job = state.job(job_id)
    if job.status == r.JobStatus.SUBMITTED:
        refund(state, job_id, job, "expire")


def _check_deadline(state: State, body: SubmitJob, window: int) -> None:
    earliest = state.height + claim_overhead(state.params) + window
    latest = state.height + state.params.max_deadline_blocks
    if not earliest < body.deadline <= latest:
        raise RuleViolation(
            "job-deadline",
            f"deadline {body.deadline} at height {state.height}: "
            f"must be after {earliest} and at most {latest}",
        )
