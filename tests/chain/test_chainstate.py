"""The chain: the heaviest valid branch wins, whatever comes in which order, and leaves no trace."""

import time
from dataclasses import replace

import msgspec
import pytest
from pouw.chain import chainstate, schema
from pouw.chain.chainstate import Chain, ChainChange, chain_totals
from pouw.chain.statetree import FLAT_PREFIX
from pouw.consensus.records import TOTALS_KEY
from pouw.core.block import SealedHeader
from pouw.core.codec import encode
from pouw.core.errors import FromFuture, MissingParent, RuleViolation, StorageError
from pouw.core.hashing import ZERO_HASH
from pouw.genesis import TINY
from pouw.tests.chain.conftest import OpenChain, OpenStore
from pouw.tests.chain.workshop import (
    FAUCET,
    FEE,
    FUNDED,
    KEYS,
    NOW,
    Forge,
    active_records,
    audit,
    busy_branch,
    feed,
    offer,
    open_chain,
)

ALICE, BOB = KEYS[:2]


def _stay(chain: Chain) -> None:
    """Stands for `_activate` of a node that dies before it."""


# Following the heaviest branch -----------------------------------------------------------------


def test_a_new_chain_stands_at_block_0(chain: Chain, forge: Forge) -> None:
    assert chain.tip.id == forge.genesis.id
    audit(chain, forge)
    assert chain.locator() == [forge.genesis.id]
    assert chain.wanted_bodies(5) == []


def test_blocks_are_taken_in_and_looked_up(chain: Chain, forge: Forge) -> None:
    payment = forge.payment(forge.genesis.id, FAUCET, ALICE.address, 5 * FEE)
    first = forge.mine(forge.genesis.id, [payment])
    second = forge.mine(first.id, [forge.payment(first.id, ALICE, BOB.address, FEE)])
    feed(chain, first, second)
    audit(chain, forge)
    assert chain.body(first.id) == first.body
    assert chain.body_bytes(second.id) == encode(second.body)
    assert chain.body(ZERO_HASH) is None
    assert chain.height_of_transaction(payment.id) == 1
    assert forge.account(second.id, ALICE.address).balance == 3 * FEE
    assert chain_totals(chain.state).emitted > 0


@pytest.mark.parametrize("height", [-1, 3, 2**63, 2**64, 2**200])
def test_heights_that_are_not_there_are_none(chain: Chain, forge: Forge, height: int) -> None:
    feed(chain, *forge.chain_of(forge.genesis.id, 2))
    assert chain.at_height(height) is None
    assert chain.totals_at(height) is None


def test_a_branch_of_more_blocks_takes_over(new_chain: OpenChain) -> None:
    forge = Forge(FUNDED)
    chain = new_chain(FUNDED)
    trunk = busy_branch(forge, forge.genesis.id, 3, seed=1)
    short = busy_branch(forge, trunk[-1].id, 3, seed=2)
    long = busy_branch(forge, trunk[-1].id, 4, seed=3)
    feed(chain, *trunk, *short)
    audit(chain, forge)
    feed(chain, *long[:3])
    assert chain.tip.id == short[-1].id, "equal work: the first seen stays"
    feed(chain, long[3])
    assert chain.tip.id == long[-1].id
    audit(chain, forge)


def test_a_shorter_branch_of_more_work_takes_over(new_store: OpenStore) -> None:
    params = replace(TINY, initial_difficulty=1 << 12, min_difficulty=1, difficulty_halflife=20)
    forge = Forge(params)
    reorganised, fresh = new_store(), new_store()
    chain = open_chain(reorganised, params)
    easy = forge.chain_of(forge.genesis.id, 8, later=60)
    hard = forge.chain_of(forge.genesis.id, 3)
    assert forge.work(hard[-1].id) > forge.work(easy[-1].id)
    feed(chain, *easy, *hard)
    assert chain.tip.id == hard[-1].id
    audit(chain, forge)
    feed(open_chain(fresh, params), *hard)
    assert active_records(reorganised) == active_records(fresh)


