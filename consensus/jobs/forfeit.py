"""How a claim ends badly, and how a job ends without a result."""

import msgspec

from .. import records as r
from ..state import State
from .life import advance


def forfeit_claim(state: State, job_id: bytes, job: r.Job, action: str, blame: str) -> None:
    """Take a claimant's bond and open the job again; `action` is an edge of the life.

    The owner gets the submission's fee back, once in the job's life: a second payment would make
    impossible jobs a business. The rest of the bond burns. `blame` names the counter of the work
    record that grows: "missed" or "wrong".
    """
    returned = min(job.fee_paid, job.bond)
    state.credit(job.owner, returned)
    state.burn(job.bond - returned)
    record = state.work_record(job.worker)
    counters = {blame: getattr(record, blame) + 1, "last": state.height}
    state.write(r.work_key(job.worker), msgspec.structs.replace(record, **counters))
    reopened = advance(
        job,
        action,
        openings=job.openings + 1,
        fee_paid=job.fee_paid - returned,
        bond=0,
        worker=r.ZERO_HASH,
        window_end=0,
        commitment=r.ZERO_HASH,
        committed=0,
        provenance=(),
    )
    if state.height >= job.deadline:
        refund(state, job_id, reopened, "expire")
    else:
        state.put_job(job_id, reopened)


def refund(state: State, job_id: bytes, job: r.Job, action: str) -> None:
    """End a job without a result: the owner gets the whole escrow, candidates their bonds."""
    for candidate in job.candidates:
        state.credit(candidate, job.bond)
    state.credit(job.owner, job.escrow)
    ended = advance(job, action, candidates=(), bond=0, ended=state.height)
    state.put_job(job_id, ended)
