"""Jobs: what one would cost, where one stands, and its result."""

import heapq
from typing import Final, Literal

from ...chain.blockindex import Entry
from ...consensus import records as r
from ...consensus.jobs.claims import claim_overhead, window_blocks
from ...consensus.prices import check_fee, claim_bond, job_burn, subsidy
from ...core.codec import decode
from ...core.hashing import ZERO_HASH, read_u256
from ...core.transaction import INSTANT_MODE, SettleJob, Transaction
from ...vm.tensor import input_items
from .chain import find_block
from .context import Context
from .errors import Code, NotFound, RpcFailure
from .models import find_model
from .registry import MethodTable
from .types import Answer, HexHash, Limit, Natural

METHODS: Final = MethodTable()

Status = Literal["submitted", "claimed", "committed", "settled", "expired", "cancelled"]

_WORKER_KIB: Final = 16
"""KiB of claim, commitment and settlement at twice the least fee, with room to spare."""
_CLAIM_DELAY: Final = 1
"""Blocks from a submission to the first claim that can follow it."""


@METHODS.read
def quotejob(
    node: Context,
    model: HexHash,
    items: Natural | None = None,
    input_size: Natural | None = None,
    bounty: Natural = 0,
) -> Answer:
    """Return what a job takes when it is submitted in the next block.

    Its size is given in `items`, or as the input blob's bytes in `input_size`. `check_macs` and
    `check_bytes` come out of a block's check budget, `posted_bytes` (what the worker has to post)
    and the input out of its room for chunks. `burn` and
    `check_fee` come on top of the bounty; `bond` is what a worker stakes on that `bounty`;
    `min_bounty` is what makes the job pay as well as mining idly, by this node's estimate. With a
    deadline of `earliest_deadline` a claim one block after the submission is just in time.
    """
    record = find_model(node, model)
    if (items is None) == (input_size is None):
        raise RpcFailure(Code.INVALID_PARAMS, "quotejob takes either items or input_size")
    checked = node.chain.checker.program(record)
    item_bytes = checked.input_type.bytes
    size = items * item_bytes if items is not None else input_size
    job = _prospective(node, record, model, input_items(checked, size or 0), bounty)
    window = window_blocks(job, node.next_difficulty())
    claimed = job.submitted + _CLAIM_DELAY
    return {
        "items": job.items,
        "macs": job.macs,
        "check_macs": job.check_macs,
        "check_bytes": job.check_bytes,
        "bytes": job.check_bytes,
        "posted_bytes": node.chain.checker.posted_bytes(record, job.items),
        "check_fee": job.check_fee,
        "burn": job.burn,
        "window": window,
        "earliest_deadline": claimed + claim_overhead(node.params) + window + 1,
        "bond": claim_bond(node.params, bounty, 0),
        "min_bounty": _fair_bounty(node, job.macs),
    }


@METHODS.read
def getjob(node: Context, id: HexHash) -> Answer | None:
    """Return a job with all that the chain remembers of it, or null where there is none."""
    job = _find(node, id)
    return None if job is None else describe_job(node, id, job)


@METHODS.scan
def listjobs(node: Context, status: Status | None = None, limit: Limit = 100) -> list[Answer]:
    """Return the jobs submitted last, newest first, of one status or of any."""
    wanted = None if status is None else r.JobStatus[status.upper()]
    jobs = (
        (key[1:].hex(), decode(r.Job, data, r.RECORD_LIMIT))
        for key, data in node.chain.state.items(b"j")
    )
    fitting = (item for item in jobs if wanted is None or item[1].status == wanted)
    newest = heapq.nlargest(limit, fitting, key=lambda item: (item[1].submitted, item[0]))
    return [describe_job(node, identity, job) for identity, job in newest]


