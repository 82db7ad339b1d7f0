"""Random trees of blocks: whatever order they come in, every chain ends on the same block."""

import random
from collections.abc import Callable

import pytest
from pouw.chain.chainstate import Chain
from pouw.core.block import Block
from pouw.core.errors import MissingParent, RuleViolation
from pouw.core.hashing import ZERO_HASH, Hash
from pouw.tests.chain.conftest import OpenStore
from pouw.tests.chain.workshop import (
    FUNDED,
    KEYS,
    NOW,
    Forge,
    active_records,
    audit,
    busy_branch,
    offer,
    open_chain,
    state_of,
)


def random_tree(forge: Forge, rng: random.Random, count: int) -> list[Block]:
    """Mine a random tree with transfers, some invalid blocks and blocks upon those."""
    parents, bad, blocks = [forge.genesis.id], list[Hash](), list[Block]()
    for _ in range(count):
        if bad and rng.random() < 0.15:
            block = forge.bury(rng.choice(bad))
            bad.append(block.id)
        elif rng.random() < 0.12:
            block = rotten_block(forge, rng.choice(parents[-5:]), rng)
            bad.append(block.id)
        else:
            near = parents[-4:] if rng.random() < 0.8 else parents
            (block,) = busy_branch(forge, rng.choice(near), 1, seed=rng.randrange(2**32))
            parents.append(block.id)
        blocks.append(block)
    best = max(parents, key=forge.work)
    return [*blocks, forge.mine(best)]


def rotten_block(forge: Forge, parent: Hash, rng: random.Random) -> Block:
    if rng.random() < 0.5:
        return forge.mine(parent, state_root=ZERO_HASH)
    return forge.mine(parent, [forge.payment(parent, KEYS[0], KEYS[1].address, 10**18)])


def shuffled_feed(
    open_again: Callable[[], Chain], blocks: list[Block], rng: random.Random
) -> Chain:
    """Deliver headers and bodies in random order, parents' headers first; restart now and then."""
    chain = open_again()
    headers, bodies, refused = list(blocks), list[Block](), set[Hash]()
    rng.shuffle(headers)
    while headers or bodies:
        if rng.random() < 0.03:
            chain = open_again()
        if headers and (not bodies or rng.random() < 0.6):
            block = headers.pop(0)
            try:
                chain.accept_header(block.sealed, NOW)
                bodies.append(block)
            except MissingParent:
                (refused.add(block.id) if block.header.parent in refused else headers.append(block))
            except RuleViolation as violation:
                assert violation.rule == "header-branch"
                refused.add(block.id)
        else:
            block = bodies.pop(rng.randrange(len(bodies)))
            try:
                chain.accept_body(block.id, block.body)
            except RuleViolation as violation:
                assert violation.rule in ("state-root", "balance")
    return chain


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_delivery_leads_to_the_same_chain(new_store: OpenStore, seed: int) -> None:
    rng = random.Random(seed)
    forge = Forge(FUNDED)
    blocks = random_tree(forge, rng, 30)
    reference = new_store()
    offer(open_chain(reference, FUNDED), *blocks)
    for _ in range(3):
        store = new_store()
        chain = shuffled_feed(lambda store=store: open_chain(store, FUNDED), blocks, rng)
        assert chain.tip.id == blocks[-1].id
        audit(chain, forge)
        assert active_records(store) == active_records(reference)
        assert state_of(chain) == forge.states[blocks[-1].id]