def test_the_first_of_equal_branches_stays_and_the_other_wins_by_one_more(
    chain: Chain, forge: Forge
) -> None:
    first = forge.chain_of(forge.genesis.id, 2)
    second = forge.chain_of(forge.genesis.id, 2, miner=ALICE)
    feed(chain, *first, *second)
    assert chain.tip.id == first[-1].id
    feed(chain, forge.mine(second[-1].id))
    assert chain.tip.height == 3
    assert chain.is_active(chain.index.get(second[0].id) or chain.tip)


def test_an_invalid_child_does_not_win_a_tie_for_its_parent(chain: Chain, forge: Forge) -> None:
    """The late rival of the tip must not become the tip by help of an invalid block on it."""
    tip = forge.mine(forge.genesis.id)
    rival = forge.mine(forge.genesis.id, miner=ALICE)
    bad = forge.mine(rival.id, state_root=ZERO_HASH)
    feed(chain, tip, rival)
    with pytest.raises(RuleViolation, match="state-root"):
        feed(chain, bad)
    assert chain.tip.id == tip.id
    audit(chain, forge)


def test_a_deep_reorg_equals_a_fresh_import(new_store: OpenStore) -> None:
    forge = Forge(FUNDED)
    trunk = busy_branch(forge, forge.genesis.id, 5, seed=10)
    old = busy_branch(forge, trunk[-1].id, 100, seed=11)
    new = busy_branch(forge, trunk[-1].id, 101, seed=12)
    reorganised, fresh = new_store(), new_store()
    chain = open_chain(reorganised, FUNDED)
    feed(chain, *trunk, *old)
    before = active_records(reorganised)
    feed(chain, *new)
    assert chain.tip.id == new[-1].id
    audit(chain, forge)
    feed(open_chain(fresh, FUNDED), *trunk, *new)
    assert active_records(reorganised) == active_records(fresh)
    revenge = forge.chain_of(old[-1].id, 2)
    feed(chain, *revenge)
    audit(chain, forge)
    after = active_records(reorganised)
    kept = {key for key in before if key[:1] in b"nxyu"}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}


def test_an_invalid_block_inside_a_heavier_branch_leaves_the_old_tip(new_chain: OpenChain) -> None:
    forge = Forge(FUNDED)
    chain = new_chain(FUNDED)
    old = busy_branch(forge, forge.genesis.id, 4, seed=20)
    new = busy_branch(forge, forge.genesis.id, 3, seed=21)
    bad = forge.mine(new[-1].id, state_root=ZERO_HASH)
    buried = [forge.bury(bad.id)]
    buried.append(forge.bury(buried[0].id))
    follower = Follower(chain)
    feed(chain, *old)
    for block in (*new, bad, *buried):
        chain.accept_header(block.sealed, NOW)
    for block in (*buried, bad, *new[1:]):
        chain.accept_body(block.id, block.body)
    feed(chain, new[0])
    assert chain.tip.id == old[-1].id
    assert follower.branch == [forge.genesis.id, *(block.id for block in old)]
    audit(chain, forge)
    for block in (bad, *buried):
        with pytest.raises(RuleViolation, match="state-root"):
            chain.accept_body(block.id, block.body)
    child = forge.bury(buried[-1].id)
    with pytest.raises(RuleViolation, match="header-branch"):
        chain.accept_header(child.sealed, NOW)
    assert chain.wanted_bodies(10) == []
    rest = forge.chain_of(new[-1].id, 2)
    feed(chain, *rest)
    assert chain.tip.id == rest[-1].id, "the valid part of the branch is still good"


def test_bodies_may_come_before_those_of_their_parents(chain: Chain, forge: Forge) -> None:
    blocks = forge.chain_of(forge.genesis.id, 6)
    for block in blocks:
        chain.accept_header(block.sealed, NOW)
    assert chain.wanted_bodies(4) == [block.id for block in blocks[:4]]
    for block in (blocks[5], blocks[2], blocks[1], blocks[4]):
        chain.accept_body(block.id, block.body)
        assert chain.tip.height == 0
    assert chain.wanted_bodies(4) == [blocks[0].id, blocks[3].id]
    chain.accept_body(blocks[0].id, blocks[0].body)
    assert chain.tip.id == blocks[2].id
    chain.accept_body(blocks[3].id, blocks[3].body)
    assert chain.tip.id == blocks[5].id
    audit(chain, forge)


