"""Transactions: one envelope, one typed body, one signature.

A transaction's id covers its signature, so a block's transaction root fixes every byte and a body
with a changed signature is recognised as *another body*, never as an invalid block. Chunks of
blobs travel beside the upload that announces them: their root binds them.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

from .blob import Chunk
from .codec import U16, U32, U63, Bytes32, Bytes64, Value, encode
from .hashing import ZERO_HASH, Hash, digest
from .keys import PrivateKey, address_of, verify_signature

MAX_TRANSFER_OUTPUTS: Final = 1000
MAX_ROYALTY_SHARES: Final = 32
MAX_NAME_CHARS: Final = 64
MAX_LICENCE_CHARS: Final = 16_384
MAX_CARD_CHARS: Final = 16_384
MAX_OUTPUT_BYTES: Final = 1 << 18
MAX_POSTED_PRODUCTS: Final = 256
MAX_UPLOAD_CHUNKS: Final = 64
MAX_TRANSACTION_BYTES: Final = MAX_OUTPUT_BYTES + 32_768
"""A settlement is the largest: its output and its products' roots. The texts of a model, at four
bytes a character, take half of that."""

INSTANT_MODE: Final = 0


class Output(Value, frozen=True):
    """One payment of a transfer."""

    to: Bytes32
    """Address of the receiver."""
    amount: U63
    """Base units, more than zero."""


class Transfer(Value, frozen=True, tag=1):
    """Pays up to MAX_TRANSFER_OUTPUTS addresses."""

    outputs: Annotated[tuple[Output, ...], msgspec.Meta(max_length=MAX_TRANSFER_OUTPUTS)]


class UploadBlob(Value, frozen=True, tag=2):
    """Puts the next chunks of a blob on the chain, in order; the chunks ride beside it."""

    root: Bytes32
    size: U63
    """Bytes of the whole blob."""
    first_chunk: U32
    chunk_count: Annotated[int, msgspec.Meta(ge=1, le=MAX_UPLOAD_CHUNKS)]


class RoyaltyShare(Value, frozen=True):
    """Somebody whose data or work made a model, and their part of every bounty."""

    to: Bytes32
    basis_points: U16


class RegisterModel(Value, frozen=True, tag=3):
    """Registers a program and its weights; the transaction's id becomes the model's."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    program: Bytes32
    """Root of the blob that holds the canonical program."""
    weights: Bytes32
    """Root of the blob that holds the constants, in declared order."""
    licence: Annotated[str, msgspec.Meta(max_length=MAX_LICENCE_CHARS)]
    royalties: Annotated[tuple[RoyaltyShare, ...], msgspec.Meta(max_length=MAX_ROYALTY_SHARES)]
    card: Annotated[str, msgspec.Meta(max_length=MAX_CARD_CHARS)] = ""
    """What people and clients should know: a JSON document that no rule reads."""
    previous: Bytes32 = ZERO_HASH
    """The owner's model that this one replaces; zeros for a first version."""


class SubmitJob(Value, frozen=True, tag=4):
    """Asks for a model's answer on an input; the transaction's id becomes the job's."""

    model: Bytes32
    input: Bytes32
    """Root of the input blob."""
    mode: U16
    """0: instant, every node re-executes."""
    bounty: U63
    deadline: U63
    """Height from which an unsettled job is refunded."""


class CancelJob(Value, frozen=True, tag=5):
    """Takes an unclaimed job back; only its owner may."""

    job: Bytes32


class ClaimJob(Value, frozen=True, tag=6):
    """Stakes the job's bond for an exclusive window to work on it."""

    job: Bytes32


class CommitResult(Value, frozen=True, tag=7):
    """Freezes a claimed job: H("commit", worker ‖ job ‖ output root ‖ salt)."""

    job: Bytes32
    commitment: Bytes32


class SettleJob(Value, frozen=True, tag=8):
    """Reveals the committed output; every node checks it and the job is paid or the bond lost."""

    job: Bytes32
    output: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_OUTPUT_BYTES)]
    salt: Bytes32
    products: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_POSTED_PRODUCTS)]
    """Blob roots of the products that are posted rather than recomputed, in product order."""


Body: TypeAlias = (
    Transfer
    | UploadBlob
    | RegisterModel
    | SubmitJob
    | CancelJob
    | ClaimJob
    | CommitResult
    | SettleJob
)


class Payload(Value, frozen=True):
    """What a sender signs."""

    chain_id: U32
    sender: Bytes32
    """Public key."""
    nonce: U63
    """Number of transactions this sender had included before."""
    fee: U63
    """Base units, to the miner of the including block."""
    expiry: U63
    """Last height that may include it."""
    body: Body

    @property
    def sender_address(self) -> bytes:
        """The address that pays."""
        return address_of(self.sender)


class Transaction(Value, frozen=True):
    """A signed payload."""

    payload: Payload
    signature: Bytes64

    @property
    def id(self) -> Hash:
        """H("tx", canonical bytes with the signature)."""
        return digest("tx", encode(self))

    def signature_is_valid(self) -> bool:
        """Check the sender's signature over the payload."""
        payload = self.payload
        return verify_signature(payload.sender, _signed_message(payload), self.signature)


class Bundle(Value, frozen=True):
    """A transaction as it travels before inclusion: with the chunks it announces, if any."""

    transaction: Transaction
    chunks: Annotated[tuple[Chunk, ...], msgspec.Meta(max_length=MAX_UPLOAD_CHUNKS)]


MAX_BUNDLE_BYTES: Final = MAX_TRANSACTION_BYTES + MAX_UPLOAD_CHUNKS * (64 * 1024 + 600)


def sign_transaction(key: PrivateKey, payload: Payload) -> Transaction:
    """Return the payload with the key's signature."""
    return Transaction(payload, key.sign(_signed_message(payload)))


def result_commitment(worker: bytes, job: Hash, output_root: Hash, salt: bytes) -> Hash:
    """Return what CommitResult carries; `worker` is an address, `output_root` a blob root."""
    return digest("commit", worker, job, output_root, salt)


def _signed_message(payload: Payload) -> bytes:
    return digest("tx-sign", encode(payload))
