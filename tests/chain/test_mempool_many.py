"""Many transactions with a reorganisation in the middle, and floods: time and memory stay bounded.

POUW_POOL_TRANSACTIONS sets how many; the default is short, 50000 is the size the pool is made for.
"""

import os
from dataclasses import replace

import pytest
from pouw.chain.chainstate import Chain
from pouw.chain.mempool import Limits, Mempool
from pouw.chain.template import build_template
from pouw.core.block import Block, seal
from pouw.core.errors import PolicyRejection
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Bundle
from pouw.tests.chain.conftest import OpenChain
from pouw.tests.chain.workshop import FAUCET, FEE, FUNDED, MINER, feed, find_proof, pay

COUNT = int(os.environ.get("POUW_POOL_TRANSACTIONS", "1500"))
EACH = 20
KEYS = [PrivateKey((i + 1).to_bytes(32, "big")) for i in range(COUNT // EACH)]
PARAMS = replace(FUNDED, allocations=tuple((key.address, 10**12) for key in KEYS))


@pytest.fixture
def chain(new_chain: OpenChain) -> Chain:
    return new_chain(PARAMS)


def payment(key: PrivateKey, nonce: int, fee: int = FEE) -> Bundle:
    return Bundle(pay(key, FAUCET.address, 1, nonce, fee=fee), ())


def mine(chain: Chain, pool: Mempool, now: int = 0) -> Block:
    template = build_template(chain, pool, MINER.public, MINER.address, now)
    head, opening = find_proof(template.header)
    block = Block(seal(MINER, template.header, head), template.body(opening))
    feed(chain, block)
    assert chain.tip.id == block.id
    return block


def test_a_reorganisation_in_the_middle_loses_nothing(chain: Chain, new_chain: OpenChain) -> None:
    pool = Mempool(chain)
    everything = [payment(key, nonce) for nonce in range(EACH) for key in KEYS]
    half = len(everything) // 2
    for bundle in everything[:half]:
        pool.add(bundle)
    first = mine(chain, pool)
    included = len(first.body.transactions)
    assert len(pool) == half - included
    for bundle in everything[half:]:
        pool.add(bundle)
    rival = new_chain(PARAMS)
    theirs = Mempool(rival)
    for bundle in everything[: half // 3]:
        theirs.add(bundle)
    now = first.header.time + 10
    feed(chain, mine(rival, theirs, now), mine(rival, theirs, now))
    assert chain.tip.height == 2 and first.id != chain.index.locator()[0]
    on_chain = chain_transactions(chain)
    assert len(pool) + len(on_chain) == len(everything)
    assert {identity for identity, _ in pool.bundles()}.isdisjoint(on_chain)
    while len(pool):
        mine(chain, pool, now)
    assert chain_transactions(chain) == {bundle.transaction.id for bundle in everything}


def chain_transactions(chain: Chain) -> set[bytes]:
    found: set[bytes] = set()
    for height in range(1, chain.tip.height + 1):
        entry = chain.at_height(height)
        assert entry is not None
        body = chain.body(entry.id)
        assert body is not None
        found |= {each.id for each in body.transactions}
    return found


def test_a_flood_stays_within_bounds_and_leaves_the_best(chain: Chain) -> None:
    pool = Mempool(chain, lambda: 0, Limits(total_bytes=400_000))
    fees = [FEE + (number * 7919) % 100_003 for number in range(COUNT)]
    refused = 0
    for number, fee in enumerate(fees):
        try:
            pool.add(
                payment(KEYS[number // EACH], pool.pending_nonce(KEYS[number // EACH].address), fee)
            )
        except PolicyRejection as rejection:
            assert rejection.reason in ("fee", "full")
            refused += 1
        assert pool.weight <= pool.limits.total_bytes
    assert refused > 0
    assert len(pool) > 100
    assert pool.least_rate() > PARAMS.min_fee_per_kib
    rates = [package.rate for sender in pool.senders() for package in sender.packages]
    assert len(rates) <= len(pool)


def test_the_books_of_a_flood_are_swept(chain: Chain) -> None:
    """Whatever is replaced a thousand times leaves nothing behind."""
    pool = Mempool(chain)
    fee = FEE
    for _ in range(120):
        pool.add(payment(KEYS[0], 0, fee))
        fee += fee // 10 + 10_000
    assert len(pool) == 1
    assert len(pool._worst._heap) < 70
    pool.add(payment(KEYS[1], 0))
    assert len(pool) == 2
