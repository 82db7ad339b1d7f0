"""Blocks mined with a job's products: who may name one, and what is held against the result."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pouw.consensus import records as r
from pouw.core.hashing import ZERO_HASH, Hash, read_u256, u256
from pouw.core.ticket import Head
from pouw.core.transaction import ClaimJob
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    COIN,
    MINER,
    PARAMS,
    World,
    layered_kit,
)

DATA = layered_kit().data
BOND = 5 * COIN


@pytest.fixture
def job(world: World, layered: Hash) -> Hash:
    """A job that ALICE has claimed."""
    job = world.submit(layered, DATA)
    world.claim(job, ALICE)
    return job


def changed(head: Head, **changes: Any) -> Head:
    return msgspec.structs.replace(head, **changes)


def test_the_claimants_block_is_remembered_by_the_next_block(world: World, job: Hash) -> None:
    head = world.head(job)
    world.mine(miner=ALICE, head=head)
    assert world.job(job).provenance == ()
    world.mine()
    work = u256(world.difficulty)
    assert world.job(job).provenance == (r.Provenance(0, head.root_a, head.root_b, work, 1),)
    world.mine()
    assert world.job(job).provenance[0].blocks == 1


def test_blocks_add_up_per_product_and_roots(world: World, job: Hash) -> None:
    first, second = world.head(job, 0), world.head(job, 1)
    lie = changed(first, root_a=b"l" * 32)
    for head in (first, second, first, lie, first):
        world.mine(miner=ALICE, head=head)
    world.mine()
    work = world.difficulty
    assert world.job(job).provenance == (
        r.Provenance(0, first.root_a, first.root_b, u256(3 * work), 3),
        r.Provenance(1, second.root_a, second.root_b, u256(work), 1),
        r.Provenance(0, lie.root_a, lie.root_b, u256(work), 1),
    )


def test_mining_goes_on_while_the_result_is_frozen(world: World, job: Hash) -> None:
    settlement, head = world.settlement(job), world.head(job)
    world.commit(job, ALICE)
    world.mine(miner=ALICE, head=head)
    world.mine(world.sign(ALICE, settlement))
    assert world.work_record(ALICE).mined_with_jobs == 1


def test_the_block_that_commits_may_name_the_job(world: World, job: Hash) -> None:
    head, settlement = world.head(job), world.settlement(job)
    world.mine(world.sign(ALICE, world.commitment(job, ALICE)), miner=ALICE, head=head)
    world.mine(world.sign(ALICE, settlement))
    assert world.work_record(ALICE).mined_with_jobs == 1


def test_the_block_that_settles_a_job_cannot_name_it(world: World, job: Hash) -> None:
    """What it says could not be held against the result any more."""
    head, settlement = world.head(job), world.settlement(job)
    world.commit(job, ALICE)
    settle = world.sign(ALICE, settlement)
    world.refuse("head-job", settle, miner=ALICE, head=head)
    lie = changed(head, root_a=b"l" * 32)
    world.refuse("head-job", settle, miner=ALICE, head=lie)
    wrong = world.sign(ALICE, msgspec.structs.replace(settlement, products=()))
    world.refuse("settle-products", wrong, miner=ALICE, head=head)
    world.mine(settle, miner=ALICE)


def test_only_live_jobs_can_be_named(world: World, layered: Hash) -> None:
    open_ = world.submit(layered, DATA)
    head = world.head(open_)
    world.refuse("head-job", head=changed(head, job_id=b"j" * 32), miner=ALICE)
    world.refuse("head-job", head=head, miner=ALICE)
    world.claim(open_, ALICE)
    world.mine(miner=ALICE, head=head)
    settlement = world.settlement(open_)
    world.commit(open_, ALICE)
    world.mine(world.sign(ALICE, settlement))
    world.refuse("head-job", head=head, miner=ALICE)


def test_the_claimant_may_mine_from_the_block_of_the_decision_on(
    world: World, layered: Hash
) -> None:
    job = world.submit(layered, DATA)
    head = world.head(job)
    from_claims = world.sign(ALICE, ClaimJob(job))
    world.refuse("head-job", from_claims, head=head, miner=ALICE)
    world.mine(from_claims)
    world.refuse("head-job", head=head, miner=ALICE)
    world.mine()
    world.mine(head=head, miner=ALICE)


def test_a_window_that_ends_ends_the_right_to_name(world: World, job: Hash) -> None:
    head = world.head(job)
    world.mine_to(world.job(job).window_end - 1)
    world.refuse("head-job", head=head, miner=ALICE)


def test_a_block_at_the_end_of_the_window_does_no_harm(world: World, job: Hash) -> None:
    """Its provenance is recorded in the block in which the claim is forfeited."""
    head = world.head(job)
    world.mine_to(world.job(job).window_end - 2)
    world.mine(miner=ALICE, head=head)
    world.mine()
    record = world.job(job)
    assert (record.status, record.provenance) == (r.JobStatus.SUBMITTED, ())


SPOIL: dict[str, tuple[str, Callable[[Head], Head]]] = {
    "op beyond the program": ("head-op", lambda head: changed(head, op=2)),
    "largest op": ("head-op", lambda head: changed(head, op=2**32 - 1)),
    "another op": ("head-shape", lambda head: changed(head, op=1)),
    "m": ("head-shape", lambda head: changed(head, m=32)),
    "n": ("head-shape", lambda head: changed(head, n=32)),
    "k": ("head-shape", lambda head: changed(head, k=384)),
    "another weight": ("head-weight", lambda head: changed(head, root_b=b"w" * 32)),
    "the zero operand for a weight": ("head-weight", lambda head: changed(head, root_b=ZERO_HASH)),
}


@pytest.mark.parametrize(("rule", "spoil"), SPOIL.values(), ids=SPOIL.keys())
def test_shape_and_weight_must_be_the_jobs(
    world: World, job: Hash, rule: str, spoil: Callable[[Head], Head]
) -> None:
    world.refuse(rule, head=spoil(world.head(job)), miner=ALICE)
    world.mine(head=world.head(job), miner=ALICE)


def test_a_jobs_tickets_belong_to_its_claimant(world: World, job: Hash) -> None:
    for other in (BOB, MINER):
        world.refuse("head-worker", head=world.head(job), miner=other)


def test_naming_no_job_is_always_allowed(world: World, job: Hash) -> None:
    head = changed(world.head(job), job_id=ZERO_HASH)
    world.mine(head=head, miner=BOB)
    world.mine()
    assert world.job(job).provenance == ()


LIES: dict[str, Callable[[Head], Head]] = {
    "another operand": lambda head: changed(head, root_a=b"l" * 32),
    "the zero operand": lambda head: changed(head, root_a=ZERO_HASH),
}


@pytest.mark.parametrize("op", [0, 1])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_lying_about_the_operand_forfeits_the_bond_of_a_right_result(
    world: World, job: Hash, op: int, lie: Callable[[Head], Head]
) -> None:
    honest, settlement = world.head(job, op), world.settlement(job)
    world.mine(miner=ALICE, head=honest)
    world.mine(miner=ALICE, head=lie(honest))
    world.commit(job, ALICE)
    burned, funds = world.totals().burned, world.balance(ALICE)
    world.mine(world.sign(ALICE, settlement))
    assert world.job(job).status == r.JobStatus.SUBMITTED
    assert world.totals().burned == burned + BOND
    assert world.balance(ALICE) == funds
    assert world.work_record(ALICE) == r.WorkRecord(wrong=1, last=world.height)
    assert read_u256(world.totals().mined_macs) == 0


def test_a_reopened_job_starts_with_a_clean_record(world: World, layered: Hash) -> None:
    job = world.submit(layered, DATA, blocks=90)
    world.claim(job, ALICE)
    world.mine(miner=ALICE, head=changed(world.head(job), root_a=b"l" * 32))
    world.mine_to(world.job(job).window_end)
    assert world.job(job).provenance == ()
    world.claim(job, BOB)
    world.mine(miner=BOB, head=world.head(job))
    world.settle(job, BOB)
    assert world.job(job).status == r.JobStatus.SETTLED
    assert world.work_record(BOB).mined_with_jobs == 1


def test_mined_work_counts_up_to_the_jobs_own_macs(world: World, job: Hash) -> None:
    macs = world.job(job).macs
    assert world.difficulty > macs
    for op in (0, 1):
        world.mine(miner=ALICE, head=world.head(job, op))
    world.settle(job, ALICE)
    totals = world.totals()
    assert read_u256(totals.useful_macs) == read_u256(totals.mined_macs) == macs
    assert world.work_record(ALICE).mined_with_jobs == 2


def test_mined_work_below_the_jobs_macs_counts_in_full(world: World, job: Hash) -> None:
    works = (100, 250, 90)
    for work, op in zip(works, (0, 1, 0), strict=True):
        world.difficulty = work
        world.mine(miner=ALICE, head=world.head(job, op))
    world.difficulty = PARAMS.initial_difficulty
    world.settle(job, ALICE)
    totals = world.totals()
    assert read_u256(totals.useful_macs) == world.job(job).macs
    assert read_u256(totals.mined_macs) == sum(works)
    assert world.work_record(ALICE).mined_with_jobs == 3
