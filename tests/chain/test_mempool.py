"""The mempool: what it takes, what it refuses and why, and how it follows the chain."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pouw.chain import mempool as mempool_module
from pouw.chain.chainstate import Chain
from pouw.chain.mempool import MAX_PER_SENDER, BlockRoom, Mempool, bundles_of
from pouw.consensus.budget import Budget
from pouw.consensus.state import State
from pouw.consensus.state_view import Overlay
from pouw.consensus.transition import apply_transaction, begin_block
from pouw.core.blob import CHUNK_BYTES, Chunk
from pouw.core.block import MAX_BLOCK_CHUNKS, MAX_BLOCK_TRANSACTIONS
from pouw.core.codec import encode
from pouw.core.errors import BodyMismatch, PolicyRejection, RuleViolation
from pouw.core.hashing import Hash
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Bundle, Output, Transaction, Transfer
from pouw.genesis import MAINNET, TINY
from pouw.tests.chain.conftest import OpenChain
from pouw.tests.chain.workshop import (
    FAUCET,
    FEE,
    FUNDED,
    KEYS,
    Forge,
    feed,
    pay,
    transaction_of,
    uploads,
)

ALICE, BOB, CAROL = KEYS[:3]


@pytest.fixture
def forge() -> Forge:
    return Forge(FUNDED)


@pytest.fixture
def chain(new_chain: OpenChain) -> Chain:
    return new_chain(FUNDED)


@pytest.fixture
def pool(chain: Chain) -> Mempool:
    return Mempool(chain)


def lone(transaction: Transaction) -> Bundle:
    return Bundle(transaction, ())


def payment(sender: PrivateKey, nonce: int, amount: int = 1, **payload: int) -> Bundle:
    return lone(pay(sender, FAUCET.address, amount, nonce, **payload))


def ids(pool: Mempool) -> list[Hash]:
    return [identity for identity, _ in pool.bundles()]


def check(pool: Mempool, chain: Chain) -> None:
    """Hold a pool's counters to its content, and its content to the rules, from scratch."""
    content = list(pool.bundles())
    assert all(identity == bundle.transaction.id for identity, bundle in content)
    assert len(pool) == len(content)
    assert pool.size == sum(len(encode(bundle)) for _, bundle in content)
    difficulty = chain.index.context(chain.tip).difficulty(chain.params)
    state = State(Overlay(chain.state), chain.params, chain.tip.height + 1)
    begin_block(state, chain.tip.sealed, difficulty)
    for _, bundle in content:
        budget = Budget(chain.params)
        apply_transaction(state, bundle.transaction, difficulty, chain.checker, budget)
    for key in KEYS:
        assert pool.pending_nonce(key.address) == state.account(key.address).nonce


# Taking in ---------------------------------------------------------------------------------------


def test_transactions_wait_in_the_order_they_came(pool: Mempool, chain: Chain) -> None:
    bundles = [payment(ALICE, 0), payment(BOB, 0), payment(ALICE, 1)]
    revision = pool.revision
    taken = [pool.add(bundle) for bundle in bundles]
    assert taken == ids(pool) == [bundle.transaction.id for bundle in bundles]
    assert pool.get(taken[1]) == bundles[1]
    assert taken[2] in pool
    assert pool.get(bytes(32)) is None
    assert bytes(32) not in pool
    assert pool.revision == revision + 3
    assert pool.pending_nonce(ALICE.address) == 2
    check(pool, chain)


def test_money_that_waits_can_be_spent(pool: Mempool, chain: Chain) -> None:
    poor = PrivateKey(b"p" * 32)
    with pytest.raises(RuleViolation, match="balance"):
        pool.add(payment(poor, 0, FEE))
    pool.add(lone(pay(ALICE, poor.address, 3 * FEE, 0)))
    pool.add(payment(poor, 0, FEE))
    check(pool, chain)


def test_a_blob_s_parts_wait_with_their_chunks(pool: Mempool, chain: Chain) -> None:
    parts = list(uploads(ALICE, bytes(5 * CHUNK_BYTES), 0, each=2))
    with pytest.raises(RuleViolation, match="tx-nonce"):
        pool.add(parts[1])
    for part in parts:
        pool.add(part)
    assert [bundle for _, bundle in pool.bundles()] == parts
    assert pool.size > 5 * CHUNK_BYTES
    check(pool, chain)


def forged(bundle: Bundle) -> Bundle:
    return lone(Transaction(bundle.transaction.payload, bytes(64)))


