"""Commit, then reveal: exact payments, wrong results, and the clock of the frozen job."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from pouw.consensus import prices
from pouw.consensus import records as r
from pouw.consensus.jobs.results import apply_settle
from pouw.consensus.state import State
from pouw.consensus.state_view import Overlay
from pouw.core.blob import blob_root
from pouw.core.codec import MAX_INT
from pouw.core.hashing import ZERO_HASH, Hash, read_u256
from pouw.core.keys import PrivateKey
from pouw.core.transaction import (
    ClaimJob,
    CommitResult,
    RoyaltyShare,
    SettleJob,
    result_commitment,
)
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    FUNDS,
    MINER,
    OWNER,
    PARAMS,
    SALT,
    STRANGER,
    World,
    layered_kit,
    plain_kit,
)

DATA = layered_kit().data
BOUNTY = 10 * COIN + 7
BOND = BOUNTY // 2


@pytest.fixture
def job(world: World, layered: Hash) -> Hash:
    """A job that ALICE has claimed; its one long product has to be posted."""
    job = world.submit(layered, DATA, bounty=BOUNTY, fee=77)
    world.claim(job, ALICE)
    return job


def test_settling_pays_everybody_to_the_last_unit(world: World) -> None:
    royalties = (RoyaltyShare(STRANGER.address, 1234), RoyaltyShare(CAROL.address, 1))
    model = world.register(layered_kit(), royalties)
    job = world.submit(model, DATA, bounty=BOUNTY, fee=77)
    world.claim(job, ALICE)
    settlement = world.settlement(job)
    world.commit(job, ALICE)
    keys = (OWNER, ALICE, CAROL, STRANGER, MINER)
    before = {key: world.balance(key) for key in keys}
    totals = world.totals()
    world.mine(world.sign(ALICE, settlement, fee=11))
    record = world.job(job)
    first, second = BOUNTY * 1234 // 10_000, BOUNTY // 10_000
    gained = {key: world.balance(key) - before[key] for key in keys}
    assert gained == {
        OWNER: 0,
        ALICE: BOUNTY - first - second + BOND - 11,
        CAROL: second,
        STRANGER: first,
        MINER: PARAMS.initial_subsidy + record.check_fee + 11,
    }
    assert (record.status, record.escrow, record.bonds) == (r.JobStatus.SETTLED, 0, 0)
    assert (record.output, record.ended) == (blob_root(settlement.output), world.height)
    after = world.totals()
    assert after.burned - totals.burned == record.burn
    assert after.jobs_settled - totals.jobs_settled == 1
    assert read_u256(after.useful_macs) == record.macs == 2 * (16 * 256 + 3 * 16)
    work = world.work_record(ALICE)
    assert (work.jobs, read_u256(work.macs)) == (1, record.macs)
    assert work.earned == BOUNTY - first - second
    assert (work.missed, work.wrong, work.first, work.last) == (0, 0, world.height, world.height)


def test_sums_of_useful_work_add_up_over_jobs_and_workers(world: World, layered: Hash) -> None:
    macs = 0
    for worker in (ALICE, BOB, ALICE):
        job = world.submit(layered, DATA)
        world.claim(job, worker)
        world.settle(job, worker)
        macs += world.job(job).macs
    assert read_u256(world.totals().useful_macs) == macs
    assert read_u256(world.totals().mined_macs) == 0
    assert read_u256(world.work_record(ALICE).macs) == 2 * read_u256(world.work_record(BOB).macs)
    assert world.work_record(ALICE).first < world.work_record(BOB).first
    assert world.work_record(BOB).last < world.work_record(ALICE).last


def reopened(world: World, job: Hash, worker: PrivateKey, funds: int) -> None:
    """Check what a wrong result costs: fee, bond and job; the owner's fee comes out of the bond."""
    record = world.job(job)
    assert (record.status, record.openings) == (r.JobStatus.SUBMITTED, 1)
    assert (record.worker, record.bonds, record.commitment) == (ZERO_HASH, 0, ZERO_HASH)
    assert (record.provenance, record.fee_paid) == ((), 0)
    assert world.balance(worker) == funds - 11
    assert world.totals().burned == BOND - 77
    assert world.work_record(worker) == r.WorkRecord(wrong=1, last=world.height)
    assert world.totals().jobs_settled == 0


