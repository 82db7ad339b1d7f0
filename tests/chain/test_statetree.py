"""The stored tree against its definition: same root whatever the history, on disk as in memory."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.chain import statetree
from pouw.chain.kv import LevelDB
from pouw.chain.staterecord import SLOTS, Record
from pouw.chain.statetree import FLAT_PREFIX, TREE_PREFIX, StateStore
from pouw.core.errors import RuleViolation, StorageError
from pouw.core.hashing import ZERO_HASH, digest
from pouw.core.stateproof import StateProof, state_path, state_root, verify_state_proof

Diff = Mapping[bytes, bytes | None]

KEYS = [b"key%d" % number for number in range(60)]
DIFFS = st.lists(
    st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=3), max_size=25),
    max_size=6,
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[LevelDB]:
    store = LevelDB(tmp_path / "db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LevelDB]:
    """One database for all examples of a property, emptied between them."""
    store = LevelDB(tmp_path_factory.mktemp("tree") / "db")
    yield store
    store.close()


@pytest.fixture(params=[statetree._CACHED_RECORDS, 1])
def cached_records(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run once with the cache as it is, and once with next to none: all is read from disk."""
    monkeypatch.setattr(statetree, "_CACHED_RECORDS", request.param)


def emptied(db: LevelDB) -> StateStore:
    db.write({key: None for key, _ in db.iterate(b"")}, sync=False)
    return StateStore(db)


def apply(db: LevelDB, store: StateStore, diff: Diff) -> Diff:
    """Commit a diff and return its inverse."""
    prepared = store.prepare(diff)
    db.write(prepared.writes, sync=False)
    store.committed(prepared)
    assert store.root() == prepared.root
    return prepared.undo_diff


def merged(state: dict[bytes, bytes], diff: Diff) -> dict[bytes, bytes]:
    both = {**state, **diff}
    return {key: value for key, value in both.items() if value is not None}


def numbered(count: int, start: int = 0) -> dict[bytes, bytes]:
    return {b"%d" % number: b"v%d" % number for number in range(start, start + count)}


def colliding(bits: int, count: int) -> list[bytes]:
    """Return keys whose paths share their first `bits` bits."""
    found: dict[int, list[bytes]] = {}
    number = 0
    while True:
        key = b"c%d" % number
        group = found.setdefault(int.from_bytes(state_path(key)) >> (256 - bits), [])
        group.append(key)
        if len(group) == count:
            return group
        number += 1


@pytest.mark.usefixtures("cached_records")
def test_any_history_gives_the_root_of_the_content(shared: LevelDB) -> None:
    @settings(max_examples=150, deadline=None)
    @given(DIFFS)
    def check(diffs: list[Diff]) -> None:
        store = emptied(shared)
        state: dict[bytes, bytes] = {}
        for diff in diffs:
            apply(shared, store, diff)
            state = merged(state, diff)
            assert store.root() == state_root(state.items())
        assert StateStore(shared).root() == store.root()
        assert dict(store.items(b"")) == state
        assert all(store.get(key) == state.get(key) for key in KEYS)
        store.audit()

    check()


@pytest.mark.usefixtures("cached_records")
def test_inverse_diffs_restore_every_byte(shared: LevelDB) -> None:
    @settings(max_examples=150, deadline=None)
    @given(DIFFS)
    def check(diffs: list[Diff]) -> None:
        store = emptied(shared)
        history: list[tuple[dict[bytes, bytes], Diff]] = []
        for diff in diffs:
            before = dict(shared.iterate(b""))
            history.append((before, apply(shared, store, diff)))
        for before, inverse in reversed(history):
            apply(shared, store, inverse)
            assert dict(shared.iterate(b"")) == before

    check()


