"""One waiting transaction, with everything about it that is asked more than once."""

from dataclasses import dataclass, field
from typing import TypeAlias

from ...consensus import records as r
from ...consensus.jobs.claims import claim_overhead
from ...consensus.state import State
from ...core.hashing import ZERO_HASH, Hash, u32
from ...core.transaction import (
    Bundle,
    CancelJob,
    ClaimJob,
    CommitResult,
    RegisterModel,
    SettleJob,
    SubmitJob,
    Transaction,
    Transfer,
    UploadBlob,
)
from .limits import ENTRY_BYTES, PART_BYTES

Contest: TypeAlias = tuple[bytes, int]
"""What several senders may want, and how many of them one block can serve."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A transaction that waits."""

    id: Hash
    bundle: Bundle
    sender: bytes
    """Address."""
    size: int
    """Canonical bytes, chunks included."""
    arrived: int
    """UTC seconds."""
    last_height: int
    """From the next height on it cannot succeed."""
    contest: Contest | None
    keys: tuple[bytes, ...]
    """State keys besides the sender's account on which its validity hangs."""
    weight: int
    """Estimated bytes of memory."""
    nonce: int = field(init=False)
    fee: int = field(init=False)

    def __post_init__(self) -> None:
        payload = self.transaction.payload
        object.__setattr__(self, "nonce", payload.nonce)
        object.__setattr__(self, "fee", payload.fee)

    @property
    def transaction(self) -> Transaction:
        """The transaction without its chunks."""
        return self.bundle.transaction


def make_entry(
    state: State, bundle: Bundle, identity: Hash, sender: bytes, size: int, arrived: int
) -> Entry:
    """Return an entry for a transaction; `state` is that of the next block."""
    transaction = bundle.transaction
    return Entry(
        id=identity,
        bundle=bundle,
        sender=sender,
        size=size,
        arrived=arrived,
        last_height=_last_height(state, transaction),
        contest=_contest(state, transaction),
        keys=tuple(dict.fromkeys(keys_of(transaction))),
        weight=size + ENTRY_BYTES + PART_BYTES * _parts(bundle),
    )


def keys_of(transaction: Transaction) -> tuple[bytes, ...]:
    """Return the state keys, accounts aside, that decide whether a transaction is valid.

    The same keys are those that it changes so that others' transactions may become invalid.
    """
    match transaction.payload.body:
        case UploadBlob(root=root):
            return (r.blob_key(root),)
        case RegisterModel(program=program, weights=weights, previous=previous):
            replaced = () if previous == ZERO_HASH else (r.history_key(previous),)
            return (r.blob_key(program), r.blob_key(weights), *replaced)
        case SubmitJob(input=data):
            return (r.blob_key(data),)
        case CancelJob(job=job) | ClaimJob(job=job) | CommitResult(job=job):
            return (r.job_key(job),)
        case SettleJob(job=job, products=products):
            return (r.job_key(job), *(r.blob_key(root) for root in products))
        case _:
            return ()


def _parts(bundle: Bundle) -> int:
    """Return of how many hashes and pairs a transaction consists, besides a fixed number."""
    hashes = sum(1 + len(chunk.path) for chunk in bundle.chunks)
    match bundle.transaction.payload.body:
        case Transfer(outputs=outputs):
            return hashes + len(outputs)
        case SettleJob(products=products):
            return hashes + 3 * len(products)
        case _:
            return hashes


def _last_height(state: State, transaction: Transaction) -> int:
    """Return the last height at which a transaction may succeed, whatever the difficulty."""
    payload, params = transaction.payload, state.params
    needed = claim_overhead(params) + 1
    match payload.body:
        case SubmitJob(deadline=deadline):
            return min(payload.expiry, deadline - needed - params.claim_window_base)
        case ClaimJob(job=job_id):
            job = state.read(r.Job, r.job_key(job_id))
            if job is not None:
                return min(payload.expiry, job.deadline - needed - job.window)
        case _:
            pass
    return payload.expiry


def _contest(state: State, transaction: Transaction) -> Contest | None:
    match transaction.payload.body:
        case UploadBlob(root=root, first_chunk=first):
            return b"u" + root + u32(first), 1
        case ClaimJob(job=job):
            return b"c" + job, state.params.max_claims_per_job
        case _:
            return None
