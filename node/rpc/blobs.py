"""Blobs: how much of one is on the chain, and its bytes."""

from typing import Final

from ...consensus import records as r
from ...core.blob import chunk_count
from ...core.codec import decode
from .context import Context
from .errors import Code, NotFound, RpcFailure
from .registry import MethodTable
from .types import Answer, HexHash, Natural

METHODS: Final = MethodTable()

MAX_ANSWERED_BYTES: Final = 28 << 20
"""Most bytes of a blob in one answer: as hex they stay below the 64 MiB that clients accept."""


@METHODS.read
def getblob(node: Context, root: HexHash) -> Answer | None:
    """Return how much of a blob is on the chain and for how long, or null where nothing is."""
    record = _record(node, bytes.fromhex(root))
    if record is None:
        return None
    return {
        "root": root,
        "size": record.size,
        "chunks": chunk_count(record.size),
        "next_chunk": record.next_chunk,
        "complete": record.completed > 0,
        "expires": record.expires,
        "pinned": record.pinned,
    }


@METHODS.read
def getblobdata(
    node: Context, root: HexHash, offset: Natural = 0, length: Natural | None = None
) -> Answer:
    """Return bytes of a complete blob from `offset` on, at most 28 MiB in one answer.

    Without `length` all the rest; what lies beyond the blob's end is left out.
    """
    record = _record(node, bytes.fromhex(root))
    if record is None or not record.completed:
        raise NotFound(f"blob {root} is not complete on the chain")
    rest = max(0, record.size - offset)
    size = rest if length is None else min(length, rest)
    if size > MAX_ANSWERED_BYTES:
        raise RpcFailure(
            Code.TOO_LARGE,
            f"{size} bytes of blob {root} are too many for one answer: "
            f"ask for {MAX_ANSWERED_BYTES} or fewer by offset and length",
        )
    return {"data": node.chain.blobs.blob(bytes.fromhex(root))[offset : offset + size].hex()}


def _record(node: Context, root: bytes) -> r.BlobRecord | None:
    data = node.chain.state.get(r.blob_key(root))
    return None if data is None else decode(r.BlobRecord, data, r.RECORD_LIMIT)
