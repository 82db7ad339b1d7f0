"""Blobs by root, put together from the chunks that blocks brought."""

from collections.abc import Iterator
from typing import Final

from ..consensus.body_rules import announced_chunks
from ..consensus.records import BlobRecord, blob_key
from ..consensus.state_view import StateView
from ..core.blob import chunk_count
from ..core.block import BlockBody
from ..core.errors import StorageError
from ..core.hashing import Hash
from .kv import KeyValueReader
from .schema import chunk_key, read_stored


class StoredBlobs:
    """A consensus `BlobSource` over the database."""

    def __init__(self, store: KeyValueReader, state: StateView) -> None:
        self._store: Final = store
        self._state: Final = state

    def blob(self, root: Hash) -> bytes:
        """Return the bytes of a complete blob.

        Raises StorageError when the state has none, or the store lost a chunk.
        """
        data = self._state.get(blob_key(root))
        if data is None:
            raise StorageError(f"blob {root.hex()} is not in the state")
        record = read_stored(BlobRecord, data)
        if not record.completed:
            raise StorageError(f"blob {root.hex()} is incomplete: {record.next_chunk} chunks")
        return b"".join(self._chunk(root, i) for i in range(chunk_count(record.size)))

    def _chunk(self, root: Hash, index: int) -> bytes:
        chunk = self._store.get(chunk_key(root, index))
        if chunk is None:
            raise StorageError(f"chunk {index} of blob {root.hex()} is missing; synchronise anew")
        return chunk


def chunk_writes(body: BlockBody) -> Iterator[tuple[bytes, bytes]]:
    """Yield the database entries of the chunks in a body."""
    announced = announced_chunks(body.transactions)
    for (upload, index), chunk in zip(announced, body.chunks, strict=True):
        yield chunk_key(upload.root, index), chunk.data
