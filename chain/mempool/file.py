"""The pool on disk between two runs of a node.

    file   = MAGIC ‖ genesis id ‖ record … ‖ BLAKE3 of all before
    record = u32 length ‖ u64 arrival ‖ bundle

Integers are little-endian, the arrival is in UTC seconds, the bundle in canonical bytes. The file
is read for its checksum first and decoded only then. What it holds is offered to the pool like
anything from outside, so a forged file can do no more than a peer can.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from blake3 import blake3

from ...core.codec import decode, encode
from ...core.errors import DecodeError, RuleViolation
from ...core.hashing import HASH_BYTES, Hash
from ...core.transaction import MAX_BUNDLE_BYTES, Bundle
from .entry import Entry

_log = structlog.get_logger(__name__)

MAX_FILE_BYTES: Final = 512 << 20
"""Twice what a pool holds: a larger file is not one of ours."""
_MAGIC: Final = b"pouw mempool 1\n"
_LENGTH_BYTES: Final = 4
_ARRIVAL_BYTES: Final = 8
_BUFFER_BYTES: Final = 1 << 20


def write_pool(path: Path, genesis: Hash, entries: Iterable[Entry]) -> int:
    """Replace the file by one that holds the entries, in order; return how many.

    A crash leaves either the old file or the new one. Raises OSError.
    """
    draft = path.with_name(path.name + ".new")
    count = 0
    with draft.open("wb") as file:
        hasher = blake3()
        for part in (_MAGIC, genesis):
            _put(file, hasher, part)
        for entry in entries:
            bundle = encode(entry.bundle)
            _put(file, hasher, len(bundle).to_bytes(_LENGTH_BYTES, "little"))
            _put(file, hasher, entry.arrived.to_bytes(_ARRIVAL_BYTES, "little"))
            _put(file, hasher, bundle)
            count += 1
        file.write(hasher.digest())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return count


def read_pool(path: Path, genesis: Hash) -> Iterator[tuple[Bundle, int]]:
    """Yield the bundles of a file with the time each arrived; of a file that is not whole, none.

    Says in the log why a file is not used. A file that is absent is no reason for a word.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            why = _damage(file, size, genesis)
            if why is None:
                yield from _records(file, size - HASH_BYTES)
    except FileNotFoundError:
        return
    except (OSError, RuleViolation) as error:
        why = str(error)
    if why is not None:
        _log.warning("mempool.file_ignored", file=str(path), why=why)


def _put(file: BinaryIO, hasher: blake3, data: bytes) -> None:
    hasher.update(data)
    file.write(data)


def _damage(file: BinaryIO, size: int, genesis: Hash) -> str | None:
    """Return what is wrong with a file, or None, and leave it at its first record."""
    head = _MAGIC + genesis
    if not len(head) + HASH_BYTES <= size <= MAX_FILE_BYTES:
        return f"{size} bytes are no file of a pool"
    if file.read(len(head)) != head:
        return "it was written for another network or version"
    hasher, left = blake3(head), size - len(head) - HASH_BYTES
    while left > 0:
        data = file.read(min(left, _BUFFER_BYTES))
        if not data:
            break
        hasher.update(data)
        left -= len(data)
    if left > 0 or file.read(HASH_BYTES + 1) != hasher.digest():
        return "its checksum is wrong"
    file.seek(len(head))
    return None


def _records(file: BinaryIO, end: int) -> Iterator[tuple[Bundle, int]]:
    """Yield the records up to a position. Raises RuleViolation on what no node has written."""
    while file.tell() < end:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        arrived = int.from_bytes(file.read(_ARRIVAL_BYTES), "little")
        if length > MAX_BUNDLE_BYTES:
            raise DecodeError(f"a record of {length} bytes")
        yield decode(Bundle, file.read(length), MAX_BUNDLE_BYTES), arrived
