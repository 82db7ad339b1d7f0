"""The mempool: what it takes, what it refuses and why, and how it follows the chain."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pouw.chain.chainstate import Chain
from pouw.chain.mempool import BlockRoom, Limits, Mempool, bundles_of, ground
from pouw.chain.mempool.fees import HALF_LIFE, fee_at, rate_of
from pouw.chain.mempool.limits import ENTRY_BYTES, PART_BYTES
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
    FUNDS,
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
    content = list(pool.entries())
    assert all(entry.id == entry.transaction.id for entry in content)
    assert len(pool) == len(content) == len({entry.id for entry in content})
    assert pool.size == sum(len(encode(entry.bundle)) for entry in content)
    assert pool.weight == sum(entry.weight for entry in content) <= pool.limits.total_bytes
    difficulty = chain.index.context(chain.tip).difficulty(chain.params)
    base = State(Overlay(chain.state), chain.params, chain.tip.height + 1)
    begin_block(base, chain.tip.sealed, difficulty)
    states: dict[bytes, State] = {}
    for entry in content:
        own = State(Overlay(base.overlay), chain.params, base.height)
        state = states.setdefault(entry.sender, own)
        budget = Budget(chain.params)
        apply_transaction(state, entry.transaction, difficulty, chain.checker, budget)
    for key in KEYS:
        state = states.get(key.address, base)
        assert pool.pending_nonce(key.address) == state.account(key.address).nonce
    packages = [package for sender in pool.senders() for package in sender.packages]
    assert sum(len(package.entries) for package in packages) == len(pool)


# Taking in ---------------------------------------------------------------------------------------


def test_transactions_wait_in_an_order_that_applies(pool: Mempool, chain: Chain) -> None:
    bundles = [payment(ALICE, 0), payment(BOB, 0), payment(ALICE, 1)]
    revision = pool.revision
    taken = [pool.add(bundle) for bundle in bundles]
    assert taken == [bundle.transaction.id for bundle in bundles]
    assert ids(pool) == [taken[0], taken[2], taken[1]], "sender by sender, by nonce"
    assert pool.get(taken[1]) == bundles[1]
    assert taken[2] in pool
    assert pool.get(bytes(32)) is None
    assert bytes(32) not in pool
    assert pool.revision == revision + 3
    assert pool.pending_nonce(ALICE.address) == 2
    check(pool, chain)


def test_only_money_on_the_chain_can_be_spent(pool: Mempool, chain: Chain, forge: Forge) -> None:
    poor = PrivateKey(b"p" * 32)
    gift = lone(pay(ALICE, poor.address, 3 * FEE, 0))
    pool.add(gift)
    with pytest.raises(RuleViolation, match="balance"):
        pool.add(payment(poor, 0))
    feed(chain, forge.mine(forge.genesis.id, [gift]))
    pool.add(payment(poor, 0))
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
    bundles = [payment(ALICE, nonce) for nonce in range(pool.limits.sender_transactions + 1)]
    for bundle in bundles[:-1]:
        pool.add(bundle)
    assert reject(pool, bundles[-1]) == "sender"
    pool.add(payment(BOB, 0))
    feed(chain, forge.mine(forge.genesis.id, bundles[:2]))
    pool.add(bundles[-1])
    check(pool, chain)


def test_one_sender_may_have_only_so_many_bytes(chain: Chain) -> None:
    parts = list(uploads(ALICE, bytes(3 * CHUNK_BYTES), 0, each=1))
    pool = Mempool(chain, limits=Limits(sender_bytes=2 * CHUNK_BYTES + 2_000))
    for part in parts[:2]:
        pool.add(part)
    assert reject(pool, parts[2]) == "sender"
    pool.add(payment(BOB, 0))
    check(pool, chain)


def test_cheap_checks_come_before_the_signature(
    pool: Mempool, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of what is refused anyway costs no signature checks."""

    def fails(_self: Transaction) -> bool:
        raise AssertionError("a signature was checked")

    pool.add(payment(ALICE, 0))
    monkeypatch.setattr(Transaction, "signature_is_valid", fails)
    poor = PrivateKey(b"p" * 32)
    for bundle in (payment(poor, 0), payment(ALICE, 2), payment(BOB, 0, chain_id=1)):
        with pytest.raises(RuleViolation):
            pool.add(bundle)
    for bundle in (payment(BOB, 0, fee=1), payment(ALICE, 0, fee=FEE + 1), payment(ALICE, 0)):
        with pytest.raises(PolicyRejection):
            pool.add(bundle)


# Replacing ---------------------------------------------------------------------------------------


def test_a_tenth_more_replaces(pool: Mempool, chain: Chain) -> None:
    old, after = payment(ALICE, 0), payment(ALICE, 1)
    pool.add(old)
    pool.add(after)
    raised = FEE + FEE // 10
    with pytest.raises(PolicyRejection, match=f"takes {raised}, this pays {raised - 1}"):
        pool.add(payment(ALICE, 0, amount=2, fee=raised - 1))
    new = payment(ALICE, 0, amount=2, fee=raised)
    pool.add(new)
    assert ids(pool) == [new.transaction.id, after.transaction.id]
    assert old.transaction.id not in pool
    check(pool, chain)


