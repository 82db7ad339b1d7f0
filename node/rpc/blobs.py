"""Blobs: how much of one is on the chain, and its bytes."""

from typing import Final

from ...consensus import records as r
from ...core.blob import chunk_count
from ...core.codec import decode
from .context import Context
from .errors import Code, NotFound, RpcFailure
from .registry import MethodTable
from .types import Answer, HexHash

METHODS: Final = MethodTable()

MAX_ANSWERED_BYTES: Final = 28 << 20
"""Largest blob sent whole: as hex it stays below the 64 MiB that clients accept."""


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
def getblobdata(node: Context, root: HexHash) -> Answer:
    """Return the bytes of a complete blob of at most 28 MiB."""
    record = _record(node, bytes.fromhex(root))
    if record is None or not record.completed:
        raise NotFound(f"blob {root} is not complete on the chain")
    if record.size > MAX_ANSWERED_BYTES:
        raise RpcFailure(
            Code.TOO_LARGE, f"blob {root} has {record.size} bytes, {MAX_ANSWERED_BYTES} are sent"
        )
    return {"data": node.chain.blobs.blob(bytes.fromhex(root)).hex()}


def _record(node: Context, root: bytes) -> r.BlobRecord | None:
    data = node.chain.state.get(r.blob_key(root))
    return None if data is None else decode(r.BlobRecord, data, r.RECORD_LIMIT)
