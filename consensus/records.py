"""The records of the state, each a canonical value under a one-letter key.

| key | record |
|---|---|
| a ‖ address | Account |
| b ‖ root | BlobRecord |
| m ‖ model id | Model |
| h ‖ model id | ModelHistory |
| j ‖ job id | Job |
| w ‖ address | WorkRecord |
| e ‖ u64 height | Agenda of windows, deadlines and blob ends |
| e ‖ u64 height ‖ u32 slot | Event |
| c ‖ u64 height | Agenda of claims to decide |
| c ‖ u64 height ‖ u32 slot | Event |
| t | Totals |

Numbers in keys are big-endian.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from ..core.codec import MAX_INT, U16, U32, U63, Bytes32, Value
from ..core.hashing import ZERO_HASH
from ..core.transaction import (
    MAX_CARD_CHARS,
    MAX_LICENCE_CHARS,
    MAX_NAME_CHARS,
    MAX_ROYALTY_SHARES,
    RoyaltyShare,
)

RECORD_LIMIT: Final = 1 << 24
"""Bound for decoding a record; records are written by the rules and stay far below it. The largest
is a Model: two texts of 64 KiB, and a root for each product, of which no block could check 2¹⁷."""

MAX_MODEL_VERSION: Final = 1_000
"""So few that a client can walk through all versions of a model in one go."""


def account_key(address: bytes) -> bytes:
    """Key of an account."""
    return b"a" + address


def blob_key(root: bytes) -> bytes:
    """Key of a blob's record."""
    return b"b" + root


def model_key(model: bytes) -> bytes:
    """Key of a model."""
    return b"m" + model


def history_key(model: bytes) -> bytes:
    """Key of what happened to a model."""
    return b"h" + model


def job_key(job: bytes) -> bytes:
    """Key of a job."""
    return b"j" + job


def work_key(address: bytes) -> bytes:
    """Key of a contribution record."""
    return b"w" + address


def events_key(height: int) -> bytes:
    """Key of what ends at a height."""
    return b"e" + height.to_bytes(8, "big")


def claims_key(height: int) -> bytes:
    """Key of the claims that are decided at a height."""
    return b"c" + height.to_bytes(8, "big")


def slot_key(agenda: bytes, slot: int) -> bytes:
    """Key of one event of an agenda, given the agenda's key."""
    return agenda + slot.to_bytes(4, "big")


TOTALS_KEY: Final = b"t"


class Account(Value, frozen=True):
    """Money and the number of transactions sent."""

    balance: U63 = 0
    nonce: U63 = 0


class BlobRecord(Value, frozen=True):
    """How much of a blob is on the chain, and for how long it is kept."""

    size: U63
    next_chunk: U32
    completed: U63
    """Height of the block that brought the last chunk; 0 while incomplete."""
    expires: U63
    """Height from which nobody need keep it, unless pinned."""
    pinned: bool
    """Held by a registered model."""


class Model(Value, frozen=True):
    """A registered model. Its id alone determines the record: nothing here ever changes."""

    owner: Bytes32
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    program: Bytes32
    weights: Bytes32
    licence: Annotated[str, msgspec.Meta(max_length=MAX_LICENCE_CHARS)]
    card: Annotated[str, msgspec.Meta(max_length=MAX_CARD_CHARS)]
    royalties: Annotated[tuple[RoyaltyShare, ...], msgspec.Meta(max_length=MAX_ROYALTY_SHARES)]
    previous: Bytes32
    """The model that this one replaces; zeros for a first version."""
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_MODEL_VERSION)]
    weight_roots: tuple[Bytes32, ...]
    """Per product, the ticket commitment of its right operand."""


class ModelHistory(Value, frozen=True):
    """What happened to a model; apart from it, so that no job rewrites its texts and roots."""

    registered: U63
    """Height."""
    jobs: U63 = 0
    """Settled jobs that used it."""
    successor: Bytes32 = ZERO_HASH
    """The model that replaced it; zeros while none has."""