def test_a_wrong_output_costs_fee_bond_and_job(world: World, job: Hash) -> None:
    output = bytearray(world.trace(job)[0])
    output[0] ^= 1
    settlement = world.settlement(job, bytes(output))
    world.commit(job, ALICE, bytes(output))
    funds, owner, miner = (world.balance(key) for key in (ALICE, OWNER, MINER))
    world.mine(world.sign(ALICE, settlement, fee=11))
    reopened(world, job, ALICE, funds)
    assert world.balance(OWNER) == owner + 77
    assert world.balance(MINER) == miner + PARAMS.initial_subsidy + 11
    world.claim(job, BOB)
    world.settle(job, BOB)
    assert world.job(job).status == r.JobStatus.SETTLED


@pytest.mark.parametrize("length", [1, 7, 9, 16])
def test_an_output_of_another_length_is_wrong(world: World, job: Hash, length: int) -> None:
    output = bytes(length)
    settlement = world.settlement(job, output)
    world.commit(job, ALICE, output)
    funds = world.balance(ALICE)
    world.mine(world.sign(ALICE, settlement, fee=11))
    reopened(world, job, ALICE, funds)


WRONG_PRODUCTS = {
    "one element by one": ((1, 5), 1),
    "one element by minus one": ((0, 0), -1),
    "one element by 2^24": ((1, 15), 2**24),
    "one element by 2^31, wrapped": ((1, 15), -(2**31)),
    "a whole row by one": ((1, slice(None)), 1),
    "a whole column by 2^24": ((slice(None), 3), 2**24),
    "everything by 2^31, wrapped": ((slice(None), slice(None)), -(2**31)),
}


@pytest.mark.parametrize(("where", "by"), WRONG_PRODUCTS.values(), ids=WRONG_PRODUCTS.keys())
def test_a_wrong_posted_product_costs_the_bond_even_beside_the_right_output(
    world: World, job: Hash, where: tuple[int | slice, int | slice], by: int
) -> None:
    (right,) = world.posted(job)
    wrong = right.astype(np.int64)
    wrong[where] += by
    settlement = world.settlement(job, products=(wrong.astype(np.int32),))
    world.commit(job, ALICE)
    funds = world.balance(ALICE)
    world.mine(world.sign(ALICE, settlement, fee=11))
    reopened(world, job, ALICE, funds)


def test_posted_products_must_be_there_and_of_the_right_size(world: World, job: Hash) -> None:
    good = world.settlement(job)
    world.commit(job, ALICE)
    (root,) = good.products
    short = world.publish(bytes(4 * 2 * 16 - 4))
    for rule, products in (
        ("settle-products", ()),
        ("settle-products", (root, root)),
        ("settle-products", (short,)),
        ("blob-missing", (ZERO_HASH,)),
    ):
        wrong = msgspec.structs.replace(good, products=products)
        world.refuse(rule, world.sign(ALICE, wrong))
    world.mine(world.sign(ALICE, good))


def test_a_product_posted_in_the_block_of_its_settlement_is_too_late(
    world: World, job: Hash
) -> None:
    (right,) = world.posted(job)
    data = right.astype("<i4").tobytes()
    settlement = SettleJob(job, world.trace(job)[0], SALT, (blob_root(data),))
    world.commit(job, ALICE)
    world.refuse("blob-missing", world.sign(ALICE, settlement))
    world.publish(data)
    world.mine(world.sign(ALICE, settlement))


def test_only_what_was_committed_can_be_revealed(world: World, job: Hash) -> None:
    good = world.settlement(job)
    world.commit(job, ALICE)
    for wrong in (
        msgspec.structs.replace(good, salt=bytes(32)),
        msgspec.structs.replace(good, output=good.output + b"\0"),
        msgspec.structs.replace(good, output=b"\xff" * len(good.output)),
    ):
        world.refuse("settle-commitment", world.sign(ALICE, wrong))


def test_nobody_but_the_claimant_commits_or_settles(world: World, job: Hash) -> None:
    """Neither by copying the commitment, nor by copying the revealed result."""
    commitment, settlement = world.commitment(job, ALICE), world.settlement(job)
    world.refuse("job-worker", world.sign(BOB, commitment))
    world.refuse("job-worker", world.sign(BOB, world.commitment(job, BOB)))
    world.mine(world.sign(ALICE, commitment))
    world.refuse("job-worker", world.sign(BOB, settlement))