(PART,) = uploads(ALICE, b"data", 0, each=1)
REFUSED = {
    "gap": ("tx-nonce", payment(ALICE, 1)),
    "signature": ("tx-signature", forged(payment(ALICE, 0))),
    "chain": ("tx-chain", payment(ALICE, 0, chain_id=1)),
    "expired": ("tx-expired", payment(ALICE, 0, expiry=0)),
    "balance": ("balance", payment(ALICE, 0, 10**18)),
    "empty": ("transfer-empty", lone(transaction_of(ALICE, Transfer(()), 0))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_leaves_no_trace(pool: Mempool, chain: Chain, case: str) -> None:
    rule, bundle = REFUSED[case]
    revision = pool.revision
    with pytest.raises(RuleViolation) as refused:
        pool.add(bundle)
    assert refused.value.rule == rule
    assert (len(pool), pool.size, pool.revision) == (0, 0, revision)
    pool.add(payment(ALICE, 0))
    check(pool, chain)


@pytest.mark.parametrize(
    "bundle",
    [
        lone(PART.transaction),
        Bundle(PART.transaction, PART.chunks * 2),
        Bundle(PART.transaction, (Chunk(b"liar", ()),)),
        Bundle(payment(ALICE, 0).transaction, PART.chunks),
    ],
)
def test_chunks_must_be_those_announced(pool: Mempool, bundle: Bundle) -> None:
    with pytest.raises(BodyMismatch):
        pool.add(bundle)
    assert len(pool) == 0


def reject(pool: Mempool, bundle: Bundle) -> str:
    with pytest.raises(PolicyRejection) as rejected:
        pool.add(bundle)
    return rejected.value.reason


def test_nothing_is_taken_twice(pool: Mempool, chain: Chain, forge: Forge) -> None:
    bundle = payment(ALICE, 0)
    pool.add(bundle)
    assert reject(pool, bundle) == "known"
    feed(chain, forge.mine(forge.genesis.id, [bundle]))
    assert len(pool) == 0
    assert reject(pool, bundle) == "included"


def test_the_fee_covers_every_started_kib_with_chunks(pool: Mempool) -> None:
    def with_fee(fee: int) -> Bundle:
        unpaid = PART.transaction.payload
        return Bundle(transaction_of(ALICE, unpaid.body, 0, fee), PART.chunks)

    size = len(encode(with_fee(1000)))  # a fee in three bytes, as the one that is needed
    needed = -(-size * TINY.min_fee_per_kib // 1024)
    assert 1000 < needed < 1 << 16
    assert reject(pool, with_fee(needed - 1)) == "fee"
    pool.add(with_fee(needed))


def test_what_fits_into_no_block_is_not_kept(pool: Mempool, chain: Chain) -> None:
    chunks = chain.params.max_chunk_bytes // CHUNK_BYTES
    (large,) = uploads(ALICE, bytes((chunks + 1) * CHUNK_BYTES), 0, each=64)
    assert reject(pool, large) == "size"
    (largest,) = uploads(ALICE, bytes(chunks * CHUNK_BYTES), 0, each=64)
    pool.add(largest)


def test_one_sender_may_have_only_so_many(pool: Mempool, chain: Chain, forge: Forge) -> None:
    bundles = [payment(ALICE, nonce) for nonce in range(MAX_PER_SENDER + 1)]
    for bundle in bundles[:-1]:
        pool.add(bundle)
    assert reject(pool, bundles[-1]) == "sender"
    pool.add(payment(BOB, 0))
    feed(chain, forge.mine(forge.genesis.id, bundles[:2]))
    pool.add(bundles[-1])
    check(pool, chain)


def test_the_pool_is_bounded_in_bytes(
    pool: Mempool, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(encode(payment(ALICE, 0)))
    monkeypatch.setattr(mempool_module, "MAX_POOL_BYTES", 3 * size)
    for key in (ALICE, BOB, CAROL):
        pool.add(payment(key, 0))
    assert pool.size == 3 * size
    assert reject(pool, payment(ALICE, 1)) == "full"
    check(pool, chain)


def test_the_pool_is_bounded_in_number(pool: Mempool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "MAX_POOL_TRANSACTIONS", 2)
    pool.add(payment(ALICE, 0))
    pool.add(payment(BOB, 0))
    assert reject(pool, payment(CAROL, 0)) == "full"


# Following the chain -----------------------------------------------------------------------------


def test_a_block_takes_out_its_own_and_what_conflicts(
    pool: Mempool, chain: Chain, forge: Forge
) -> None:
    included, conflicting, heir, other = (
        payment(ALICE, 0),
        payment(BOB, 0),
        payment(BOB, 1),
        payment(CAROL, 0),
    )
    for bundle in (included, conflicting, other):
        pool.add(bundle)
    rival = payment(BOB, 0, amount=2)
    feed(chain, forge.mine(forge.genesis.id, [included, rival]))
    assert ids(pool) == [other.transaction.id]
    pool.add(heir)
    check(pool, chain)


def test_what_expires_is_dropped(pool: Mempool, chain: Chain, forge: Forge) -> None:
    brief, long = payment(ALICE, 0, expiry=2), payment(BOB, 0)
    pool.add(brief)
    pool.add(long)
    first = forge.mine(forge.genesis.id)
    feed(chain, first)
    assert len(pool) == 2
    feed(chain, forge.mine(first.id))
    assert ids(pool) == [long.transaction.id]
    check(pool, chain)


def test_a_reorg_brings_transactions_back_in_order(
    pool: Mempool, chain: Chain, forge: Forge
) -> None:
    parts = list(uploads(ALICE, bytes(3 * CHUNK_BYTES), 0, each=1))
    again, lost = payment(BOB, 0), payment(CAROL, 0)
    first = forge.mine(forge.genesis.id, [parts[0], again])
    second = forge.mine(first.id, [parts[1], lost])
    feed(chain, first, second)
    pool.add(parts[2])
    pool.add(payment(FAUCET, 0))
    rival = [forge.mine(forge.genesis.id, [again, payment(CAROL, 0, amount=2)])]
    rival += forge.chain_of(rival[0].id, 2)
    feed(chain, *rival)
    assert chain.tip.id == rival[-1].id
    expected = [*parts, payment(FAUCET, 0)]
    assert [bundle for _, bundle in pool.bundles()] == expected
    check(pool, chain)


def test_what_comes_back_obeys_the_limits(
    pool: Mempool, chain: Chain, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [payment(ALICE, nonce) for nonce in range(6)]
    free = payment(BOB, 0, fee=0)
    feed(chain, forge.mine(forge.genesis.id, [free, *bundles]))
    pool.add(payment(CAROL, 0))
    monkeypatch.setattr(mempool_module, "MAX_POOL_BYTES", 4 * len(encode(bundles[0])))
    feed(chain, *forge.chain_of(forge.genesis.id, 2))
    assert ids(pool) == [bundle.transaction.id for bundle in bundles[:4]]
    check(pool, chain)


def test_bundles_of_a_body_are_those_it_was_made_of(forge: Forge) -> None:
    parts = list(uploads(ALICE, bytes(3 * CHUNK_BYTES), 0, each=2))
    bundles = [parts[0], payment(BOB, 0), parts[1]]
    assert list(bundles_of(forge.mine(forge.genesis.id, bundles).body)) == bundles


@pytest.mark.parametrize("seed", range(6))
def test_the_pool_keeps_its_books_through_anything(
    pool: Mempool, chain: Chain, forge: Forge, seed: int
) -> None:
    rng = random.Random(seed)
    parents = [forge.genesis.id]
    for _ in range(40):
        if rng.random() < 0.6:
            sender = rng.choice(KEYS)
            nonce = pool.pending_nonce(sender.address) + (rng.random() < 0.2)
            amount = rng.choice([1, 10**9, 10**15])
            bundle = lone(pay(sender, rng.choice(KEYS).address, amount, nonce))
            try:
                pool.add(bundle)
            except RuleViolation as violation:
                assert violation.rule in ("tx-nonce", "balance")
        else:
            base = rng.choice(parents[-3:])
            block = forge.mine(base, [b for _, b in pool.bundles()][: rng.randint(0, 4)])
            if block.id not in forge.states:  # what waits on the tip may not apply on a fork
                block = forge.mine(base, miner=rng.choice(KEYS))
            feed(chain, block)
            parents.append(block.id)
        check(pool, chain)
    assert chain.tip.height > 2


def test_look_ups_do_not_wait_for_a_validation(pool: Mempool, chain: Chain, forge: Forge) -> None:
    """They run on the event loop, while another thread may hold the chain's lock for seconds."""
    block = forge.mine(forge.genesis.id)
    feed(chain, block)
    pool.add(payment(ALICE, 0))

    def look() -> tuple[object, ...]:
        return (
            len(pool),
            pool.size,
            len(ids(pool)),
            chain.locator(),
            chain.headers_after([], 5),
            chain.wanted_bodies(5),
            chain.body(block.id),
            chain.at_height(1),
        )

    with ThreadPoolExecutor(1) as other, chain.lock:
        seen = other.submit(look).result(timeout=20)
    assert seen[:3] == (1, pool.size, 1)
    assert seen[4] == [block.sealed]


# Room in a block ---------------------------------------------------------------------------------


def test_a_block_has_room_for_so_many_chunks_and_transactions() -> None:
    tiny_blobs = BlockRoom(replace(MAINNET, max_block_bytes=1 << 30))
    size = len(encode(PART))
    for _ in range(MAX_BLOCK_CHUNKS):
        assert tiny_blobs.fits(PART, size)
        tiny_blobs.take(PART, size)
    assert not tiny_blobs.fits(PART, size)
    bundle = payment(ALICE, 0)
    for _ in range(MAX_BLOCK_TRANSACTIONS - MAX_BLOCK_CHUNKS):
        assert tiny_blobs.fits(bundle, 1)
        tiny_blobs.take(bundle, 1)
    assert not tiny_blobs.fits(bundle, 1)


def test_outputs_of_a_large_transfer_count_by_their_bytes(pool: Mempool) -> None:
    outputs = tuple(Output(bytes([i % 256, i // 256]) * 16, 1) for i in range(1000))
    bundle = lone(transaction_of(ALICE, Transfer(outputs), 0))
    pool.add(bundle)
    assert pool.size == len(encode(bundle)) > 30_000