class JobStatus(IntEnum):
    """Where a job stands; see jobs/life.py."""

    SUBMITTED = 0
    CLAIMED = 1
    COMMITTED = 2
    SETTLED = 3
    EXPIRED = 4
    CANCELLED = 5


class Provenance(Value, frozen=True):
    """Blocks that a job's claimant mined with one product of it, under one pair of roots."""

    op: U32
    root_a: Bytes32
    root_b: Bytes32
    work: Bytes32
    """Sum of the blocks' difficulties, little-endian."""
    blocks: U32


class Job(Value, frozen=True):
    """A job, from submission on; kept for good as the record of what was paid for."""

    owner: Bytes32
    model: Bytes32
    input: Bytes32
    mode: U16
    bounty: U63
    check_fee: U63
    burn: U63
    fee_paid: U63
    """Fee of the submitting transaction, counted up to the check fee; returned from the first
    forfeited bond, then 0."""
    submitted: U63
    deadline: U63
    items: U63
    macs: U63
    """Unpadded multiply-accumulates of all products: what counts as useful."""
    check_macs: U63
    check_bytes: U63
    window: U63
    """Blocks a claimant gets, before the part that grows with MACs ÷ D."""
    status: JobStatus = JobStatus.SUBMITTED
    serial: U63 = 0
    """Grows with every change of status, so that an event meant for an older state is ignored."""
    openings: U32 = 0
    """How often a claimant failed and the job was opened again."""
    bond: U63 = 0
    """Bond of the claimant, or of each candidate while claims compete."""
    candidates: tuple[Bytes32, ...] = ()
    claimed: U63 = 0
    """Height of the claims."""
    worker: Bytes32 = ZERO_HASH
    window_end: U63 = 0
    commitment: Bytes32 = ZERO_HASH
    committed: U63 = 0
    provenance: tuple[Provenance, ...] = ()
    output: Bytes32 = ZERO_HASH
    """Blob root of the settled output."""
    ended: U63 = 0
    """Height of settlement, refund or cancellation."""

    @property
    def escrow(self) -> int:
        """What the owner has at stake in the job now."""
        live = self.status in (JobStatus.SUBMITTED, JobStatus.CLAIMED, JobStatus.COMMITTED)
        return self.bounty + self.check_fee + self.burn if live else 0

    @property
    def bonds(self) -> int:
        """What claimants have at stake in the job now."""
        if self.status in (JobStatus.CLAIMED, JobStatus.COMMITTED):
            return self.bond
        return self.bond * len(self.candidates)


class WorkRecord(Value, frozen=True):
    """What a worker did for the network, for good."""

    jobs: U63 = 0
    macs: Bytes32 = ZERO_HASH
    """Useful multiply-accumulates delivered, little-endian."""
    earned: U63 = 0
    """Base units of bounties, counted up to MAX_AMOUNT: money that goes in circles adds up."""
    mined_with_jobs: U32 = 0
    """Blocks whose ticket came from a job that settled."""
    missed: U32 = 0
    """Claims that ran out."""
    wrong: U32 = 0
    """Results or provenance refused."""
    first: U63 = 0
    last: U63 = 0


class EventKind(IntEnum):
    """What may be due at a height."""

    WINDOW = 1
    REVEAL = 2
    DEADLINE = 3
    BLOB = 4
    CLAIMS = 5


class Event(Value, frozen=True):
    """Something that ends at a height unless its subject has moved on."""

    kind: EventKind
    subject: Bytes32
    serial: U63


class Agenda(Value, frozen=True):
    """How many events one height holds; each has a slot of its own, numbered from 0."""

    count: U32 = 0


class Totals(Value, frozen=True):
    """Sums over the whole chain. Base units and MACs."""

    emitted: U63 = 0
    burned: U63 = 0
    useful_macs: Bytes32 = ZERO_HASH
    """MACs of settled jobs, little-endian."""
    mined_macs: Bytes32 = ZERO_HASH
    """Work of job-mined blocks of settled jobs, each job up to its own MACs."""
    jobs_settled: U63 = 0


MAX_AMOUNT: Final = MAX_INT
