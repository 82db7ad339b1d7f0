"""The way of a block: envelopes, fees, budgets, and nothing but RuleViolation on hostile input."""

from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.consensus import records as r
from pouw.consensus.budget import Budget
from pouw.consensus.jobs.checker import ResultChecker
from pouw.consensus.state import State
from pouw.consensus.state_view import Overlay
from pouw.consensus.transition import (
    apply_block,
    apply_transaction,
    begin_block,
    end_block,
)
from pouw.core.codec import MAX_INT, decode, encode
from pouw.core.errors import RuleViolation
from pouw.core.hashing import ZERO_HASH, Hash
from pouw.core.transaction import (
    MAX_TRANSACTION_BYTES,
    Body,
    CancelJob,
    ClaimJob,
    CommitResult,
    Output,
    Payload,
    RegisterModel,
    RoyaltyShare,
    SettleJob,
    SubmitJob,
    Transaction,
    Transfer,
    UploadBlob,
    sign_transaction,
)
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    FUNDS,
    OWNER,
    PARAMS,
    STRANGER,
    World,
    layered_kit,
    plain_kit,
)
from pouw.vm.multiplier import ReferenceMultiplier

PAY = Transfer((Output(BOB.address, 1),))


def test_a_transaction_is_for_one_chain(world: World) -> None:
    payload = Payload(world.params.chain_id + 1, ALICE.public, 0, 0, MAX_INT, PAY)
    world.refuse("tx-chain", sign_transaction(ALICE, payload))


def test_a_transaction_expires_after_its_last_height(world: World) -> None:
    late, last = world.sign(ALICE, PAY, expiry=4), world.sign(ALICE, PAY, expiry=5)
    world.mine_to(4)
    world.refuse("tx-expired", late)
    world.mine(last)


def test_nonces_are_used_once_and_in_order(world: World) -> None:
    first, second = world.sign(ALICE, PAY), world.sign(ALICE, PAY, ahead=1)
    world.refuse("tx-nonce", second)
    world.refuse("tx-nonce", second, first)
    world.refuse("tx-nonce", first, first)
    world.mine(first, second)
    world.refuse("tx-nonce", first)
    world.refuse("tx-nonce", second)
    world.refuse("tx-nonce", world.sign(ALICE, PAY, ahead=2**62))


def test_one_bad_transaction_spoils_the_whole_block(world: World) -> None:
    bad = world.sign(STRANGER, PAY)
    world.refuse("balance", world.sign(ALICE, PAY), bad)
    assert world.balance(ALICE) == FUNDS


def test_money_received_in_a_block_may_be_spent_in_it(world: World) -> None:
    gift = world.sign(ALICE, Transfer((Output(STRANGER.address, 10),)))
    world.refuse("balance", world.sign(STRANGER, PAY, fee=9), gift)
    world.mine(gift, world.sign(STRANGER, PAY, fee=9))
    assert world.balance(STRANGER) == 0


def test_the_miners_reward_cannot_be_spent_in_its_own_block() -> None:
    world = World(replace(PARAMS, allocations=((OWNER.address, 1),)))
    world.refuse("balance", world.sign(STRANGER, PAY), miner=STRANGER)
    world.mine(miner=STRANGER)
    world.mine(world.sign(STRANGER, PAY), miner=STRANGER)


def test_subsidy_and_fees_go_to_the_payout_address(world: World) -> None:
    transactions = (world.sign(ALICE, PAY, fee=7), world.sign(BOB, PAY, fee=5))
    block = world.seal(transactions, miner=CAROL)
    header = msgspec.structs.replace(block.header, payout=STRANGER.address)
    block = msgspec.structs.replace(block, header=header)
    diff = apply_block(world.state, world.params, world.tip, block, transactions, world.checker)
    account = decode(r.Account, diff[r.account_key(STRANGER.address)] or b"", 99)
    assert account.balance == world.params.initial_subsidy + 12
    assert r.account_key(CAROL.address) not in diff


def settleable(world: World, count: int) -> list[Transaction]:
    """Bring jobs to where one block could settle them all."""
    model = world.register(plain_kit())
    jobs = [world.submit(model, plain_kit().data) for _ in range(count)]
    world.mine(*(world.sign(ALICE, ClaimJob(job), ahead=i) for i, job in enumerate(jobs)))
    world.mine()
    world.mine()
    world.mine(
        *(world.sign(ALICE, world.commitment(job, ALICE), ahead=i) for i, job in enumerate(jobs))
    )
    return [world.sign(ALICE, world.settlement(job), ahead=i) for i, job in enumerate(jobs)]


def test_settlements_of_one_block_share_a_budget() -> None:
    """Two of these jobs fit, by MACs and by bytes; three do not."""
    size = 2 * 1_000_000
    for params in (
        replace(PARAMS, block_check_macs=2 * 256),
        replace(PARAMS, block_check_bytes=size, max_job_bytes=size),
    ):
        world = World(params)
        settlements = settleable(world, 3)
        world.refuse("block-budget", *settlements)
        world.mine(*settlements[:2])
        world.mine(settlements[2])
        assert world.totals().jobs_settled == 3