def test_every_key_is_provable_present_or_absent(shared: LevelDB) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.dictionaries(st.sampled_from(KEYS), st.binary(max_size=3)))
    def check(state: dict[bytes, bytes]) -> None:
        store = emptied(shared)
        apply(shared, store, state)
        for key in KEYS:
            proof = store.prove(key)
            assert verify_state_proof(store.root(), key, proof) == state.get(key)
            forged = StateProof(proof.siblings, b"forged", None)
            with pytest.raises(RuleViolation, match="state-proof"):
                verify_state_proof(store.root(), key, forged)
            if key in state:
                hidden = StateProof(proof.siblings, None, None)
                with pytest.raises(RuleViolation, match="state-proof"):
                    verify_state_proof(store.root(), key, hidden)

    check()


@pytest.mark.usefixtures("cached_records")
def test_larger_state_in_several_orders_and_batches(shared: LevelDB) -> None:
    state = numbered(3000)
    expected = state_root(state.items())
    layouts: list[dict[bytes, bytes]] = []
    for entries, size in ((list(state.items()), 3000), (list(state.items())[::-1], 700)):
        store = emptied(shared)
        for start in range(0, len(entries), size):
            apply(shared, store, dict(entries[start : start + size]))
        assert store.root() == expected
        store.audit()
        layouts.append(dict(shared.iterate(TREE_PREFIX)))
    assert layouts[0] == layouts[1]


@pytest.mark.parametrize("bits", [4, 8, 15, 16, 17])
def test_paths_that_share_many_bits(db: LevelDB, bits: int) -> None:
    """Records below records with nothing beside them, and their collapse when a key goes."""
    first, second, third = colliding(bits, 3)
    store = StateStore(db)
    state = {first: b"1", second: b"2"}
    apply(db, store, state)
    assert store.root() == state_root(state.items())
    assert len(list(db.iterate(TREE_PREFIX))) > bits // 4
    proof = store.prove(third)
    assert len(proof.siblings) >= bits
    assert verify_state_proof(store.root(), third, proof) is None
    assert verify_state_proof(store.root(), first, store.prove(first)) == b"1"
    store.audit()
    apply(db, store, {first: None})
    assert store.root() == state_root([(second, b"2")])
    assert len(list(db.iterate(TREE_PREFIX))) == 1
    assert store.prove(first).occupant is not None
    apply(db, store, {second: None, third: b"3"})
    assert store.root() == state_root([(third, b"3")])
    apply(db, store, {third: None})
    assert store.root() == ZERO_HASH
    assert list(db.iterate(b"")) == []


def test_replacing_a_leaf_in_its_slot_by_several(db: LevelDB) -> None:
    first, second, third = colliding(9, 3)
    store = StateStore(db)
    apply(db, store, {first: b"1"})
    apply(db, store, {first: None, second: b"2", third: b"3"})
    assert store.root() == state_root([(second, b"2"), (third, b"3")])
    store.audit()


def test_preparing_changes_nothing(db: LevelDB) -> None:
    """A block template's root is computed and dropped; the next block starts from the same tip."""
    store = StateStore(db)
    apply(db, store, numbered(500))
    root, content = store.root(), dict(db.iterate(b""))
    dropped = store.prepare({**numbered(300, start=400), b"7": None})
    assert dropped.root != root
    assert dropped.base == root == store.root()
    assert dict(db.iterate(b"")) == content
    apply(db, store, {b"8": None})
    expected = {key: value for key, value in numbered(500).items() if key != b"8"}
    assert store.root() == state_root(expected.items())
    with pytest.raises(ValueError, match="another state"):
        store.committed(dropped)


def test_entries_that_change_nothing_are_dropped(db: LevelDB) -> None:
    store = StateStore(db)
    apply(db, store, {b"a": b"1", b"empty": b""})
    prepared = store.prepare({b"a": b"1", b"empty": b"", b"absent": None})
    assert prepared.root == store.root()
    assert not prepared.writes
    assert not prepared.undo_diff
    assert store.prepare({b"empty": None}).undo_diff == {b"empty": b""}