@METHODS.read
def getjobresult(node: Context, id: HexHash) -> Answer:
    """Return the output of a settled job and the transaction that revealed it.

    `output` holds the values little-endian, item after item; `shape` begins with the items.
    """
    job = _find(node, id)
    if job is None:
        raise NotFound(f"no job {id} on this chain")
    if job.status != r.JobStatus.SETTLED:
        raise NotFound(f"job {id} has no result: it is {_status(job)}")
    entry = find_block(node, job.ended)
    transaction, settlement = _settlement(node, entry, bytes.fromhex(id))
    output = node.chain.checker.program(find_model(node, job.model.hex())).output_type
    return {
        "id": id,
        "output": settlement.output.hex(),
        "dtype": output.dtype.name.lower(),
        "shape": [job.items, *output.shape],
        "block": entry.id.hex(),
        "height": entry.height,
        "worker": node.address_text(job.worker),
        "settlement": transaction.id.hex(),
    }


def describe_job(node: Context, identity: str, job: r.Job) -> Answer:
    """Return a job's record for clients; hashes not yet known are null."""
    return {
        "id": identity,
        "status": _status(job),
        "owner": node.address_text(job.owner),
        "worker": None if job.worker == ZERO_HASH else node.address_text(job.worker),
        "model": job.model.hex(),
        "input": job.input.hex(),
        "mode": job.mode,
        "bounty": job.bounty,
        "check_fee": job.check_fee,
        "burn": job.burn,
        "escrow": job.escrow,
        "bond": job.bond,
        "submitted": job.submitted,
        "deadline": job.deadline,
        "items": job.items,
        "macs": job.macs,
        "check_macs": job.check_macs,
        "check_bytes": job.check_bytes,
        "window": job.window,
        "openings": job.openings,
        "candidates": [node.address_text(candidate) for candidate in job.candidates],
        "claimed": job.claimed,
        "window_end": job.window_end,
        "commitment": None if job.commitment == ZERO_HASH else job.commitment.hex(),
        "committed": job.committed,
        "ended": job.ended,
        "output": None if job.output == ZERO_HASH else job.output.hex(),
        "provenance": [
            {
                "op": entry.op,
                "root_a": entry.root_a.hex(),
                "root_b": entry.root_b.hex(),
                "work": read_u256(entry.work),
                "blocks": entry.blocks,
            }
            for entry in job.provenance
        ],
        "blocks": sum(entry.blocks for entry in job.provenance),
    }


def _find(node: Context, identity: str) -> r.Job | None:
    data = node.chain.state.get(r.job_key(bytes.fromhex(identity)))
    return None if data is None else decode(r.Job, data, r.RECORD_LIMIT)


def _status(job: r.Job) -> str:
    return job.status.name.lower()


def _prospective(node: Context, model: r.Model, identity: str, items: int, bounty: int) -> r.Job:
    """Return the record of a job as if the next block submitted it."""
    work = node.chain.checker.workload(model, items)
    height = node.chain.tip.height + 1
    return r.Job(
        owner=ZERO_HASH,
        model=bytes.fromhex(identity),
        input=ZERO_HASH,
        mode=INSTANT_MODE,
        bounty=bounty,
        check_fee=check_fee(node.params, work.check_macs, work.check_bytes),
        burn=job_burn(node.params, work.macs, height, node.next_difficulty()),
        fee_paid=0,
        submitted=height,
        deadline=0,
        items=work.items,
        macs=work.macs,
        check_macs=work.check_macs,
        check_bytes=work.check_bytes,
        window=work.window,
    )


def _fair_bounty(node: Context, macs: int) -> int:
    """Return what an honest worker loses on a job, which no rule of the chain prescribes.

    Peeling the noise off slows a product down, to about two thirds of idle mining (docs of the
    matmul benchmark); the tickets it misses by that are worth half the job's MACs of subsidy. Its
    few transactions come on top.
    """
    reward = subsidy(node.params, node.chain.tip.height + 1)
    missed = macs * reward // (2 * node.next_difficulty())
    return missed + _WORKER_KIB * node.params.min_fee_per_kib


def _settlement(node: Context, entry: Entry, job: bytes) -> tuple[Transaction, SettleJob]:
    """Find the transaction of a block that settled a job."""
    body = node.chain.body(entry.id)
    for transaction in () if body is None else body.transactions:
        settlement = transaction.payload.body
        if isinstance(settlement, SettleJob) and settlement.job == job:
            return transaction, settlement
    raise NotFound(f"block {entry.id.hex()}, which settled the job, is not stored any more")
