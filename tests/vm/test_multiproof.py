"""Proofs of several leaves at once, against whole trees."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.commitment import node
from pouw.core.errors import RuleViolation
from pouw.core.hashing import digest, u32
from pouw.vm.multiproof import most_siblings, padding_hash, sibling_places, top_from, tree_height


@given(st.integers(1, 70), st.randoms(use_true_random=False))
def test_proofs_of_many_leaves(count: int, rng: Random) -> None:
    leaves = [digest("leaf", u32(i)) for i in range(count)]
    height = tree_height(count)
    levels = [leaves + [bytes(32)] * ((1 << height) - count)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node(below[i], below[i + 1]) for i in range(0, len(below), 2)])
    assert len(levels) == height + 1
    chosen = sorted(rng.sample(range(count), rng.randint(1, count)))
    siblings = [levels[level][index] for level, index in sibling_places(chosen, height)]
    hashes = [leaves[i] for i in chosen]
    assert top_from(chosen, hashes, height, siblings) == levels[-1][0]
    runs = sum(1 for i in chosen if i - 1 not in chosen)
    assert len(siblings) <= most_siblings(len(chosen), runs, height)
    for wrong in (siblings[1:], [*siblings, bytes(32)]):
        if len(wrong) != len(siblings):
            with pytest.raises(RuleViolation, match="fraud-opening"):
                top_from(chosen, hashes, height, wrong)


def test_padding_hashes_are_those_of_empty_subtrees() -> None:
    assert padding_hash(0) == bytes(32)
    assert padding_hash(2) == node(node(bytes(32), bytes(32)), node(bytes(32), bytes(32)))