def test_block_by_steps_equals_the_whole(world: World) -> None:
    """Templates run transactions on overlays of their own; the result must be the block's."""
    settlements = settleable(world, 2)
    transactions = (*settlements, world.sign(BOB, PAY, fee=3))
    block = world.seal(transactions)
    whole = apply_block(world.state, world.params, world.tip, block, transactions, world.checker)
    state = world.scratch()
    begin_block(state, world.tip, world.difficulty)
    budget, fees = Budget(world.params), 0
    for transaction in transactions:
        inner = State(Overlay(state.overlay), state.params, state.height)
        fees += apply_transaction(inner, transaction, world.difficulty, world.checker, budget)
        inner.overlay.commit_into_parent()
    end_block(state, block.header.payout, fees)
    assert state.overlay.diff() == whole
    assert list(whole) == sorted(whole)


def test_a_node_that_remembers_nothing_decides_the_same(world: World) -> None:
    transactions = tuple(settleable(world, 2))
    block = world.seal(transactions)

    def diff(checker: ResultChecker) -> dict[bytes, bytes | None]:
        return apply_block(world.state, world.params, world.tip, block, transactions, checker)

    fresh = ResultChecker(world.params, world, ReferenceMultiplier())
    assert diff(fresh) == diff(world.checker) == diff(fresh)


# Hostile input ---------------------------------------------------------------------------------


@cache
def _busy() -> tuple[World, tuple[Hash, ...]]:
    """A world with jobs in every status, and the hashes that mean something in it."""
    world = World()
    model = world.register(layered_kit())
    other = world.register(plain_kit())
    data = layered_kit().data
    settled, failed, working, open_, cancelled, claimed = (
        world.submit(model, data, blocks=90) for _ in range(6)
    )
    world.settle(settled, world.claim(settled, ALICE))
    world.cancel(cancelled)
    world.claim(working, ALICE)
    world.commit(failed, world.claim(failed, ALICE))
    world.mine(world.sign(BOB, ClaimJob(claimed)))
    world.mine(world.sign(CAROL, UploadBlob(b"u" * 32, 3 << 16, 0, 1)))
    roots = tuple(world.data)
    hashes = (model, other, settled, failed, working, open_, cancelled, claimed, *roots)
    return world, (*hashes, b"u" * 32, ZERO_HASH, b"\xff" * 32)


_NUMBERS = st.sampled_from([0, 1, 2, 25, 80, 2**31, 2**32 - 1, 2**62, MAX_INT]) | st.integers(
    0, MAX_INT
)


def _bodies(hashes: tuple[Hash, ...]) -> st.SearchStrategy[Body]:
    some = st.sampled_from(hashes) | st.binary(min_size=32, max_size=32)
    u16, u32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
    outputs = st.lists(st.builds(Output, some, _NUMBERS), max_size=4).map(tuple)
    shares = st.lists(st.builds(RoyaltyShare, some, u16 | st.just(100)), max_size=4).map(tuple)
    roots = st.lists(some, max_size=3).map(tuple)
    small = st.integers(0, 3)
    return st.one_of(
        st.builds(Transfer, outputs),
        st.builds(UploadBlob, some, _NUMBERS, u32 | small, st.integers(1, 64)),
        st.builds(
            RegisterModel,
            st.text(min_size=1, max_size=9),
            some,
            some,
            st.text(),
            shares,
            st.text(),
            some | st.just(ZERO_HASH),
        ),
        st.builds(SubmitJob, some, some, u16 | st.just(0), _NUMBERS, _NUMBERS),
        st.builds(CancelJob, some),
        st.builds(ClaimJob, some),
        st.builds(CommitResult, some, some),
        st.builds(SettleJob, some, st.binary(min_size=1, max_size=64), some, roots),
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_hostile_transactions_are_refused_or_applied_never_worse(data: st.DataObject) -> None:
    world, hashes = _busy()
    state = world.scratch()
    begin_block(state, world.tip, world.difficulty)
    budget = Budget(world.params)
    for _ in range(4):
        key = data.draw(st.sampled_from([OWNER, ALICE, BOB, STRANGER]))
        body = data.draw(_bodies(hashes))
        nonce = state.account(key.address).nonce
        fee = data.draw(st.sampled_from([0, 0, COIN, MAX_INT]))
        payload = Payload(world.params.chain_id, key.public, nonce, fee, MAX_INT, body)
        transaction = Transaction(payload, bytes(64))
        assert decode(Transaction, encode(transaction), MAX_TRANSACTION_BYTES) == transaction
        inner = State(Overlay(state.overlay), state.params, state.height)
        try:
            earned = apply_transaction(inner, transaction, world.difficulty, world.checker, budget)
        except RuleViolation:
            continue
        assert earned >= fee
        inner.overlay.commit_into_parent()


@pytest.mark.parametrize(
    "body",
    [
        SubmitJob(b"m" * 32, b"i" * 32, 0, 0, MAX_INT),
        CancelJob(ZERO_HASH),
        ClaimJob(ZERO_HASH),
        CommitResult(ZERO_HASH, ZERO_HASH),
        SettleJob(ZERO_HASH, b"x", ZERO_HASH, ()),
    ],
)
def test_what_does_not_exist_is_unknown(world: World, body: Any) -> None:
    rule = "model-unknown" if isinstance(body, SubmitJob) else "job-unknown"
    world.refuse(rule, world.sign(ALICE, body))