def test_known_things_are_ignored(chain: Chain, forge: Forge) -> None:
    block = forge.mine(forge.genesis.id)
    changes: list[ChainChange] = []
    chain.listeners.append(changes.append)
    assert chain.accept_header(block.sealed, NOW)
    chain.accept_body(block.id, block.body)
    assert not chain.accept_header(block.sealed, NOW)
    chain.accept_body(block.id, block.body)
    assert not chain.accept_header(forge.genesis, NOW)
    chain.accept_body(forge.genesis.id, block.body)
    assert len(changes) == 1
    assert chain.body(forge.genesis.id) is None


def test_what_has_no_parent_waits(chain: Chain, forge: Forge) -> None:
    first, second = forge.chain_of(forge.genesis.id, 2)
    with pytest.raises(MissingParent) as missing:
        chain.accept_header(second.sealed, NOW)
    assert missing.value.parent == first.id
    with pytest.raises(MissingParent):
        chain.accept_body(first.id, first.body)


def test_a_header_from_the_future_is_tried_again_later(chain: Chain, forge: Forge) -> None:
    block = forge.mine(forge.genesis.id, later=1000)
    early = block.header.time - TINY.max_future_seconds - 1
    with pytest.raises(FromFuture):
        chain.accept_header(block.sealed, early)
    assert chain.index.get(block.id) is None
    assert chain.accept_header(block.sealed, early + 1)


# Listeners ---------------------------------------------------------------------------------------


class Follower:
    """Keeps the active branch by changes alone."""

    def __init__(self, chain: Chain) -> None:
        self.branch = [chain.tip.id]
        self.largest = 0
        chain.listeners.append(self.follow)

    def follow(self, change: ChainChange) -> None:
        for entry, body in change.disconnected:
            assert self.branch.pop() == entry.id
            assert body.opening is not None
        for entry, _ in change.connected:
            assert entry.sealed.header.parent == self.branch[-1]
            self.branch.append(entry.id)
        self.largest = max(self.largest, len(change.disconnected) + len(change.connected))


def test_changes_add_up_to_the_active_branch_in_bounded_pieces(
    chain: Chain, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chainstate, "MAX_REPORTED", 5)
    follower = Follower(chain)
    old = forge.chain_of(forge.genesis.id, 23)
    new = forge.chain_of(old[3].id, 25, miner=ALICE)
    bad = forge.mine(new[6].id, state_root=ZERO_HASH)
    rotten = [bad]
    for _ in range(30):
        rotten.append(forge.bury(rotten[-1].id))
    offer(chain, *old)
    for block in (*new, *rotten):
        chain.accept_header(block.sealed, NOW)
    for block in (*rotten[::-1], *new[:0:-1]):
        chain.accept_body(block.id, block.body)
    offer(chain, new[0])
    assert chain.tip.id == new[-1].id
    assert follower.branch == [forge.genesis.id, *(b.id for b in forge.branch(new[-1].id))]
    assert follower.largest <= 5
    audit(chain, forge)


def test_a_failing_listener_harms_neither_the_chain_nor_the_others(
    chain: Chain, forge: Forge
) -> None:
    def fail(change: ChainChange) -> None:
        raise RuleViolation("listener", "a bug that must not be taken for an invalid block")

    chain.listeners.append(fail)
    follower = Follower(chain)
    blocks = forge.chain_of(forge.genesis.id, 3)
    rival = forge.chain_of(forge.genesis.id, 4, miner=ALICE)
    feed(chain, *blocks, *rival)
    assert follower.branch[-1] == chain.tip.id == rival[-1].id
    audit(chain, forge)


