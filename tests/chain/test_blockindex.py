"""The tree of headers against walks over plain lists: best header, paths, readiness, candidates."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import pytest
from pouw.chain.blockindex import MAX_LOCATOR, BlockIndex, Entry, fork_point, path_from
from pouw.consensus.genesis_block import genesis_block
from pouw.consensus.header_rules import MEDIAN_SPAN
from pouw.core.block import SealedHeader
from pouw.core.hashing import u256
from pouw.genesis import TINY

GENESIS = genesis_block(TINY)


def child(parent: SealedHeader, work: int = 1, time: int = 1, salt: int = 0) -> SealedHeader:
    """Return an unjudged header on another; the index does not look at seals."""
    header = msgspec.structs.replace(
        parent.header,
        parent=parent.id,
        height=parent.header.height + 1,
        time=parent.header.time + time,
        difficulty=u256(work),
        miner=salt.to_bytes(32, "big"),
    )
    return msgspec.structs.replace(parent, header=header)


def grow(index: BlockIndex, parent: Entry, *works: int, salt: int = 0) -> list[Entry]:
    """Add a branch of headers with the given works."""
    branch = [parent]
    for work in works:
        sealed = child(branch[-1].sealed, work, salt=salt)
        branch.append(index.add(sealed, sealed.id))
    return branch[1:]


@dataclass
class Naive:
    """The same tree, answered by looking at everything."""

    entries: list[Entry] = field(default_factory=list[Entry])

    def ancestors(self, entry: Entry) -> list[Entry]:
        path = [entry]
        while path[-1].parent is not None:
            path.append(path[-1].parent)
        return path

    def best_work(self) -> int:
        return max(entry.work for entry in self.entries if not entry.invalid)

    def ready(self, entry: Entry) -> bool:
        return all(block.has_body for block in self.ancestors(entry))

    def missing(self, best: Entry) -> list[bytes]:
        return [e.id for e in reversed(self.ancestors(best)) if not e.has_body]


@pytest.mark.parametrize("seed", range(20))
def test_random_trees_match_a_naive_walk(seed: int) -> None:
    rng = random.Random(seed)
    index = BlockIndex(GENESIS)
    naive = Naive([index.genesis])
    for salt in range(120):
        valid = [entry for entry in naive.entries if not entry.invalid]
        recent = valid[-6:] if rng.random() < 0.8 else valid
        (entry,) = grow(index, rng.choice(recent), rng.randint(1, 5), salt=salt)
        naive.entries.append(entry)
        if rng.random() < 0.7:
            bodiless = [e for e in naive.entries if not e.has_body and not e.invalid]
            if bodiless:
                index.mark_body(rng.choice(bodiless))
        if rng.random() < 0.05:
            guilty = rng.choice(naive.entries[1:])
            condemned = index.mark_invalid(guilty, "rule")
            assert set(condemned) == {e for e in naive.entries if guilty in naive.ancestors(e)}
        best = index.best_header
        assert not best.invalid
        assert best.work == naive.best_work()
        assert index.missing_bodies(1000) == naive.missing(best)
        assert index.missing_bodies(3) == naive.missing(best)[:3]
        assert all(e.ready == naive.ready(e) for e in naive.entries)
        ids = [e.id for e in naive.ancestors(best)]
        located = index.locator()
        assert located[:10] == ids[:10]
        assert [i for i in ids if i in located] == located
    a, b = rng.choice(naive.entries), rng.choice(naive.entries)
    shared = [e for e in naive.ancestors(a) if e in naive.ancestors(b)]
    fork = fork_point(a, b)
    assert fork is shared[0]
    walk = naive.ancestors(a)
    assert path_from(fork, a) == walk[: walk.index(fork)][::-1]


def test_work_adds_up_and_outweighs_length() -> None:
    index = BlockIndex(GENESIS)
    long = grow(index, index.genesis, 1, 1, 1, 1)
    short = grow(index, index.genesis, 3, 2, salt=1)
    assert [e.work for e in (*long, *short)] == [1, 2, 3, 4, 3, 5]
    assert index.best_header is short[-1]
    assert index.missing_bodies(10) == [e.id for e in short]


def test_the_first_seen_header_stays_best_on_equal_work() -> None:
    index = BlockIndex(GENESIS)
    first = grow(index, index.genesis, 2, 2)
    grow(index, index.genesis, 1, 3, salt=1)
    assert index.best_header is first[-1]


def test_the_best_header_moves_off_a_condemned_branch_and_never_back() -> None:
    index = BlockIndex(GENESIS)
    good = grow(index, index.genesis, 1, 1)
    bad = grow(index, index.genesis, 5, 5, salt=1)
    assert index.best_header is bad[-1]
    index.mark_invalid(bad[0], "some-rule")
    assert index.best_header is good[-1]
    (heir,) = grow(index, bad[-1], 9, salt=2)
    assert heir.invalid == "some-rule"
    assert index.best_header is good[-1]


def test_a_body_in_the_gap_makes_all_blocks_above_it_ready() -> None:
    index = BlockIndex(GENESIS)
    low, gap, high, top = grow(index, index.genesis, 1, 1, 1, 1)
    (side,) = grow(index, gap, 1, salt=1)
    assert index.mark_body(low) == [low]
    assert index.mark_body(top) == index.mark_body(high) == index.mark_body(side) == []
    assert set(index.mark_body(gap)) == {gap, high, top, side}
    assert index.best_candidate(index.genesis) is top


def test_the_earlier_ready_block_wins_ties_whoever_is_the_tip() -> None:
    index = BlockIndex(GENESIS)
    (a,) = grow(index, index.genesis, 2)
    (b,) = grow(index, index.genesis, 2, salt=1)
    index.mark_body(b)
    index.mark_body(a)
    assert index.best_candidate(index.genesis) is b
    assert index.best_candidate(b) is b
    index.offer(b)
    assert index.best_candidate(a) is b


def test_candidates_that_cannot_win_are_forgotten() -> None:
    index = BlockIndex(GENESIS)
    entries = grow(index, index.genesis, *[1] * 50)
    for entry in entries:
        index.mark_body(entry)
    assert index.best_candidate(entries[-1]) is entries[-1]
    assert not index._candidates


def test_the_context_has_the_last_times_and_the_branch_s_own_anchor() -> None:
    index = BlockIndex(GENESIS)
    start = GENESIS.header.time
    assert index.context(index.genesis).recent_times == [start]
    long = grow(index, index.genesis, *[1] * 15)
    slow = child(GENESIS, time=100)
    (other,) = grow(index, index.add(slow, slow.id), 1)
    context = index.context(long[-1])
    assert context.recent_times == [start + 15 - i for i in range(MEDIAN_SPAN)]
    assert context.earliest_time == start + 11
    assert context.anchor_time == start + 1
    assert index.context(other).anchor_time == start + 100
    assert index.context(index.genesis).anchor_time == start


def test_a_locator_of_a_long_chain_is_short_and_reaches_block_0() -> None:
    index = BlockIndex(GENESIS)
    entries = grow(index, index.genesis, *[1] * 3000)
    located = index.locator()
    assert len(located) <= MAX_LOCATOR
    heights = [entry.height for i in located if (entry := index.get(i)) is not None]
    assert heights[:11] == list(range(3000, 2989, -1))
    steps = [a - b for a, b in pairwise(heights)]
    assert steps[:-1] == sorted(steps[:-1])
    assert heights[-1] == 0
    assert entries[0].ready is False
