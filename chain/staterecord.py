"""One database record of the state tree: four levels of the binary tree, sixteen subtrees below.

The tree is binary (core/stateproof.py); only its storage is hexadecimal, so that a path of
17 levels costs five reads at most. The record for the first `depth` half-bytes of a path holds
the 16 subtrees one half-byte further down, each of them empty, a single leaf, or the hash of a
larger subtree that has a record of its own. The levels in between are computed when a record is
read: its top must then equal the hash that the parent's slot holds, so whatever is read from
below the root is proven undamaged.

    16 × u8: stored size of the subtree in that slot ‖ the subtrees in order:
        empty: 0 bytes      leaf: path ‖ value hash, 64 bytes      larger: hash, 32 bytes
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from ..core.errors import StorageError
from ..core.hashing import HASH_BYTES, ZERO_HASH, Hash
from ..core.stateproof import state_leaf, state_node

LEVELS: Final = 4
SLOTS: Final = 1 << LEVELS

EMPTY: Final = b""
_STORED_LEAF_BYTES: Final = 2 * HASH_BYTES

Subtree: TypeAlias = bytes
"""Told apart by length: EMPTY; the hash of a larger subtree, 32 bytes; or a single leaf, 96 bytes:
path ‖ value hash ‖ leaf hash. The last 32 bytes are thus always the hash (of EMPTY: zeros)."""


def make_leaf(path: Hash, value_hash: Hash) -> Subtree:
    """Return the subtree that holds one key."""
    return path + value_hash + state_leaf(path, value_hash)


def split_leaf(leaf: Subtree) -> tuple[Hash, Hash]:
    """Return path and value hash of a leaf."""
    return leaf[:HASH_BYTES], leaf[HASH_BYTES : 2 * HASH_BYTES]


def is_larger(subtree: Subtree) -> bool:
    """Whether the subtree holds more than one key, in records of its own."""
    return len(subtree) == HASH_BYTES


def subtree_hash(subtree: Subtree) -> Hash:
    """Return what a subtree contributes to its parent's hash."""
    return subtree[-HASH_BYTES:] or ZERO_HASH


def slot_at(path: Hash, depth: int) -> int:
    """Return half-byte `depth` of a path: the slot it takes in a record at that depth."""
    byte = path[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


class Record:
    """Sixteen subtrees and the four levels above them. Never altered once made."""

    __slots__ = ("_heap",)

    def __init__(self, heap: list[Subtree]) -> None:
        # Node i has the children 2i and 2i + 1; 1 is the top, 16 … 31 are the slots; 0 is unused.
        self._heap = heap

    @property
    def top(self) -> Subtree:
        """The subtree that the whole record stands for."""
        return self._heap[1]

    @property
    def slots(self) -> list[Subtree]:
        """The 16 subtrees."""
        return self._heap[SLOTS:]

    def slot(self, number: int) -> Subtree:
        """Return one of the 16 subtrees."""
        return self._heap[SLOTS + number]

    def replaced(self, slots: Mapping[int, Subtree]) -> "Record":
        """Return this record with some slots replaced and the levels above them recomputed."""
        heap = self._heap.copy()
        stale = 0  # one bit per node to recompute
        for number, subtree in slots.items():
            heap[SLOTS + number] = subtree
            stale |= 1 << (SLOTS + number >> 1)
        while stale > 1:
            index = stale.bit_length() - 1  # the highest first: children before their parent
            heap[index] = _join(heap[2 * index], heap[2 * index + 1])
            stale = stale ^ 1 << index | 1 << (index >> 1)
        return Record(heap)

    def descend(self, number: int) -> tuple[list[Hash], Subtree]:
        """Walk from the top towards one slot, for a proof.

        Returns the siblings passed, from the top down, and where the walk ends: at the slot, or
        earlier where a subtree is empty or a single leaf.
        """
        siblings: list[Hash] = []
        index = 1
        while index < SLOTS and is_larger(self._heap[index]):
            index = 2 * index + (number >> (LEVELS - index.bit_length()) & 1)
            siblings.append(subtree_hash(self._heap[index ^ 1]))
        return siblings, self._heap[index]

    def encode(self) -> bytes:
        """Return the bytes to store."""
        parts = [subtree[:_STORED_LEAF_BYTES] for subtree in self._heap[SLOTS:]]
        return bytes(map(len, parts)) + b"".join(parts)

    @staticmethod
    def decode(data: bytes) -> "Record":
        """Read a stored record and compute its inner levels. Raises StorageError."""
        slots: dict[int, Subtree] = {}
        offset = SLOTS
        for number, size in enumerate(data[:SLOTS]):
            if size == _STORED_LEAF_BYTES:
                middle = offset + HASH_BYTES
                slots[number] = make_leaf(data[offset:middle], data[middle : offset + size])
            elif size == HASH_BYTES:
                slots[number] = data[offset : offset + size]
            elif size:
                raise StorageError(_DAMAGED)
            offset += size
        if len(data) != offset:
            raise StorageError(_DAMAGED)
        return EMPTY_RECORD.replaced(slots)


_DAMAGED: Final = "a state tree record is damaged; synchronise anew"

EMPTY_RECORD: Final = Record([EMPTY] * (2 * SLOTS))


def _join(left: Subtree, right: Subtree) -> Subtree:
    """Put two subtrees under one node; a leaf next to nothing moves up instead."""
    if left and right:
        return state_node(left[-HASH_BYTES:], right[-HASH_BYTES:])
    if len(left) == HASH_BYTES:
        return state_node(left, ZERO_HASH)
    if len(right) == HASH_BYTES:
        return state_node(ZERO_HASH, right)
    return left or right
