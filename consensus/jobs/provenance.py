"""Blocks mined by a job's products: who may name a job, and what is remembered until settlement.

A head that names (job, op) is judged against the state after its own block's transactions. What
the proof itself implies cannot be in that state, because the header was fixed before: the next
block records it.
"""

import msgspec

from ...core.block import SealedHeader
from ...core.errors import RuleViolation
from ...core.hashing import ZERO_HASH, read_u256, u256
from ...core.ticket import Head
from .. import records as r
from ..state import State
from .checker import ResultChecker
from .life import is_live


def check_named_job(state: State, head: Head, miner: bytes, checker: ResultChecker) -> None:
    """Refuse a head that names a job its miner does not hold, or another shape or weight.

    `state` is the one after the block's transactions; `miner` the address of the header's key.
    Raises RuleViolation "head-job", "head-worker", "head-shape" or "head-weight".
    """
    if head.job_id == ZERO_HASH:
        return
    job = state.read(r.Job, r.job_key(head.job_id))
    if job is None or not is_live(job):
        raise RuleViolation("head-job", f"job {head.job_id.hex()} is not being worked on")
    if job.worker != miner:
        raise RuleViolation("head-worker", "a job's tickets belong to its claimant")
    model = state.model(job.model)
    shape = checker.ticket_shape(model, job.items, head.op)
    if (head.m, head.n, head.k) != shape:
        raise RuleViolation("head-shape", f"product {head.op} of the job has shape {shape}")
    weight = model.weight_roots[head.op]
    if weight not in (ZERO_HASH, head.root_b):
        raise RuleViolation("head-weight", f"product {head.op} multiplies the model's weight")


def record_provenance(state: State, parent: SealedHeader) -> None:
    """Remember that the parent block was mined with a product of a job.

    The job is live still: it was after the parent's transactions, and nothing came in between.
    """
    head = parent.head
    if head.job_id == ZERO_HASH:
        return
    job = state.job(head.job_id)
    entries = list(job.provenance)
    for position, entry in enumerate(entries):
        if (entry.op, entry.root_a, entry.root_b) == (head.op, head.root_a, head.root_b):
            entries[position] = _with_block(entry, parent)
            break
    else:
        empty = r.Provenance(head.op, head.root_a, head.root_b, ZERO_HASH, 0)
        entries.append(_with_block(empty, parent))
    state.put_job(head.job_id, msgspec.structs.replace(job, provenance=tuple(entries)))


def _with_block(entry: r.Provenance, block: SealedHeader) -> r.Provenance:
    work = u256(read_u256(entry.work) + block.header.work)
    return msgspec.structs.replace(entry, work=work, blocks=entry.blocks + 1)
