"""The state on disk: every current value, and the tree that commits to them all.

Values lie flat under FLAT_PREFIX ‖ key; the tree's records (staterecord.py) lie under
TREE_PREFIX ‖ depth ‖ first half-bytes of the path. Both hold the current state only: going back
one block means applying the inverse of its diff, which restores the same root because the tree
has no history.

Nothing here writes. `StateStore.prepare` computes a root and the writes behind it; whoever holds
the chain puts those into one batch with the undo record and the tip, and once that batch is on
disk calls `committed`. A prepared update that is not wanted is simply dropped.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ..core.errors import StorageError
from ..core.hashing import HASH_BYTES, Hash
from ..core.stateproof import Occupant, StateProof, state_path, state_root, state_value_hash
from .kv import KeyValueReader, KeyValueStore, Writes
from .staterecord import (
    EMPTY,
    EMPTY_RECORD,
    Record,
    Subtree,
    is_larger,
    make_leaf,
    slot_at,
    split_leaf,
    subtree_hash,
)

FLAT_PREFIX: Final = b"s"
TREE_PREFIX: Final = b"t"

_CACHED_RECORDS: Final = 32_768
"""Least recently used records beyond this leave memory: the top 16 levels take 4,369, the rest
serves busy accounts. A full record takes 3 kB, the small ones at the bottom well below 1 kB."""

_ROOT_KEY: Final = TREE_PREFIX + b"\x00"


@dataclass(frozen=True, slots=True)
class PreparedUpdate:
    """The effect of a diff on the state, computed but not written."""

    base: Hash
    """Root of the state to which it applies."""
    root: Hash
    """Root afterwards."""
    writes: Writes
    """What to put into the database: flat values and tree records."""
    undo_diff: Writes
    """State key → the value before, for exactly the keys that change. The inverse diff."""
    records: dict[bytes, Record | None] = field(repr=False)
    """The tree records of `writes` in decoded form, for the cache."""


@dataclass(frozen=True, slots=True)
class TreeUpdate:
    """New root and changed records of the tree, by database key; None where one goes away."""

    root: Hash
    records: dict[bytes, Record | None]


class StateTree:
    """The Merkle tree in its records, those used lately in memory. One thread at a time."""

    def __init__(self, store: KeyValueReader) -> None:
        self._store: Final = store
        self._cache: Final[OrderedDict[bytes, Record]] = OrderedDict()
        data = store.get(_ROOT_KEY)
        self._root_record = EMPTY_RECORD if data is None else Record.decode(data)

    def root(self) -> Hash:
        """Return the root of the stored tree; 32 zero bytes when it is empty."""
        return subtree_hash(self._root_record.top)

    def update(self, leaves: Mapping[Hash, Hash | None]) -> TreeUpdate:
        """Compute the tree after setting path → value hash, or removing where it is None."""
        changes = [
            (path, EMPTY if value_hash is None else make_leaf(path, value_hash))
            for path, value_hash in leaves.items()
        ]
        records: dict[bytes, Record | None] = {}
        root_record = self._root_record
        if changes:
            root_record = self._change_record(root_record, 0, changes, records)
            # The only record that may stand for a single leaf: there is no parent to hold it.
            records[_ROOT_KEY] = root_record if root_record.top else None
        return TreeUpdate(subtree_hash(root_record.top), records)

    def committed(self, records: Mapping[bytes, Record | None]) -> None:
        """Take over records that are now in the database."""
        for key, record in records.items():
            if key == _ROOT_KEY:
                self._root_record = record or EMPTY_RECORD
            elif record is None:
                self._cache.pop(key, None)
            else:
                self._remember(key, record)

    def descend(self, path: Hash) -> tuple[list[Hash], Subtree]:
        """Walk from the root towards a path: the siblings passed, and the leaf found or EMPTY."""
        siblings, subtree = self._root_record.descend(slot_at(path, 0))
        depth = 1
        while is_larger(subtree):
            record = self._load(_record_key(depth, path), subtree)
            more, subtree = record.descend(slot_at(path, depth))
            siblings += more
            depth += 1
        return siblings, subtree

    def check(self) -> int:
        """Read every record, each against its parent, and return the number of leaves.

        Raises StorageError on a record that is missing, damaged or not part of the tree.
        """
        stored = sum(1 for _ in self._store.iterate(TREE_PREFIX))
        reached = leaves = 0
        pending = [(self._root_record, 0, bytes(HASH_BYTES))]
        while pending:
            record, depth, path = pending.pop()
            reached += record is not EMPTY_RECORD
            for number, subtree in enumerate(record.slots):
                if is_larger(subtree):
                    below = _extended(path, depth, number)
                    record_below = self._load(_record_key(depth + 1, below), subtree)
                    pending.append((record_below, depth + 1, below))
                elif subtree:
                    leaves += 1
        if reached != stored:
            raise StorageError(f"state tree: {stored} records stored, {reached} in the tree")
        return leaves

    def _change_record(
        self, record: Record, depth: int, changes: list["_Change"], out: dict[bytes, Record | None]
    ) -> Record:
        """Apply changes of leaves below one record; collect the changed records below in `out`."""
        by_slot: dict[int, list[_Change]] = {}
        for change in changes:
            by_slot.setdefault(slot_at(change[0], depth), []).append(change)
        return record.replaced(
            {
                number: self._change_slot(record.slot(number), depth + 1, group, out)
                for number, group in by_slot.items()
            }
        )

    def _change_slot(
        self, old: Subtree, depth: int, changes: list["_Change"], out: dict[bytes, Record | None]
    ) -> Subtree:
        """Return the subtree that takes the place of `old`, whose record would be at `depth`."""
        if is_larger(old):
            key = _record_key(depth, changes[0][0])
            record = self._load(key, old)
        else:
            if old and not any(old.startswith(path) for path, _ in changes):
                changes = [*changes, (old[:HASH_BYTES], old)]
            changes = [change for change in changes if change[1]]
            if len(changes) < 2:
                return changes[0][1] if changes else EMPTY
            key = _record_key(depth, changes[0][0])
            record = EMPTY_RECORD
        record = self._change_record(record, depth, changes, out)
        # What shrinks to a leaf or to nothing lives on in its parent's slot alone.
        out[key] = record if is_larger(record.top) else None
        return record.top

    def _load(self, key: bytes, expected: Hash) -> Record:
        """Return the record under a database key, which must hash to `expected`."""
        record = self._cache.get(key)
        if record is not None:
            self._cache.move_to_end(key)
        else:
            data = self._store.get(key)
            if data is None:
                raise StorageError(f"state tree record {key.hex()} is missing; synchronise anew")
            record = Record.decode(data)
        if record.top != expected:
            raise StorageError(f"state tree record {key.hex()} is damaged; synchronise anew")
        self._remember(key, record)
        return record

    def _remember(self, key: bytes, record: Record) -> None:
        self._cache[key] = record
        if len(self._cache) > _CACHED_RECORDS:
            self._cache.popitem(last=False)


_Change: TypeAlias = tuple[Hash, Subtree]
"""A path and the leaf that shall stand there, or EMPTY."""


class StateStore:
    """The current state: reads by key (a consensus `StateView`), prepared updates, proofs.

    `get`, `items` may be called from any thread; the rest by the one that owns the chain, which
    calls nothing here between writing a prepared update and `committed`.
    """

    def __init__(self, store: KeyValueStore) -> None:
        self._store: Final = store
        self._tree: Final = StateTree(store)

    def root(self) -> Hash:
        """Return the root of the stored state. To be compared with the tip's header at start."""
        return self._tree.root()

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a state key, or None."""
        return self._store.get(FLAT_PREFIX + key)

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (state key, value) in ascending order for all keys that begin with `prefix`."""
        return _flat(self._store, prefix)

    def prepare(self, diff: Mapping[bytes, bytes | None]) -> PreparedUpdate:
        """Compute what `diff` does to the stored state: new root, writes and inverse diff.

        Entries that change nothing are dropped. Nothing is stored; a block template just reads
        `root`.
        """
        undo_diff: Writes = {}
        writes: Writes = {}
        leaves: dict[Hash, Hash | None] = {}
        for key, value in diff.items():
            old = self.get(key)
            if old == value:
                continue
            undo_diff[key] = old
            writes[FLAT_PREFIX + key] = value
            leaves[state_path(key)] = None if value is None else state_value_hash(value)
        update = self._tree.update(leaves)
        for key, record in update.records.items():
            writes[key] = None if record is None else record.encode()
        return PreparedUpdate(self.root(), update.root, writes, undo_diff, update.records)

    def committed(self, prepared: PreparedUpdate) -> None:
        """Learn that the writes of `prepared` are on disk. Raises ValueError if they were stale."""
        if prepared.base != self.root():
            raise ValueError("the update was prepared on another state than the current one")
        self._tree.committed(prepared.records)

    def prove(self, key: bytes) -> StateProof:
        """Return the proof of a key's value, or of its absence, against `root()`."""
        path = state_path(key)
        siblings, leaf = self._tree.descend(path)
        value = self.get(key)
        if not leaf.startswith(path):
            if value is not None:
                raise StorageError(f"state key {key.hex()} is not in the tree; synchronise anew")
            occupant = Occupant(*split_leaf(leaf)) if leaf else None
            return StateProof(tuple(siblings), None, occupant)
        if value is None or split_leaf(leaf)[1] != state_value_hash(value):
            raise StorageError(f"state key {key.hex()} differs from the tree; synchronise anew")
        return StateProof(tuple(siblings), value, None)

    def audit(self) -> None:
        """Recompute the root from every flat value, and check every record of the tree.

        Reads the whole state into memory as hashes. Raises StorageError on any difference.
        """
        with self._store.snapshot() as frozen:
            tree = StateTree(frozen)  # a new one, to read from disk what the cache may hide
            recomputed = state_root(_flat(frozen, b""))
            if recomputed != tree.root():
                raise StorageError(
                    f"state: the values hash to {recomputed.hex()}, "
                    f"the tree's root is {tree.root().hex()}; synchronise anew"
                )
            values = sum(1 for _ in _flat(frozen, b""))
            leaves = tree.check()
            if leaves != values:
                raise StorageError(
                    f"state: {values} values but {leaves} leaves in the tree; synchronise anew"
                )


def _flat(store: KeyValueReader, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    for key, value in store.iterate(FLAT_PREFIX + prefix):
        yield key[len(FLAT_PREFIX) :], value


def _record_key(depth: int, path: Hash) -> bytes:
    """Name the record for the first `depth` half-bytes of a path."""
    whole = depth >> 1
    key = TREE_PREFIX + depth.to_bytes(1) + path[:whole]
    return key + (path[whole] & 0xF0).to_bytes(1) if depth & 1 else key


def _extended(path: Hash, depth: int, number: int) -> Hash:
    """Return `path` with half-byte `depth`, zero so far, set to `number`."""
    position = depth >> 1
    byte = path[position] | (number if depth & 1 else number << 4)
    return path[:position] + byte.to_bytes(1) + path[position + 1 :]
