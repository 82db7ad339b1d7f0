"""Whether a body is the one its sealed header commits to, and whether its proof holds.

Two kinds of failure, kept apart because the sender of a body is not always its author:
BodyMismatch says "not this block's body", RuleViolation "no body can make this block valid".
"""

from collections.abc import Iterator

from ..core.blob import CHUNK_BYTES, Chunk, chunk_count, verify_chunk
from ..core.block import MAX_BLOCK_CHUNKS, BlockBody, SealedHeader, transactions_root
from ..core.codec import encode
from ..core.errors import BodyMismatch, RuleViolation
from ..core.transaction import Transaction, UploadBlob
from ..genesis import Params
from .ticket import check_opening


def check_body(sealed: SealedHeader, body: BlockBody, params: Params) -> None:
    """Judge a body on its own: commitments first, then sizes, signatures and the proof.

    A RuleViolation condemns the block for ever, so each is raised only over parts that are known
    to be the block's own: over its size last of all, when every part is.

    Raises BodyMismatch, or RuleViolation "blob-size", "blob-range", "block-chunks", "ticket-…",
    "block-bytes" or "tx-signature".
    """
    if transactions_root(body.transactions) != sealed.header.transactions_root:
        raise BodyMismatch("the transactions are not those of the header")
    check_uploads(body.transactions, params)
    check_chunks(body.transactions, body.chunks)
    check_opening(sealed.header.sigma, sealed.head, body.opening)
    check_size(body, params)
    for transaction in body.transactions:
        if not transaction.signature_is_valid():
            raise RuleViolation("tx-signature", f"transaction {transaction.id.hex()}")


def check_uploads(transactions: tuple[Transaction, ...], params: Params) -> None:
    """Refuse uploads that no chunks could satisfy, or that announce more than a block may carry.

    Judged from the transactions alone: a block whose chunks nobody can deliver must be invalid, not
    awaited for ever. Raises RuleViolation "blob-size", "blob-range" or "block-chunks".
    """
    chunks, size = 0, 0
    for upload in _uploads(transactions):
        count, end = chunk_count(upload.size), upload.first_chunk + upload.chunk_count
        if end > count:
            raise RuleViolation("blob-range", f"chunks to {end} of a blob that has {count}")
        chunks += upload.chunk_count
        size += min(end * CHUNK_BYTES, upload.size) - upload.first_chunk * CHUNK_BYTES
    if chunks > MAX_BLOCK_CHUNKS or size > params.max_chunk_bytes:
        raise RuleViolation(
            "block-chunks",
            f"{chunks} chunks of {size} bytes together; "
            f"{MAX_BLOCK_CHUNKS} and {params.max_chunk_bytes} are allowed",
        )


def check_size(body: BlockBody, params: Params) -> None:
    """Hold a body to the network's limit on its canonical bytes. Raises "block-bytes"."""
    size = len(encode(body))
    if size > params.max_block_bytes:
        raise RuleViolation("block-bytes", f"{size} bytes, {params.max_block_bytes} are allowed")


def check_chunks(transactions: tuple[Transaction, ...], chunks: tuple[Chunk, ...]) -> None:
    """Raise BodyMismatch unless the chunks are exactly those that the uploads announce."""
    announced = list(announced_chunks(transactions))
    if len(announced) != len(chunks):
        raise BodyMismatch(f"{len(chunks)} chunks where {len(announced)} are announced")
    for (upload, index), chunk in zip(announced, chunks, strict=True):
        verify_chunk(upload.root, upload.size, index, chunk)


def announced_chunks(
    transactions: tuple[Transaction, ...],
) -> Iterator[tuple[UploadBlob, int]]:
    """Yield (upload, chunk index) for every chunk the transactions announce, in order."""
    for upload in _uploads(transactions):
        for index in range(upload.first_chunk, upload.first_chunk + upload.chunk_count):
            yield upload, index


def _uploads(transactions: tuple[Transaction, ...]) -> Iterator[UploadBlob]:
    for transaction in transactions:
        if isinstance(transaction.payload.body, UploadBlob):
            yield transaction.payload.body
