"""Blobs: programs, weights, inputs and long products, cut into chunks under one root.

leaf_i = H("chunk", chunk i); leaves padded to a power of two with 32 zero bytes;
node = H("node", left ‖ right); root = H("blob", u64 size ‖ top). Every chunk but the last is
exactly CHUNK_BYTES long, so the root fixes the size, the count and every length.
"""

from typing import Annotated, Final

import msgspec

from .codec import Bytes32, Value
from .errors import BodyMismatch, RuleViolation
from .hashing import ZERO_HASH, Hash, digest, u64

CHUNK_BYTES: Final = 64 * 1024
MAX_CHUNKS: Final = 1 << 16  # 4 GiB; a bound on paths, not a promise to store that much
MAX_CHUNK_PATH: Final = 16


class Chunk(Value, frozen=True):
    """One chunk of a blob and the siblings that lead from it to the blob's root."""

    data: Annotated[bytes, msgspec.Meta(max_length=CHUNK_BYTES)]
    path: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_CHUNK_PATH)]


def chunk_count(size: int) -> int:
    """Return how many chunks `size` bytes make. Raises RuleViolation when out of bounds."""
    if not 1 <= size <= MAX_CHUNKS * CHUNK_BYTES:
        raise RuleViolation("blob-size", f"a blob of {size} bytes")
    return -(-size // CHUNK_BYTES)


def split_blob(data: bytes) -> tuple[Hash, list[Chunk]]:
    """Return the root of `data` and all its chunks with their paths."""
    count = chunk_count(len(data))
    pieces = [data[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES] for i in range(count)]
    levels = [_pad([digest("chunk", piece) for piece in pieces])]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([digest("node", below[i], below[i + 1]) for i in range(0, len(below), 2)])
    chunks = [
        Chunk(piece, tuple(level[(i >> depth) ^ 1] for depth, level in enumerate(levels[:-1])))
        for i, piece in enumerate(pieces)
    ]
    return _root(len(data), levels[-1][0]), chunks


def blob_root(data: bytes) -> Hash:
    """Return the root of a whole blob."""
    return split_blob(data)[0]


def verify_chunk(root: Hash, size: int, index: int, chunk: Chunk) -> None:
    """Raise BodyMismatch unless `chunk` is number `index` of the blob (root, size)."""
    count = chunk_count(size)
    expected = CHUNK_BYTES if index < count - 1 else size - (count - 1) * CHUNK_BYTES
    if index >= count or len(chunk.data) != expected:
        raise BodyMismatch(f"chunk {index} of {count} has {len(chunk.data)} bytes")
    if len(chunk.path) != (count - 1).bit_length():
        raise BodyMismatch(f"chunk {index} has a path of {len(chunk.path)} hashes")
    node = digest("chunk", chunk.data)
    for depth, sibling in enumerate(chunk.path):
        pair = (sibling, node) if (index >> depth) & 1 else (node, sibling)
        node = digest("node", *pair)
    if _root(size, node) != root:
        raise BodyMismatch(f"chunk {index} does not belong to blob {root.hex()}")


def _root(size: int, top: Hash) -> Hash:
    return digest("blob", u64(size), top)


def _pad(leaves: list[Hash]) -> list[Hash]:
    width = 1 << (len(leaves) - 1).bit_length()
    return leaves + [ZERO_HASH] * (width - len(leaves))
