"""Room in a block, and a body taken apart again into what was sent."""

from collections.abc import Iterator
from typing import Final

from ...core.block import MAX_BLOCK_CHUNKS, MAX_BLOCK_TRANSACTIONS, BlockBody
from ...core.ticket import MAX_OPENING_BYTES
from ...core.transaction import Bundle, UploadBlob
from ...genesis import Params

_BODY_OVERHEAD: Final = 64
"""Array headers around a body's transactions and chunks."""
SMALLEST_BYTES: Final = 128
"""No bundle is smaller: a key and a signature alone take 96 bytes."""


class BlockRoom:
    """What is left of a block for transactions and their chunks, in bytes and in number."""

    def __init__(self, params: Params) -> None:
        """Start with an empty block, less what the largest proof takes."""
        self._bytes = params.max_block_bytes - MAX_OPENING_BYTES - _BODY_OVERHEAD
        self._chunk_bytes = params.max_chunk_bytes
        self._transactions = MAX_BLOCK_TRANSACTIONS
        self._chunks = MAX_BLOCK_CHUNKS

    @property
    def bytes_left(self) -> int:
        """Canonical bytes that still fit."""
        return self._bytes

    @property
    def chunk_bytes_left(self) -> int:
        """Bytes of blobs that still fit."""
        return self._chunk_bytes

    @property
    def is_full(self) -> bool:
        """Whether not even the smallest transaction fits."""
        return self._transactions == 0 or self._bytes < SMALLEST_BYTES

    def fits(self, bundle: Bundle, size: int) -> bool:
        """Tell whether a bundle of `size` canonical bytes has room."""
        return (
            size <= self._bytes
            and chunk_bytes(bundle) <= self._chunk_bytes
            and len(bundle.chunks) <= self._chunks
            and self._transactions > 0
        )

    def take(self, bundle: Bundle, size: int) -> None:
        """Use up room for a bundle that fits."""
        self._bytes -= size
        self._chunk_bytes -= chunk_bytes(bundle)
        self._chunks -= len(bundle.chunks)
        self._transactions -= 1


def bundles_of(body: BlockBody) -> Iterator[Bundle]:
    """Yield a body's transactions, each with its own chunks again."""
    chunks = iter(body.chunks)
    for transaction in body.transactions:
        upload = transaction.payload.body
        count = upload.chunk_count if isinstance(upload, UploadBlob) else 0
        yield Bundle(transaction, tuple(next(chunks) for _ in range(count)))


def chunk_bytes(bundle: Bundle) -> int:
    """Return how many bytes of blobs a bundle brings."""
    return sum(len(chunk.data) for chunk in bundle.chunks)
