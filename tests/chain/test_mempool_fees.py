"""Fees in integers: what replacing takes, how the floor decays, what is estimated."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.chain.chainstate import Chain
from pouw.chain.mempool import Mempool
from pouw.chain.mempool.estimate import HISTORY, asked_rate
from pouw.chain.mempool.fees import HALF_LIFE, FeeFloor, fee_at, outbidding_fee, rate_of
from pouw.core.codec import encode
from pouw.core.ticket import MAX_OPENING_BYTES
from pouw.core.transaction import Bundle, Output, Transfer
from pouw.tests.chain.conftest import OpenChain
from pouw.tests.chain.workshop import FUNDED, KEYS, Forge, feed, transaction_of

RELAY = 10_000
NARROW = replace(FUNDED, max_block_bytes=MAX_OPENING_BYTES + 40_000)
"""Blocks that hold four of the payments below."""
OUTPUTS = tuple(Output(bytes([i]) * 32, 1) for i in range(250))


def wide(who: int, nonce: int, fee: int) -> Bundle:
    """Return a payment of some 9 KB."""
    return Bundle(transaction_of(KEYS[who], Transfer(OUTPUTS), nonce, fee=fee), ())


def rate(bundle: Bundle) -> int:
    """Return what a bundle pays per KiB, rounded up."""
    return -(-bundle.transaction.payload.fee * 1024 // len(encode(bundle)))


@given(st.integers(0, 10**12), st.integers(1, 10**7))
def test_a_rate_and_its_fee_belong_together(rate: int, size: int) -> None:
    assert rate_of(fee_at(rate, size), size) >= rate
    assert fee_at(rate_of(fee_at(rate, size), size), size) >= fee_at(rate, size)


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.integers(1, 10**9))
def test_outbidding_pays_for_what_goes_and_what_comes(old: int, lost: int, relay: int) -> None:
    needed = outbidding_fee(old, lost, relay)
    assert needed >= old + lost + relay
    assert 10 * (needed - lost) >= 11 * old


def test_replacing_again_and_again_soon_costs_a_fortune() -> None:
    fee, rises = RELAY, 0
    while fee < 10**15:
        fee, rises = outbidding_fee(fee, 0, RELAY), rises + 1
    assert rises < 300


@given(st.integers(0, 2**50), st.lists(st.integers(0, 3 * HALF_LIFE), max_size=8))
def test_the_floor_only_falls_and_never_below_the_relay_rate(rate: int, steps: list[int]) -> None:
    floor, now, seen = FeeFloor(RELAY), 1_000, []
    floor.evicted(rate, now)
    assert floor.at(now) == rate + RELAY
    for step in steps:
        now += step
        seen.append(floor.at(now))
    assert seen == sorted(seen, reverse=True)
    assert all(each >= RELAY for each in seen)
    assert floor.at(now + 60 * HALF_LIFE) == RELAY
    assert floor.at(0) == rate + RELAY, "a clock that goes back decays nothing"


def test_an_eviction_of_less_does_not_lower_the_floor() -> None:
    floor = FeeFloor(RELAY)
    floor.evicted(10**6, 0)
    floor.evicted(10, HALF_LIFE)
    assert floor.at(HALF_LIFE) == (10**6 + RELAY) // 2
    assert floor.at(2 * HALF_LIFE) == (10**6 + RELAY) // 4


# Estimates ---------------------------------------------------------------------------------------


@pytest.fixture
def chain(new_chain: OpenChain) -> Chain:
    return new_chain(NARROW)


def test_where_nothing_competes_the_least_rate_is_enough(chain: Chain) -> None:
    pool = Mempool(chain)
    assert pool.estimate_rate(1) == NARROW.min_fee_per_kib
    pool.add(wide(0, 0, 10**7))
    assert pool.estimate_rate(1) == NARROW.min_fee_per_kib


def test_one_must_outbid_what_fills_the_next_blocks(chain: Chain) -> None:
    pool = Mempool(chain)
    bundles = [wide(number % 6, number // 6, (20 - number) * 10**6) for number in range(12)]
    for bundle in bundles:
        pool.add(bundle)
    assert pool.estimate_rate(1) == rate(bundles[4]) + 1
    assert pool.estimate_rate(2) == rate(bundles[8]) + 1
    assert pool.estimate_rate(3) == NARROW.min_fee_per_kib


def test_full_blocks_are_remembered_and_forgotten(chain: Chain) -> None:
    forge, pool = Forge(NARROW), Mempool(chain)
    asked = rate(wide(3, 0, 6 * 10**6))
    for nonce in range(3):
        fees = (9, 8, 7, 6)
        bundles = [wide(who, nonce, fees[who] * 10**6) for who in range(4)]
        block = forge.mine(chain.tip.id, bundles)
        feed(chain, block)
        assert asked_rate(block.body, NARROW) == asked
    assert pool.estimate_rate(1) == pool.estimate_rate(3) == asked
    again = Mempool(chain)
    assert again.estimate_rate(1) == asked, "a new pool looks back"
    feed(chain, *forge.chain_of(chain.tip.id, 2))
    assert pool.estimate_rate(1) == asked
    assert pool.estimate_rate(3) < asked, "of three blocks one had room"
    feed(chain, *forge.chain_of(chain.tip.id, HISTORY))
    assert pool.estimate_rate(1) == NARROW.min_fee_per_kib


def test_blocks_taken_off_no_longer_count(chain: Chain) -> None:
    forge, pool = Forge(NARROW), Mempool(chain)
    full = forge.mine(forge.genesis.id, [wide(who, 0, 10**7) for who in range(4)])
    feed(chain, full)
    assert pool.estimate_rate(1) == rate(wide(0, 0, 10**7))
    feed(chain, *forge.chain_of(forge.genesis.id, 2))
    assert len(pool) == 4
    assert Mempool(chain).estimate_rate(1) == NARROW.min_fee_per_kib


def test_a_tenth_of_a_block_says_nothing(chain: Chain) -> None:
    """A miner may put in what it likes without moving what others are told."""
    forge = Forge(NARROW)
    own = Bundle(transaction_of(KEYS[4], Transfer(OUTPUTS[:1]), 0, fee=0), ())
    block = forge.mine(forge.genesis.id, [own, *(wide(who, 0, 10**7) for who in range(4))])
    assert asked_rate(block.body, NARROW) == rate(wide(0, 0, 10**7))
