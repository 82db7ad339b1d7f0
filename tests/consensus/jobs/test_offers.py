"""Submitting, cancelling, deadlines: exact escrows, and every refusal."""

from dataclasses import replace

import numpy as np
import pytest
from pouw.consensus import prices
from pouw.consensus import records as r
from pouw.consensus.jobs.claims import claim_overhead
from pouw.core.codec import MAX_INT
from pouw.core.hashing import ZERO_HASH, Hash
from pouw.core.transaction import (
    MAX_OUTPUT_BYTES,
    MAX_POSTED_PRODUCTS,
    CancelJob,
    ClaimJob,
    SubmitJob,
)
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    COIN,
    FUNDS,
    OWNER,
    PARAMS,
    STRANGER,
    Kit,
    World,
    layered_kit,
    narrowing,
    plain_kit,
)
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.ops import Matmul
from pouw.vm.types import Declaration, DType, Interval, TensorType

DATA = plain_kit().data


def test_a_submission_escrows_bounty_check_fee_and_burn(world: World, plain: Hash) -> None:
    job = world.submit(plain, DATA, bounty=7 * COIN, fee=2 * COIN)
    record = world.job(job)
    macs = 2 * 4 * 32
    assert (record.items, record.macs, record.check_macs) == (2, macs, macs)
    assert record.burn == prices.job_burn(PARAMS, macs, world.height, world.difficulty) > 0
    assert record.check_fee == prices.check_fee(PARAMS, macs, record.check_bytes) > 0
    assert record.escrow == 7 * COIN + record.check_fee + record.burn
    assert world.balance(OWNER) == FUNDS - 2 * COIN - record.escrow
    assert (record.owner, record.model) == (OWNER.address, plain)
    assert (record.submitted, record.deadline) == (world.height, world.height + 50)
    assert record.status == r.JobStatus.SUBMITTED


def test_the_fee_to_give_back_is_counted_up_to_the_check_fee(world: World, plain: Hash) -> None:
    """A miner pays its own fees to itself: without a bound they would buy other people's bonds."""
    assert world.job(world.submit(plain, DATA, fee=9)).fee_paid == 9
    greedy = world.job(world.submit(plain, DATA, fee=100 * COIN))
    assert greedy.fee_paid == greedy.check_fee < world.params.min_bond // 100


def test_cancelling_gives_everything_back(world: World, plain: Hash) -> None:
    job = world.submit(plain, DATA, fee=5)
    world.cancel(job)
    record = world.job(job)
    assert (record.status, record.escrow) == (r.JobStatus.CANCELLED, 0)
    assert record.ended == world.height
    assert world.balance(OWNER) == FUNDS - 5
    world.refuse("job-status", world.sign(OWNER, CancelJob(job)))
    world.mine_to(record.deadline + 1)
    assert world.balance(OWNER) == FUNDS - 5
    assert world.job(job) == record


def test_only_the_owner_may_cancel_and_only_while_unclaimed(world: World, plain: Hash) -> None:
    job = world.submit(plain, DATA)
    cancel = CancelJob(job)
    world.refuse("job-owner", world.sign(ALICE, cancel))
    claim = world.sign(ALICE, ClaimJob(job))
    world.refuse("job-status", claim, world.sign(OWNER, cancel))
    world.mine(claim)
    world.refuse("job-status", world.sign(OWNER, cancel))
    world.mine()
    world.mine()
    worker = ALICE
    world.refuse("job-status", world.sign(OWNER, cancel))
    world.commit(job, worker)
    world.refuse("job-status", world.sign(OWNER, cancel))
    world.mine(world.sign(worker, world.settlement(job)))
    world.refuse("job-status", world.sign(OWNER, cancel))


def test_without_a_result_the_deadline_refunds(world: World, plain: Hash) -> None:
    job = world.submit(plain, DATA)
    deadline = world.job(job).deadline
    world.mine_to(deadline - 1)
    assert world.job(job).status == r.JobStatus.SUBMITTED
    world.mine()
    record = world.job(job)
    assert (record.status, record.escrow, record.ended) == (r.JobStatus.EXPIRED, 0, deadline)
    assert world.balance(OWNER) == FUNDS


def test_deadlines_have_bounds(world: World, plain: Hash) -> None:
    root = world.publish(DATA)
    height = world.height + 1
    window = world.checker.measure(world.scratch().model(plain), root).window
    earliest = height + claim_overhead(world.params) + window
    latest = height + world.params.max_deadline_blocks
    for deadline in (0, height, earliest, latest + 1, MAX_INT):
        world.refuse("job-deadline", world.sign(OWNER, SubmitJob(plain, root, 0, 1, deadline)))
    world.mine(
        world.sign(OWNER, SubmitJob(plain, root, 0, 1, earliest + 1)),
        world.sign(OWNER, SubmitJob(plain, root, 0, 1, latest), ahead=1),
    )


def test_deadlines_crowded_out_of_their_height_move_on(world: World, plain: Hash) -> None:
    world.publish(DATA)
    limit = world.params.max_events_per_height
    offer = world.submission(plain, DATA, bounty=1)
    signed = [world.sign(OWNER, offer, ahead=i) for i in range(limit + 1)]
    world.mine(*signed)
    deadlines = [world.job(transaction.id).deadline for transaction in signed]
    assert deadlines == [offer.deadline] * limit + [offer.deadline + 1]
    world.mine_to(offer.deadline + 1)
    assert {world.job(t.id).status for t in signed} == {r.JobStatus.EXPIRED}
    assert world.balance(OWNER) == FUNDS