def test_a_replacement_pays_for_its_own_relay(pool: Mempool) -> None:
    """Ten per cent of a tiny fee would not pay for what travels."""
    least = fee_at(TINY.min_fee_per_kib, len(encode(payment(ALICE, 0))))
    pool.add(payment(ALICE, 0, fee=least))
    outputs = tuple(Output(bytes([i % 256, i // 256]) * 16, 1) for i in range(1000))
    large = lone(transaction_of(ALICE, Transfer(outputs), 0, fee=400_000))
    relay = fee_at(TINY.min_fee_per_kib, len(encode(large)))
    needed = least + relay
    assert relay > 10 * least
    refused = lone(transaction_of(ALICE, Transfer(outputs), 0, fee=needed - 1))
    assert reject(pool, refused) == "replacement"
    pool.add(lone(transaction_of(ALICE, Transfer(outputs), 0, fee=needed)))


def test_a_replacement_pays_for_those_that_cannot_stay(pool: Mempool, chain: Chain) -> None:
    """Else one small fee would put out any number of transactions that travelled already."""
    rest = [payment(ALICE, nonce) for nonce in range(1, 4)]
    for bundle in (payment(ALICE, 0), *rest):
        pool.add(bundle)
    spent = FUNDS - 10 * FEE
    greedy = payment(ALICE, 0, amount=spent, fee=5 * FEE)
    with pytest.raises(PolicyRejection) as refused:
        pool.add(payment(ALICE, 0, amount=FUNDS - 2 * FEE, fee=2 * FEE))
    assert f"it takes {4 * FEE + FEE // 10}" in refused.value.detail
    pool.add(greedy)
    assert ids(pool) == [greedy.transaction.id, *(each.transaction.id for each in rest)]
    last = payment(ALICE, 0, amount=FUNDS - 9 * FEE, fee=9 * FEE)
    pool.add(last)
    assert ids(pool) == [last.transaction.id]
    check(pool, chain)


def test_a_failed_replacement_changes_nothing(pool: Mempool, chain: Chain) -> None:
    bundles = [payment(ALICE, nonce) for nonce in range(3)]
    for bundle in bundles:
        pool.add(bundle)
    revision = pool.revision
    with pytest.raises(RuleViolation, match="balance"):
        pool.add(payment(ALICE, 1, amount=2 * FUNDS, fee=3 * FEE))
    with pytest.raises(RuleViolation, match="tx-signature"):
        pool.add(forged(payment(ALICE, 1, fee=3 * FEE)))
    assert pool.revision == revision
    assert ids(pool) == [bundle.transaction.id for bundle in bundles]
    check(pool, chain)


def part_of(sender: PrivateKey, nonce: int = 0, **terms: int) -> Bundle:
    (part,) = uploads(sender, b"data", nonce, each=1)
    body = part.transaction.payload.body
    return Bundle(transaction_of(sender, body, nonce, **terms), part.chunks)


def test_one_of_two_who_upload_the_same_waits(pool: Mempool, chain: Chain, forge: Forge) -> None:
    """Only one can be included, so the other would travel for nothing."""
    first, after = part_of(ALICE), payment(ALICE, 1)
    pool.add(first)
    pool.add(after)
    assert reject(pool, part_of(BOB)) == "conflict"
    assert reject(pool, part_of(BOB, fee=2 * FEE)) == "conflict", "two would go"
    winner = part_of(BOB, fee=2 * FEE + FEE // 10)
    pool.add(winner)
    assert ids(pool) == [winner.transaction.id]
    pool.add(after_upload := payment(ALICE, 0))
    feed(chain, forge.mine(forge.genesis.id, [first]))
    assert ids(pool) == [], "the nonce is used, the blob is complete"
    assert after_upload.transaction.id not in pool
    check(pool, chain)


# Too much ----------------------------------------------------------------------------------------


def small_pool(chain: Chain, room_for: int, clock: list[int]) -> Mempool:
    weight = make_weight(payment(ALICE, 0))
    return Mempool(chain, lambda: clock[0], Limits(total_bytes=room_for * weight + weight // 2))


def make_weight(bundle: Bundle) -> int:
    return len(encode(bundle)) + ENTRY_BYTES + PART_BYTES


def test_the_worst_paying_go_first(chain: Chain) -> None:
    pool = small_pool(chain, 3, [0])
    fees = {ALICE: 3 * FEE, BOB: 2 * FEE, CAROL: 4 * FEE}
    sent = {key: pool.add(payment(key, 0, fee=fee)) for key, fee in fees.items()}
    best = pool.add(payment(KEYS[3], 0, fee=5 * FEE))
    assert set(ids(pool)) == {sent[ALICE], sent[CAROL], best}
    assert pool.least_rate() > rate_of(2 * FEE, len(encode(payment(BOB, 0))))
    assert reject(pool, payment(BOB, 0, fee=2 * FEE)) == "fee", "not again, for nothing"
    check(pool, chain)


def test_a_parent_stays_with_its_child(chain: Chain) -> None:
    """A child that pays well keeps its parent; one that pays badly goes alone."""
    pool = small_pool(chain, 3, [0])
    parent = pool.add(payment(ALICE, 0, fee=FEE))
    child = pool.add(payment(ALICE, 1, fee=9 * FEE))
    pool.add(payment(BOB, 0, fee=2 * FEE))
    better = pool.add(payment(CAROL, 0, fee=3 * FEE))
    assert ids(pool) == [parent, child, better]
    tail = payment(CAROL, 1, fee=2 * FEE + FEE // 2)
    assert reject(pool, tail) == "full"
    assert ids(pool) == [parent, child, better]
    check(pool, chain)


def test_the_floor_halves_with_time(chain: Chain) -> None:
    clock = [1_000]
    pool = small_pool(chain, 1, clock)
    pool.add(payment(ALICE, 0, fee=FEE))
    pool.add(payment(BOB, 0, fee=2 * FEE))
    raised = pool.least_rate()
    assert raised > TINY.min_fee_per_kib
    clock[0] += HALF_LIFE
    assert pool.least_rate() == raised // 2
    clock[0] += 40 * HALF_LIFE
    assert pool.least_rate() == TINY.min_fee_per_kib


def test_what_waits_too_long_is_dropped(chain: Chain, forge: Forge) -> None:
    clock = [0]
    pool = Mempool(chain, lambda: clock[0], Limits(age_seconds=100))
    pool.add(payment(ALICE, 0))
    clock[0] = 60
    young = pool.add(payment(BOB, 0))
    pool.add(payment(ALICE, 1))
    clock[0] = 101
    feed(chain, forge.mine(forge.genesis.id))
    assert ids(pool) == [young], "a child goes with its parent"
    assert reject_restore(pool, payment(CAROL, 0), arrived=0) == "age"
    check(pool, chain)


def reject_restore(pool: Mempool, bundle: Bundle, arrived: int) -> str:
    with pytest.raises(PolicyRejection) as rejected:
        pool.restore(bundle, arrived)
    return rejected.value.reason


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
    by_sender = {key: [b for _, b in pool.bundles() if sent_by(b, key)] for key in (ALICE, FAUCET)}
    assert by_sender == {ALICE: parts, FAUCET: [payment(FAUCET, 0)]}
    assert len(pool) == len(parts) + 1
    check(pool, chain)


def sent_by(bundle: Bundle, key: PrivateKey) -> bool:
    return bundle.transaction.payload.sender == key.public


def test_what_comes_back_obeys_the_limits(chain: Chain, forge: Forge) -> None:
    pool = small_pool(chain, 4, [0])
    bundles = [payment(ALICE, nonce) for nonce in range(6)]
    free = payment(BOB, 0, fee=0)
    feed(chain, forge.mine(forge.genesis.id, [free, *bundles]))
    pool.add(payment(CAROL, 0, fee=2 * FEE))
    feed(chain, *forge.chain_of(forge.genesis.id, 2))
    assert ids(pool)[1:] == [bundle.transaction.id for bundle in bundles[:3]]
    check(pool, chain)


def test_money_that_a_reorg_takes_away_drops_what_spends_it(
    pool: Mempool, chain: Chain, forge: Forge
) -> None:
    poor = PrivateKey(b"p" * 32)
    feed(chain, forge.mine(forge.genesis.id, [pay(ALICE, poor.address, 3 * FEE, 0)]))
    pool.add(payment(poor, 0))
    rich = pool.add(payment(BOB, 0))
    feed(chain, *forge.chain_of(forge.genesis.id, 2))
    assert pool.pending_nonce(ALICE.address) == 1, "the gift waits again"
    assert pool.pending_nonce(poor.address) == 0
    assert rich in pool
    check(pool, chain)


def test_only_what_a_block_touches_is_run_again(
    pool: Mempool, chain: Chain, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in KEYS:
        pool.add(payment(key, 0))
        pool.add(payment(key, 1))
    run: list[Hash] = []

    def apply(state: State, transaction: Transaction, *rest: Any) -> int:
        run.append(transaction.id)
        return apply_transaction(state, transaction, *rest)

    block = forge.mine(forge.genesis.id, [payment(ALICE, 0), pay(BOB, CAROL.address, 5, 0)])
    monkeypatch.setattr(ground, "apply_transaction", apply)
    feed(chain, block)
    assert run == [payment(ALICE, 1).transaction.id, payment(BOB, 1).transaction.id]
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
                assert violation.rule in ("tx-nonce", "balance"), violation
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