def test_listeners_learn_of_the_steps_before_a_failure(new_store: OpenStore, forge: Forge) -> None:
    """Whatever interrupts a reorg: what is on disk by then was reported."""
    store = new_store()
    chain = open_chain(store)
    follower = Follower(chain)
    feed(chain, *forge.chain_of(forge.genesis.id, 2))
    rival = forge.chain_of(forge.genesis.id, 4, miner=ALICE)
    feed(chain, *rival[:2])
    store.write({schema.body_key(rival[1].id): None})
    with pytest.raises(StorageError, match="body of block"):
        feed(chain, *rival[2:])
    assert chain.tip.id == rival[0].id
    assert follower.branch == [forge.genesis.id, rival[0].id]
    audit(chain, forge)


# Starting ----------------------------------------------------------------------------------------


def test_a_restart_finds_everything_again(new_store: OpenStore, forge: Forge) -> None:
    store = new_store()
    chain = open_chain(store)
    blocks = forge.chain_of(forge.genesis.id, 5)
    rival = forge.chain_of(blocks[1].id, 3, miner=ALICE)
    feed(chain, *blocks, *rival)
    ahead = forge.chain_of(blocks[-1].id, 3)
    for block in ahead:
        chain.accept_header(block.sealed, NOW)
    chain.accept_body(ahead[1].id, ahead[1].body)
    again = open_chain(store)
    assert again.tip.id == blocks[-1].id, "equal work: the tip stays over a restart"
    assert len(again.index) == len(chain.index)
    assert again.locator() == chain.locator()
    assert again.wanted_bodies(9) == [ahead[0].id, ahead[2].id]
    again.accept_body(ahead[0].id, ahead[0].body)
    assert again.tip.id == ahead[1].id
    audit(again, forge)


def test_a_start_follows_a_better_branch_that_is_complete_on_disk(
    new_store: OpenStore, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store()
    chain = open_chain(store)
    blocks = forge.chain_of(forge.genesis.id, 3)
    rival = forge.chain_of(blocks[0].id, 3, miner=ALICE)
    feed(chain, *blocks)
    with monkeypatch.context() as patched:
        patched.setattr(Chain, "_activate", _stay)
        feed(chain, *rival)
    assert chain.tip.id == blocks[-1].id
    again = open_chain(store)
    assert again.tip.id == rival[-1].id
    audit(again, forge)


def test_a_start_with_ten_thousand_headers_is_quick(new_store: OpenStore, forge: Forge) -> None:
    store = new_store()
    open_chain(store)
    first = forge.mine(forge.genesis.id)
    sealed, writes = first.sealed, dict[bytes, bytes | None]()
    for _ in range(10_000):
        writes[schema.index_key(sealed.id)] = encode(schema.IndexRecord(sealed, False, ""))
        header = msgspec.structs.replace(
            sealed.header,
            parent=sealed.id,
            height=sealed.header.height + 1,
            time=sealed.header.time + 1,
        )
        sealed = SealedHeader(header, sealed.head, sealed.signature)
    store.write(writes)
    start = time.perf_counter()
    chain = open_chain(store)
    assert time.perf_counter() - start < 3
    assert chain.index.best_header.height == 10_000
    assert chain.wanted_bodies(2)[0] == first.id


def test_headers_whose_parent_went_with_the_power_are_forgotten(
    new_store: OpenStore, forge: Forge
) -> None:
    store = new_store()
    blocks = forge.chain_of(forge.genesis.id, 6)
    chain = open_chain(store)
    feed(chain, *blocks[:2])
    for block in blocks[2:]:
        chain.accept_header(block.sealed, NOW)
    store.write({schema.index_key(blocks[3].id): None})
    again = open_chain(store)
    assert again.tip.id == blocks[1].id
    assert again.index.best_header.id == blocks[2].id
    feed(again, *blocks)
    audit(again, forge)
    assert again.tip.id == blocks[-1].id


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (schema.TIP_KEY, bytes(32), "tip is not in the index"),
        (schema.index_key(bytes(32)), b"\x90", "IndexRecord in the database is damaged"),
    ],
)
def test_a_start_on_damage_says_so(
    new_store: OpenStore, forge: Forge, key: bytes, value: bytes, message: str
) -> None:
    store = new_store()
    feed(open_chain(store), *forge.chain_of(forge.genesis.id, 2))
    store.write({key: value})
    with pytest.raises(StorageError, match=message):
        open_chain(store)