def test_a_submission_must_name_things_that_exist(world: World, plain: Hash) -> None:
    root = world.publish(DATA)
    deadline = world.height + 40
    for rule, body in (
        ("job-mode", SubmitJob(plain, root, 1, COIN, deadline)),
        ("job-mode", SubmitJob(plain, root, 2**16 - 1, COIN, deadline)),
        ("model-unknown", SubmitJob(root, root, 0, COIN, deadline)),
        ("blob-missing", SubmitJob(plain, ZERO_HASH, 0, COIN, deadline)),
        ("balance", SubmitJob(plain, root, 0, FUNDS, deadline)),
        ("balance", SubmitJob(plain, root, 0, MAX_INT, deadline)),
    ):
        world.refuse(rule, world.sign(OWNER, body))
    world.refuse("balance", world.sign(STRANGER, SubmitJob(plain, root, 0, 0, deadline)))
    world.mine(world.sign(OWNER, SubmitJob(plain, root, 0, 0, deadline)))


def test_an_input_must_fit_the_program() -> None:
    world = World(replace(PARAMS, block_check_bytes=16 << 20))
    plain = world.register(plain_kit())
    for rule, data in (("input-size", DATA[:-1]), ("input-range", b"\x40" + DATA[1:])):
        world.publish(data)
        world.refuse(rule, world.sign(OWNER, world.submission(plain, data)))
    many = bytes(32 * ((1 << 20) + 1))
    world.publish(many)
    assert len(many) > world.params.block_check_bytes
    world.refuse("block-budget", world.sign(OWNER, world.submission(plain, many)))


@pytest.mark.parametrize("limits", [{"max_job_macs": 255}, {"max_job_bytes": 49_000}])
def test_jobs_that_cost_too_much_to_check_are_refused(limits: dict[str, int]) -> None:
    world = World(replace(PARAMS, **limits))
    model = world.register(plain_kit())
    world.publish(DATA)
    world.refuse("job-too-large", world.sign(OWNER, world.submission(model, DATA)))
    fits = World(replace(PARAMS, max_job_macs=256))
    fits.submit(fits.register(plain_kit()), DATA)


def wide(columns: int) -> Kit:
    """A program that makes one input byte into many output values."""
    builder = ProgramBuilder(Declaration(TensorType(DType.INT8, (1,)), Interval(-64, 63)))
    weight = builder.constant(np.ones((columns, 1), np.int8), DType.INT8)
    builder.op(Matmul, builder.source(), weight)
    return Kit(*builder.finish(), b"\x01")


def test_a_result_must_fit_into_a_settlement() -> None:
    """Such a job could never be settled: every claimant would lose its bond."""
    world = World(replace(PARAMS, max_job_bytes=1 << 26, block_check_bytes=1 << 28))
    columns = 1024
    model = world.register(wide(columns))
    items = MAX_OUTPUT_BYTES // (4 * columns)
    world.submit(model, b"\x01" * items)
    world.publish(b"\x01" * (items + 1))
    offer = world.submission(model, b"\x01" * (items + 1))
    world.refuse("job-too-large", world.sign(OWNER, offer))


def repeated(products: int) -> Kit:
    """A chain of posted products that share one weight."""
    width = PARAMS.posted_product_min_k
    builder = ProgramBuilder(Declaration(TensorType(DType.INT8, (width,)), Interval(-64, 63)))
    weight = builder.constant(np.eye(width, dtype=np.int8), DType.INT8)
    scale = builder.constant(np.array([1], np.int32), DType.INT32)
    last = builder.source()
    for _ in range(products):
        product = builder.op(Matmul, last, weight)
        last = builder.op(narrowing(1), product, scale)
    return Kit(*builder.finish(), bytes(width))


@pytest.mark.parametrize(("products", "fits"), [(MAX_POSTED_PRODUCTS, True), (257, False)])
def test_posted_products_must_fit_into_a_settlement(products: int, fits: bool) -> None:
    large = 1 << 30
    world = World(replace(PARAMS, max_job_bytes=large, block_check_bytes=large, max_job_macs=large))
    kit = repeated(products)
    model = world.register(kit)
    world.publish(kit.data)
    signed = world.sign(OWNER, world.submission(model, kit.data, blocks=100))
    if fits:
        world.mine(signed)
    else:
        world.refuse("job-too-large", signed)


def test_a_self_dealt_job_costs_at_least_its_burn(world: World) -> None:
    """Owner, worker and miner are one: what is left of it is exactly the burn."""
    model = world.register(layered_kit())
    data = layered_kit().data
    start = world.height + 1
    before = world.balance(OWNER)
    job = world.submit(model, data, bounty=500 * COIN, fee=COIN, key=OWNER)
    world.claim(job, OWNER)
    world.settle(job, OWNER, fee=COIN)
    record = world.job(job)
    assert record.status == r.JobStatus.SETTLED
    # The blocks were mined by somebody else, who has the fees; a miner of its own saves those.
    paid_to_miners = 2 * COIN + record.check_fee
    assert before - world.balance(OWNER) == record.burn + paid_to_miners
    assert record.burn * PARAMS.burn_denominator * world.difficulty >= (
        record.macs * PARAMS.burn_numerator * prices.subsidy(PARAMS, start)
    )
    assert world.totals().burned == record.burn


def test_a_refused_submission_leaves_no_event(world: World, plain: Hash) -> None:
    world.publish(DATA)
    agenda = {key for key in world.state if key[:1] == b"e"}
    world.refuse("balance", world.sign(BOB, world.submission(plain, DATA, bounty=FUNDS)))
    assert {key for key in world.state if key[:1] == b"e"} == agenda
