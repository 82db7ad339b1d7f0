"""Commit, then reveal: how a result comes onto the chain, is checked by everybody and paid."""

from typing import Final

import msgspec

from ...core.blob import blob_root
from ...core.errors import RuleViolation
from ...core.hashing import read_u256, u256
from ...core.transaction import CommitResult, SettleJob, result_commitment
from .. import prices
from .. import records as r
from ..blobs import require_blob
from ..events import schedule_surely
from ..state import State
from .checker import ResultChecker, Verdict
from .forfeit import forfeit_claim
from .life import advance

INT32_BYTES: Final = 4


def apply_commit(state: State, sender: bytes, body: CommitResult) -> None:
    """Freeze a claimed job for the settle window. Raises "job-worker", "job-status"."""
    job = state.job(body.job)
    _require_worker(job, sender)
    frozen = advance(job, "commit", commitment=body.commitment, committed=state.height)
    end = state.height + state.params.settle_window + 1
    window_end = schedule_surely(state, end, r.EventKind.REVEAL, body.job, frozen.serial)
    state.put_job(body.job, msgspec.structs.replace(frozen, window_end=window_end))


def apply_settle(state: State, sender: bytes, body: SettleJob, checker: ResultChecker) -> int:
    """Check a revealed result and pay for it; return the check fee for the block's miner.

    A result that does not match its commitment, or posts the wrong set of products, is an invalid
    transaction ("settle-…"). A *wrong* result is a valid one: it costs the bond and the job.
    """
    job = state.job(body.job)
    _require_worker(job, sender)
    if job.status != r.JobStatus.COMMITTED or job.committed >= state.height:
        raise RuleViolation("job-status", "a result is revealed after the block that commits it")
    output_root = blob_root(body.output)
    if result_commitment(sender, body.job, output_root, body.salt) != job.commitment:
        raise RuleViolation("settle-commitment", "output and salt are not what was committed")
    verdict = _verdict(state, job, body, checker)
    if not verdict.accepted:
        forfeit_claim(state, body.job, job, "fail", "wrong")
        return 0
    _pay(state, body.job, job, output_root)
    return job.check_fee


def _verdict(state: State, job: r.Job, body: SettleJob, checker: ResultChecker) -> Verdict:
    model = state.model(job.model)
    require_blob(state, job.input, "input")
    expected = checker.posted_products(model, job.items)
    if len(expected) != len(body.products):
        raise RuleViolation(
            "settle-products", f"{len(body.products)} products posted, {len(expected)} expected"
        )
    for product, root in zip(expected, body.products, strict=True):
        size = require_blob(state, root, "product").size
        if size != product.m * product.n * INT32_BYTES:
            raise RuleViolation("settle-products", f"product {product.index} has {size} bytes")
    return checker.check(job, model, body)


def _pay(state: State, job_id: bytes, job: r.Job, output_root: bytes) -> None:
    model = state.model(job.model)
    paid = 0
    for share in model.royalties:
        amount = prices.share_of(job.bounty, share.basis_points)
        state.credit(share.to, amount)
        paid += amount
    earned = job.bounty - paid
    state.credit(job.worker, earned + job.bond)
    state.burn(job.burn)
    history = state.model_history(job.model)
    state.put_model_history(job.model, msgspec.structs.replace(history, jobs=history.jobs + 1))
    _remember(state, job, earned)
    state.put_job(job_id, advance(job, "settle", output=output_root, ended=state.height))


def _remember(state: State, job: r.Job, earned: int) -> None:
    blocks = sum(entry.blocks for entry in job.provenance)
    mined = min(job.macs, sum(read_u256(entry.work) for entry in job.provenance))
    record = state.work_record(job.worker)
    state.write(
        r.work_key(job.worker),
        msgspec.structs.replace(
            record,
            jobs=record.jobs + 1,
            macs=u256(read_u256(record.macs) + job.macs),
            earned=min(r.MAX_AMOUNT, record.earned + earned),
            mined_with_jobs=record.mined_with_jobs + blocks,
            first=record.first or state.height,
            last=state.height,
        ),
    )
    totals = state.totals()
    state.put_totals(
        msgspec.structs.replace(
            totals,
            useful_macs=u256(read_u256(totals.useful_macs) + job.macs),
            mined_macs=u256(read_u256(totals.mined_macs) + mined),
            jobs_settled=totals.jobs_settled + 1,
        )
    )


def _require_worker(job: r.Job, sender: bytes) -> None:
    if job.worker != sender:
        raise RuleViolation("job-worker", "only the job's claimant may do this")
