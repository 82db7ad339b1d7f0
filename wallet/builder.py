"""From a body to a signed bundle: nonce, fee, expiry, signature; and blobs cut into uploads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..core.blob import Chunk, split_blob
from ..core.codec import MAX_INT, decode, encode
from ..core.errors import DecodeError, RuleViolation, UserError
from ..core.hashing import Hash
from ..core.keys import PrivateKey
from ..core.transaction import (
    MAX_TRANSACTION_BYTES,
    MAX_UPLOAD_CHUNKS,
    Body,
    Bundle,
    Payload,
    Transaction,
    UploadBlob,
    sign_transaction,
)
from ..genesis import Params

DEFAULT_FEE_MULTIPLE: Final = 2
"""Of the network's minimum rate, so that a slightly fuller mempool does not drop it."""
UPLOADS_PER_BLOCK: Final = 4
"""An upload takes at most this part of a block's chunk bytes, so that it fits beside others'."""

_KIB: Final = 1024
_BLANK_SIGNATURE: Final = bytes(64)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a sender decides about a transaction besides its body."""

    nonce: int
    """Number of transactions the sender had included or pending before."""
    expiry: int
    """Last height that may include it."""
    fee: int | None = None
    """Base units; without it, `fee_per_kib` times the size."""
    fee_per_kib: int | None = None
    """Base units per started KiB; without it, twice the network's minimum."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One transaction's part of a blob."""

    body: UploadBlob
    chunks: tuple[Chunk, ...]


class Builder:
    """Signs with one key for one network."""

    def __init__(self, params: Params, key: PrivateKey) -> None:
        self.params = params
        self._key = key

    @property
    def address(self) -> bytes:
        """The 32-byte address that pays."""
        return self._key.address

    def build(self, body: Body, terms: Terms, chunks: Sequence[Chunk] = ()) -> Bundle:
        """Return the signed transaction with the chunks it announces.

        Raises UserError when a number is out of range or the transaction is too large.
        """
        fee = terms.fee if terms.fee is not None else self._fee(body, terms, chunks)
        payload = self._payload(body, terms, fee)
        _check(payload)
        return Bundle(sign_transaction(self._key, payload), tuple(chunks))

    def _fee(self, body: Body, terms: Terms, chunks: Sequence[Chunk]) -> int:
        rate = terms.fee_per_kib
        if rate is None:
            rate = DEFAULT_FEE_MULTIPLE * self.params.min_fee_per_kib
        payload = self._payload(body, terms, MAX_INT)  # the fee's own width cannot make it short
        _check(payload)
        return rate * size_in_kib(Bundle(Transaction(payload, _BLANK_SIGNATURE), tuple(chunks)))

    def _payload(self, body: Body, terms: Terms, fee: int) -> Payload:
        return Payload(self.params.chain_id, self._key.public, terms.nonce, fee, terms.expiry, body)


def size_in_kib(bundle: Bundle) -> int:
    """Return the started KiB of a transaction and its chunks, the unit of fees."""
    return -(-len(encode(bundle)) // _KIB)


def uploads(params: Params, data: bytes, first_chunk: int = 0) -> list[Upload]:
    """Cut a blob into uploads in the order the chain takes them, from `first_chunk` on.

    Raises UserError when the blob is empty or larger than any blob may be.
    """
    root, chunks = split(data)
    return pack_chunks(params, root, len(data), chunks, first_chunk)


def split(data: bytes) -> tuple[Hash, list[Chunk]]:
    """Do as core.blob.split_blob for a person's data. Raises UserError on a size no blob has."""
    try:
        return split_blob(data)
    except RuleViolation as violation:
        raise UserError(f"cannot be uploaded: {violation.detail}") from None


def pack_chunks(
    params: Params, root: Hash, size: int, chunks: Sequence[Chunk], first_chunk: int
) -> list[Upload]:
    """Group the chunks of a split blob of `size` bytes, from `first_chunk` on, into uploads."""
    budget = params.max_chunk_bytes // UPLOADS_PER_BLOCK
    packed: list[Upload] = []
    start = first_chunk
    while start < len(chunks):
        stop, used = start + 1, len(encode(chunks[start]))
        while stop < len(chunks) and stop - start < MAX_UPLOAD_CHUNKS:
            used += len(encode(chunks[stop]))
            if used > budget:
                break
            stop += 1
        body = UploadBlob(root, size, start, stop - start)
        packed.append(Upload(body, tuple(chunks[start:stop])))
        start = stop
    return packed


def _check(payload: Payload) -> None:
    """Hold the payload to the bounds of its type; a struct does not check what it is made of."""
    try:
        decode(Payload, encode(payload), MAX_TRANSACTION_BYTES)
    except DecodeError as error:
        raise UserError(f"not a possible transaction: {error.detail}") from None
    except (OverflowError, UnicodeError) as error:
        raise UserError(f"not a possible transaction: {error}") from None
