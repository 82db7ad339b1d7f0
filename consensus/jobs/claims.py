"""Claiming: a bond buys an exclusive window.

Claims of one block compete; the hash of the *next* block picks, so the miner who orders the claims
cannot choose the winner without throwing its own block away. That hash is known to the state one
block later still, where the claim is assigned.
"""

from typing import Final

import msgspec

from ...core.errors import RuleViolation
from ...core.hashing import digest
from ...core.transaction import ClaimJob
from ...genesis import Params
from .. import prices
from .. import records as r
from ..events import schedule_claims, schedule_surely
from ..state import State
from .forfeit import forfeit_claim
from .life import advance

DECISION_BLOCKS: Final = 2
"""Blocks from a claim to its assignment."""


def claim_overhead(params: Params) -> int:
    """Return the blocks a claim needs besides its window: to be decided and to be settled."""
    return DECISION_BLOCKS + params.settle_window + 1


def apply_claim(state: State, sender: bytes, body: ClaimJob, difficulty: int) -> None:
    """Stake a bond on a job.

    Raises RuleViolation "job-status", "claim-late" (window and settlement would pass the
    deadline), "claim-twice", "claim-crowd", "agenda-full" or "balance".
    """
    job = state.job(body.job)
    bond = prices.claim_bond(state.params, job.bounty, job.openings)
    claimed = advance(
        job,
        "claim",
        candidates=(*job.candidates, sender),
        bond=bond,
        claimed=state.height,
    )
    if job.candidates and job.claimed != state.height:
        raise RuleViolation("job-status", "earlier claims on this job are being decided")
    end = state.height + claim_overhead(state.params) + window_blocks(job, difficulty)
    if end >= job.deadline:
        raise RuleViolation("claim-late", f"could end at {end}, the deadline is {job.deadline}")
    if sender in job.candidates:
        raise RuleViolation("claim-twice", "this sender has claimed the job already")
    if len(job.candidates) >= state.params.max_claims_per_job:
        raise RuleViolation("claim-crowd", "too many claims on one job in one block")
    state.debit(sender, bond, "the bond")
    if not job.candidates:
        schedule_claims(state, state.height + DECISION_BLOCKS, body.job)
    state.put_job(body.job, claimed)


def assign_claim(state: State, job_id: bytes, pick: bytes, difficulty: int) -> None:
    """Give a job to one of its candidates; `pick` is the id of the block after the claims."""
    job = state.job(job_id)
    if job.status != r.JobStatus.SUBMITTED or not job.candidates:
        return
    winner = min(job.candidates, key=lambda worker: digest("claim", pick, job_id, worker))
    for candidate in job.candidates:
        if candidate != winner:
            state.credit(candidate, job.bond)
    assigned = advance(job, "assign", candidates=(), worker=winner)
    end = state.height + window_blocks(job, difficulty)
    window_end = schedule_surely(state, end, r.EventKind.WINDOW, job_id, assigned.serial)
    state.put_job(job_id, msgspec.structs.replace(assigned, window_end=window_end))


def end_window(state: State, event: r.Event) -> None:
    """Forfeit a claim whose window or frozen time has run out, if it still stands."""
    job = state.job(event.subject)
    if job.serial == event.serial:
        forfeit_claim(state, event.subject, job, "miss", "missed")


def window_blocks(job: r.Job, difficulty: int) -> int:
    """Return a claimant's window: work, bytes and depth, and the blocks the job itself mines.

    A pass over the product finds about MACs ÷ D blocks; twice that keeps luck from eating the
    window.
    """
    return job.window + 2 * -(-job.macs // difficulty)