def test_a_copied_commitment_cannot_be_opened_under_another_name(
    world: World, layered: Hash
) -> None:
    """BOB commits to what ALICE committed before; ALICE misses; her reveal is of no use to him."""
    job = world.submit(layered, DATA, blocks=90)
    world.claim(job, ALICE)
    copied, settlement = world.commitment(job, ALICE), world.settlement(job)
    world.mine(world.sign(ALICE, copied))
    world.mine_to(world.job(job).window_end)
    world.claim(job, BOB)
    world.mine(world.sign(BOB, copied))
    world.refuse("settle-commitment", world.sign(BOB, settlement))


def test_before_a_claim_nobody_is_the_worker(world: World, layered: Hash) -> None:
    job = world.submit(layered, DATA)
    commit = CommitResult(job, bytes(32))
    world.refuse("job-worker", world.sign(ALICE, commit))
    world.mine(world.sign(ALICE, ClaimJob(job)))
    world.refuse("job-worker", world.sign(ALICE, commit))
    world.refuse("job-worker", world.sign(ALICE, SettleJob(job, b"x", SALT, ())))


def test_each_step_once_and_in_order(world: World, job: Hash) -> None:
    settlement = world.settlement(job)
    commitment = world.commitment(job, ALICE)
    world.refuse("job-status", world.sign(ALICE, settlement))
    world.refuse(
        "job-status", world.sign(ALICE, commitment), world.sign(ALICE, settlement, ahead=1)
    )
    world.mine(world.sign(ALICE, commitment))
    world.refuse("job-status", world.sign(ALICE, commitment))
    world.mine(world.sign(ALICE, settlement))
    world.refuse("job-status", world.sign(ALICE, commitment))
    world.refuse("job-status", world.sign(ALICE, settlement))


def test_the_last_block_of_the_settle_window_may_reveal(world: World, job: Hash) -> None:
    settlement = world.settlement(job)
    world.commit(job, ALICE)
    world.mine_to(world.height + world.params.settle_window - 1)
    world.mine(world.sign(ALICE, settlement))
    assert world.job(job).status == r.JobStatus.SETTLED


def test_a_block_later_the_reveal_is_missed(world: World, job: Hash) -> None:
    settlement = world.settlement(job)
    world.commit(job, ALICE)
    committed = world.height
    world.mine_to(committed + world.params.settle_window)
    assert world.job(job).status == r.JobStatus.COMMITTED
    late = world.sign(ALICE, settlement)
    world.refuse("job-worker", late)
    world.mine()
    record = world.job(job)
    assert world.height == committed + world.params.settle_window + 1
    assert (record.status, record.openings) == (r.JobStatus.SUBMITTED, 1)
    assert world.work_record(ALICE).missed == 1
    assert world.totals().burned == BOND - 77


def test_committing_freezes_the_window_and_the_deadline(world: World, layered: Hash) -> None:
    """Whoever censors the reveal past the deadline gains nothing: it counts as long as g lasts."""
    job = world.submit(layered, DATA, bounty=BOUNTY)
    deadline = world.job(job).deadline
    world.mine(world.sign(ALICE, ClaimJob(job)))
    world.mine()
    world.difficulty = 200  # a window that reaches past the deadline
    world.mine()
    world.difficulty = PARAMS.initial_difficulty
    assert world.job(job).window_end > deadline
    settlement = world.settlement(job)
    world.mine_to(deadline - 2)
    world.commit(job, ALICE)
    world.mine_to(deadline + 1)
    assert world.job(job).status == r.JobStatus.COMMITTED
    world.mine(world.sign(ALICE, settlement))
    assert world.height > deadline
    assert world.job(job).status == r.JobStatus.SETTLED


def test_a_wrong_result_after_the_deadline_ends_the_job(world: World, layered: Hash) -> None:
    before = world.balance(OWNER)
    job = world.submit(layered, DATA, bounty=BOUNTY)
    deadline = world.job(job).deadline
    world.mine(world.sign(ALICE, ClaimJob(job)))
    world.mine()
    world.difficulty = 200
    world.mine()
    world.difficulty = PARAMS.initial_difficulty
    settlement = world.settlement(job, b"wrong")
    world.mine_to(deadline - 1)
    world.commit(job, ALICE, b"wrong")
    world.mine(world.sign(ALICE, settlement))
    record = world.job(job)
    assert (record.status, record.escrow, record.bonds) == (r.JobStatus.EXPIRED, 0, 0)
    assert world.balance(OWNER) == before
    assert world.totals().burned == BOND


