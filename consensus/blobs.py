"""Blobs on the chain: chunks in order, kept while something needs them."""

from typing import Protocol

import msgspec

from ..core.blob import chunk_count
from ..core.errors import RuleViolation
from ..core.transaction import UploadBlob
from . import records as r
from .events import schedule, schedule_surely
from .state import State


class BlobSource(Protocol):
    """Where the bytes of complete blobs come from.

    Only blobs completed in an earlier block are ever read, so a source never needs to see inside
    the block under judgement.
    """

    def blob(self, root: bytes) -> bytes:
        """Return the bytes of a blob that the state records as complete."""
        ...


def apply_upload(state: State, body: UploadBlob) -> None:
    """Record the next chunks of a blob. The chunks themselves were checked with the block's body.

    Raises RuleViolation "blob-size", "blob-order" or "blob-range".
    """
    count = chunk_count(body.size)
    record = state.blob(body.root)
    if record is None:
        record = _first_chunks(state, body)
    if record.size != body.size:
        raise RuleViolation("blob-size", f"blob {body.root.hex()} has {record.size} bytes")
    if body.first_chunk != record.next_chunk:
        raise RuleViolation(
            "blob-order",
            f"chunk {body.first_chunk}, but blob {body.root.hex()} is at {record.next_chunk}",
        )
    end = body.first_chunk + body.chunk_count
    if end > count:
        raise RuleViolation("blob-range", f"chunks to {end} of a blob that has {count}")
    completed = state.height if end == count else 0
    state.write(
        r.blob_key(body.root),
        msgspec.structs.replace(record, next_chunk=end, completed=completed),
    )


def require_blob(state: State, root: bytes, what: str) -> r.BlobRecord:
    """Return the record of a blob that was complete before this block.

    Raises RuleViolation "blob-missing".
    """
    record = state.blob(root)
    if record is None or not 0 < record.completed < state.height:
        raise RuleViolation("blob-missing", f"{what} {root.hex()} is not on the chain yet")
    return record


def keep_blob(state: State, root: bytes, until: int) -> None:
    """Keep a blob at least to the height `until`."""
    record = state.blob(root)
    if record is not None and record.expires < until:
        state.write(r.blob_key(root), msgspec.structs.replace(record, expires=until))


def pin_blob(state: State, root: bytes) -> None:
    """Keep a blob for as long as models stay registered."""
    record = state.blob(root)
    if record is not None:
        state.write(r.blob_key(root), msgspec.structs.replace(record, pinned=True))


def expire_blob(state: State, root: bytes) -> None:
    """Forget a blob whose time has come, or put its end on the agenda again."""
    record = state.blob(root)
    if record is None or record.pinned:
        return
    if record.expires > state.height:
        schedule_surely(state, record.expires, r.EventKind.BLOB, root, 0)
    else:
        state.delete(r.blob_key(root))


def _first_chunks(state: State, body: UploadBlob) -> r.BlobRecord:
    expires = schedule(
        state, state.height + state.params.blob_window, r.EventKind.BLOB, body.root, 0
    )
    return r.BlobRecord(body.size, 0, 0, expires, False)