def test_a_state_that_is_not_the_tip_s_is_refused(new_store: OpenStore, forge: Forge) -> None:
    store = new_store()
    blocks = forge.chain_of(forge.genesis.id, 2)
    feed(open_chain(store), *blocks)
    store.write({schema.TIP_KEY: blocks[0].id})
    with pytest.raises(StorageError, match="does not belong to the tip"):
        open_chain(store)
    store.write({schema.TIP_KEY: None})
    with pytest.raises(StorageError, match="a state but no tip"):
        open_chain(store)


@pytest.mark.parametrize("what", ["body", "totals"])
def test_damage_on_disk_never_condemns_a_block(
    new_store: OpenStore, forge: Forge, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store()
    chain = open_chain(store)
    block = forge.mine(forge.genesis.id)
    chain.accept_header(block.sealed, NOW)
    with monkeypatch.context() as patched:
        patched.setattr(Chain, "_activate", _stay)
        chain.accept_body(block.id, block.body)
    damaged = schema.body_key(block.id) if what == "body" else FLAT_PREFIX + TOTALS_KEY
    sound = store.get(damaged)
    store.write({damaged: b"\x93\x00"})
    with pytest.raises(StorageError, match="damaged"):
        if what == "body":
            open_chain(store)
        else:
            chain_totals(chain.state)
    store.write({damaged: sound})
    assert open_chain(store).tip.id == block.id


def test_undo_that_does_not_lead_back_is_noticed(new_store: OpenStore, forge: Forge) -> None:
    store = new_store()
    chain = open_chain(store)
    blocks = forge.chain_of(forge.genesis.id, 2)
    feed(chain, *blocks)
    key = schema.undo_key(blocks[1].id)
    undo = schema.read_stored(schema.UndoRecord, store.get(key) or b"")
    store.write({key: encode(schema.UndoRecord(undo.entries[:-1]))})
    with pytest.raises(StorageError, match="does not restore"):
        feed(chain, *forge.chain_of(forge.genesis.id, 3, miner=ALICE))
    store.write({key: None})
    with pytest.raises(StorageError, match="no undo record"):
        open_chain(store)


# Serving -----------------------------------------------------------------------------------------


def test_headers_are_served_after_the_first_known_id(chain: Chain, forge: Forge) -> None:
    blocks = forge.chain_of(forge.genesis.id, 30)
    stale = forge.chain_of(blocks[9].id, 3, miner=ALICE)
    feed(chain, *blocks, *stale)
    sealed = [block.sealed for block in blocks]
    assert chain.headers_after([], 100) == sealed
    assert chain.headers_after([stale[-1].id, blocks[9].id], 5) == sealed[10:15]
    assert chain.headers_after([ZERO_HASH, stale[0].id], 3) == sealed[:3]
    assert chain.headers_after([blocks[-1].id], 3) == []
    assert chain.headers_after(chain.locator(), 3) == []
    beyond = [ZERO_HASH] * chainstate.MAX_LOCATOR
    assert chain.headers_after([*beyond, blocks[5].id], 1) == sealed[:1]


def test_headers_served_during_a_reorg_are_linked(new_store: OpenStore, forge: Forge) -> None:
    """Look-ups take no lock, so half of the heights may be the new branch's already."""
    store = new_store()
    chain = open_chain(store)
    blocks = forge.chain_of(forge.genesis.id, 6)
    rival = forge.chain_of(blocks[1].id, 2, miner=ALICE)
    feed(chain, *blocks, *rival)
    store.write({schema.height_key(4): rival[1].id})
    assert chain.headers_after([], 10) == [block.sealed for block in blocks[:3]]