def test_events_of_earlier_claims_do_not_touch_later_ones(world: World, layered: Hash) -> None:
    """A fast wrong result leaves its window and its reveal on the agenda."""
    job = world.submit(layered, DATA, blocks=90)
    world.claim(job, ALICE)
    first_window = world.job(job).window_end
    settlement = world.settlement(job, b"wrong")
    world.commit(job, ALICE, b"wrong")
    first_reveal = world.job(job).window_end
    world.mine(world.sign(ALICE, settlement))
    world.claim(job, BOB)
    assert world.height == first_reveal
    second = world.job(job)
    assert second.status == r.JobStatus.CLAIMED
    assert second.window_end > first_window > world.height
    world.mine_to(first_window)
    assert world.job(job) == second
    world.settle(job, BOB)
    settled = world.job(job)
    world.mine_to(settled.deadline + 1)
    assert world.job(job) == settled


def test_earnings_in_circles_never_overflow_the_record(world: World, layered: Hash) -> None:
    """Past 2⁶³ the record could not be read again, and the next missed claim stopped the chain."""
    job = world.submit(layered, DATA, bounty=BOUNTY)
    world.claim(job, ALICE)
    full = r.WorkRecord(jobs=1, earned=MAX_INT - 1)
    state = world.scratch()
    state.write(r.work_key(ALICE.address), full)
    world.state.update({k: v for k, v in state.overlay.diff().items() if v is not None})
    world.settle(job, ALICE)
    assert world.work_record(ALICE).earned == MAX_INT
    again = world.submit(layered, DATA)
    world.claim(again, ALICE)
    world.mine_to(world.job(again).window_end)
    assert (world.work_record(ALICE).missed, world.work_record(ALICE).jobs) == (1, 2)


def test_a_settlement_whose_input_is_gone_is_refused_not_a_crash(world: World, job: Hash) -> None:
    """Only parameters with a tiny blob window let it come to that."""
    settlement = world.settlement(job)
    world.commit(job, ALICE)
    state = State(Overlay(world.state), world.params, world.height + 1)
    state.delete(r.blob_key(world.job(job).input))
    with pytest.raises(Exception, match="blob-missing"):
        apply_settle(state, ALICE.address, settlement, world.checker)


def test_the_check_fee_covers_what_is_checked() -> None:
    world = World(replace(PARAMS, check_price_per_mmac=10**9, check_price_per_kib=10**6))
    model = world.register(plain_kit())
    job = world.submit(model, plain_kit().data)
    record = world.job(job)
    assert record.check_fee == prices.check_fee(world.params, record.check_macs, record.check_bytes)
    assert record.check_fee >= 10**9
    before = world.balance(MINER)
    world.claim(job, ALICE)
    world.commit(job, ALICE)
    blocks = world.height
    world.mine(world.sign(ALICE, world.settlement(job)))
    assert world.height == blocks + 1
    assert world.balance(MINER) - before == 4 * world.params.initial_subsidy + (
        record.check_fee + world.params.initial_subsidy
    )


def test_a_worker_without_money_left_can_still_settle(world: World) -> None:
    """The bond is all it takes: fees may be nothing."""
    key = PrivateKey(b"k" * 32)
    rich = World(replace(PARAMS, allocations=((OWNER.address, FUNDS), (key.address, COIN))))
    model = rich.register(plain_kit(), key=OWNER)
    rich.data[blob_root(plain_kit().data)] = plain_kit().data
    job = rich.submit(model, plain_kit().data, bounty=COIN)
    rich.claim(job, key)
    assert rich.balance(key) == 0
    output = rich.trace(job)[0]
    commitment = result_commitment(key.address, job, blob_root(output), SALT)
    rich.mine(rich.sign(key, CommitResult(job, commitment)))
    rich.mine(rich.sign(key, rich.settlement(job)))
    assert rich.balance(key) == 2 * COIN