def test_values_by_prefix(db: LevelDB) -> None:
    store = StateStore(db)
    apply(db, store, {b"job/2": b"b", b"job/1": b"a", b"acct/1": b"c", b"jobs": b"d"})
    assert list(store.items(b"job/")) == [(b"job/1", b"a"), (b"job/2", b"b")]


def test_few_records_change_with_one_key(db: LevelDB) -> None:
    store = StateStore(db)
    apply(db, store, numbered(3000))
    writes = store.prepare({b"17": b"changed"}).writes
    assert len(writes) <= 6
    assert sum(len(value or b"") for value in writes.values()) < 5 * (SLOTS + SLOTS * 64)


def test_survives_reopening(tmp_path: Path) -> None:
    db = LevelDB(tmp_path / "db")
    store = StateStore(db)
    apply(db, store, numbered(400))
    root = store.root()
    db.close()
    db = LevelDB(tmp_path / "db")
    store = StateStore(db)
    assert store.root() == root == state_root(numbered(400).items())
    apply(db, store, numbered(10, start=400))
    assert store.root() == state_root(numbered(410).items())
    db.close()


def record_keys(db: LevelDB, depth: int) -> list[bytes]:
    return [key for key, _ in db.iterate(TREE_PREFIX + bytes([depth]))]


def test_wrong_record_is_noticed_on_the_way(db: LevelDB) -> None:
    """Every record below the root is checked against its parent, whatever the disk says."""
    apply(db, StateStore(db), numbered(600))
    mine = next(key for key in numbered(600) if state_path(key)[0] >> 4 == 5)
    target = TREE_PREFIX + b"\x01\x50"
    other = next(key for key in record_keys(db, 1) if key != target)
    db.write({target: db.get(other)})
    store = StateStore(db)
    with pytest.raises(StorageError, match="damaged"):
        store.prepare({mine: b"new"})
    with pytest.raises(StorageError, match="damaged"):
        store.prove(mine)
    with pytest.raises(StorageError, match="damaged"):
        store.audit()
    db.write({target: None})
    with pytest.raises(StorageError, match="missing"):
        store.prepare({mine: b"new"})


def test_audit_reads_the_disk_and_not_the_cache(db: LevelDB) -> None:
    store = StateStore(db)
    apply(db, store, numbered(600))
    store.audit()
    intact = dict(db.iterate(b""))
    deepest = record_keys(db, 2)[0]
    db.write({deepest: None})
    with pytest.raises(StorageError, match="missing"):
        store.audit()
    db.write({deepest: intact[deepest], TREE_PREFIX + b"\x09" + bytes(5): intact[deepest]})
    with pytest.raises(StorageError, match="records stored"):
        store.audit()
    db.write({TREE_PREFIX + b"\x09" + bytes(5): None, FLAT_PREFIX + b"17": b"changed"})
    with pytest.raises(StorageError, match="hash to"):
        store.audit()
    with pytest.raises(StorageError, match="differs from the tree"):
        store.prove(b"17")
    db.write({FLAT_PREFIX + b"17": b"v17", FLAT_PREFIX + b"stray": b"x"})
    with pytest.raises(StorageError, match="not in the tree"):
        store.prove(b"stray")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(15),
        bytes(17),
        bytes([32]) + bytes(15),
        bytes([31]) + bytes(15 + 31),
        bytes([96]) + bytes(15 + 96),
        bytes([64]) + bytes(15 + 63),
    ],
)
def test_malformed_record_is_a_storage_error(data: bytes) -> None:
    with pytest.raises(StorageError, match="damaged"):
        Record.decode(data)


def test_record_bytes_are_the_documented_ones() -> None:
    path, value_hash, inner = (digest("test", bytes([number])) for number in range(3))
    sizes = bytes([0, 64]) + bytes(13) + bytes([32])
    data = sizes + path + value_hash + inner
    assert Record.decode(data).encode() == data
