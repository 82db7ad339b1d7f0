"""Claims: bonds, competition, windows, and what happens when they run out."""

from dataclasses import replace

import msgspec
import pytest
from pouw.consensus import prices
from pouw.consensus import records as r
from pouw.consensus.jobs.claims import DECISION_BLOCKS, claim_overhead, window_blocks
from pouw.consensus.state import State
from pouw.consensus.transition import begin_block
from pouw.core.codec import MAX_INT
from pouw.core.hashing import Hash, digest
from pouw.core.keys import PrivateKey
from pouw.core.transaction import ClaimJob
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    FUNDS,
    MINER,
    OWNER,
    PARAMS,
    STRANGER,
    World,
    plain_kit,
)

DATA = plain_kit().data
BOND = 5 * COIN
"""Half of the default bounty."""


@pytest.fixture
def job(world: World, plain: Hash) -> Hash:
    """A job that waits for claims."""
    return world.submit(plain, DATA, fee=77)


def test_a_claim_stakes_a_bond_and_is_decided_two_blocks_later(world: World, job: Hash) -> None:
    before = world.balance(ALICE)
    world.mine(world.sign(ALICE, ClaimJob(job), fee=3))
    record = world.job(job)
    assert world.balance(ALICE) == before - BOND - 3
    assert (record.status, record.candidates) == (r.JobStatus.SUBMITTED, (ALICE.address,))
    assert (record.bond, record.bonds, record.claimed) == (BOND, BOND, world.height)
    world.mine()
    assert world.job(job).status == r.JobStatus.SUBMITTED
    world.mine()
    record = world.job(job)
    assert (record.status, record.worker) == (r.JobStatus.CLAIMED, ALICE.address)
    assert (record.candidates, record.bonds) == ((), BOND)
    assert record.window_end == world.height + window_blocks(record, world.difficulty)
    assert world.height == record.claimed + DECISION_BLOCKS


def test_the_next_blocks_id_decides_and_losers_are_refunded(world: World, plain: Hash) -> None:
    keys = (ALICE, BOB, CAROL, MINER)
    winners: set[bytes] = set()
    for _ in range(12):
        job = world.submit(plain, DATA)
        before = {key: world.balance(key) for key in keys}
        world.mine(*(world.sign(key, ClaimJob(job)) for key in keys), miner=STRANGER)
        after = {key: world.balance(key) for key in keys}
        assert all(after[key] == before[key] - BOND for key in keys)
        pick = world.mine(miner=STRANGER).id
        world.mine(miner=STRANGER)
        expected = min(keys, key=lambda key: digest("claim", pick, job, key.address))
        assert world.job(job).worker == expected.address
        for key in keys:
            assert world.balance(key) == before[key] - (BOND if key is expected else 0)
        winners.add(expected.address)
    assert len(winners) > 1


def test_the_order_of_the_claims_does_not_matter(world: World, job: Hash) -> None:
    """Nor can the block of the claims decide: another next block makes another winner."""
    world.mine(*(world.sign(key, ClaimJob(job)) for key in (ALICE, BOB)))
    winners: set[bytes] = set()
    for second in range(20):
        block = world.seal(())
        header = msgspec.structs.replace(block.header, time=block.header.time + second)
        parent = msgspec.structs.replace(block, header=header)
        state = State(world.scratch().overlay, world.params, world.height + 2)
        begin_block(state, parent, world.difficulty)
        chosen = state.job(job).worker
        assert chosen == min(
            (BOB.address, ALICE.address), key=lambda who: digest("claim", parent.id, job, who)
        )
        winners.add(chosen)
    assert winners == {ALICE.address, BOB.address}


def test_claims_compete_only_within_one_block(world: World, job: Hash) -> None:
    world.mine(world.sign(ALICE, ClaimJob(job)))
    world.refuse("job-status", world.sign(BOB, ClaimJob(job)))
    world.mine()
    world.refuse("job-status", world.sign(BOB, ClaimJob(job)))


def test_refused_claims(world: World, job: Hash) -> None:
    claim = ClaimJob(job)
    world.refuse("balance", world.sign(STRANGER, claim))
    world.refuse("balance", world.sign(ALICE, claim, fee=FUNDS - BOND + 1))
    world.refuse("claim-twice", world.sign(ALICE, claim), world.sign(ALICE, claim, ahead=1))
    poor = [PrivateKey(bytes([100 + i]) * 32) for i in range(world.params.max_claims_per_job + 1)]
    for key in poor:
        world.state[r.account_key(key.address)] = world.state[r.account_key(BOB.address)]
    totals = world.totals()
    state = world.scratch()
    state.put_totals(
        msgspec.structs.replace(totals, emitted=totals.emitted + len(poor) * world.balance(BOB))
    )
    world.state.update({k: v for k, v in state.overlay.diff().items() if v is not None})
    nonce = world.scratch().account(BOB.address).nonce
    assert nonce == 0
    world.refuse("claim-crowd", *(world.sign(key, claim) for key in poor))
    world.mine(*(world.sign(key, claim) for key in poor[:-1]))


@pytest.mark.parametrize("stage", ["claimed", "committed", "settled", "cancelled", "expired"])
def test_only_open_jobs_can_be_claimed(world: World, job: Hash, stage: str) -> None:
    if stage == "cancelled":
        world.cancel(job)
    elif stage == "expired":
        world.mine_to(world.job(job).deadline)
    else:
        worker = world.claim(job, ALICE)
        if stage == "committed":
            world.commit(job, worker)
        if stage == "settled":
            world.settle(job, worker)
    assert world.job(job).status.name.lower() == stage
    world.refuse("job-status", world.sign(BOB, ClaimJob(job)))


def test_a_claim_whose_window_passes_the_deadline_is_late(world: World, job: Hash) -> None:
    record = world.job(job)
    needed = claim_overhead(world.params) + window_blocks(record, world.difficulty)
    world.mine_to(record.deadline - needed - 1)
    world.refuse("claim-late", world.sign(ALICE, ClaimJob(job)))


def test_the_last_claim_in_time_can_use_its_whole_window(world: World, job: Hash) -> None:
    """Commit in the last block of the window, reveal in the last block of the frozen time."""
    record = world.job(job)
    needed = claim_overhead(world.params) + window_blocks(record, world.difficulty)
    world.mine_to(record.deadline - needed - 2)
    worker = world.claim(job, ALICE)
    world.mine_to(world.job(job).window_end - 2)
    world.commit(job, worker)
    world.mine_to(world.job(job).window_end - 2)
    world.mine(world.sign(worker, world.settlement(job)))
    assert world.job(job).status == r.JobStatus.SETTLED
    assert world.height < record.deadline


def test_a_missed_window_burns_the_bond_less_the_owners_fee_and_reopens(
    world: World, job: Hash
) -> None:
    owner, worker = world.balance(OWNER), world.balance(ALICE)
    world.claim(job, ALICE)
    end = world.job(job).window_end
    world.mine_to(end - 1)
    assert world.job(job).status == r.JobStatus.CLAIMED
    world.mine()
    record = world.job(job)
    assert (record.status, record.openings) == (r.JobStatus.SUBMITTED, 1)
    assert (record.bonds, record.worker, record.fee_paid) == (0, bytes(32), 0)
    assert world.balance(OWNER) == owner + 77
    assert world.balance(ALICE) == worker - BOND
    assert world.totals().burned == BOND - 77
    assert world.work_record(ALICE) == r.WorkRecord(missed=1, last=end)


def test_bonds_grow_with_each_reopening_and_the_fee_comes_back_once(
    world: World, plain: Hash
) -> None:
    """An owner of impossible jobs gets nothing beyond the first fee, whoever keeps failing."""
    before = world.balance(OWNER)
    job = world.submit(plain, DATA, fee=77, blocks=100)
    burned = 0
    for opening in range(3):
        worker = (ALICE, BOB, CAROL)[opening]
        funds = world.balance(worker)
        world.claim(job, worker)
        bond = BOND * (1 + opening)
        assert world.job(job).bond == prices.claim_bond(PARAMS, 10 * COIN, opening) == bond
        world.mine_to(world.job(job).window_end)
        assert world.balance(worker) == funds - bond
        burned += bond - (77 if opening == 0 else 0)
        assert world.totals().burned == burned
    world.mine_to(world.job(job).deadline)
    assert world.job(job).status == r.JobStatus.EXPIRED
    assert world.balance(OWNER) == before


def test_a_miner_owner_of_a_honeypot_gains_no_more_than_a_check_fee(world: World) -> None:
    """Its fee to itself is bounded in what a bond gives back."""
    model = world.register(plain_kit())
    world.publish(DATA)
    before = world.balance(OWNER)
    offer = world.sign(OWNER, world.submission(model, DATA), fee=1000 * COIN)
    world.mine(offer, miner=OWNER)
    reward = world.params.initial_subsidy
    world.claim(offer.id, ALICE)
    check_fee = world.job(offer.id).check_fee
    world.mine_to(world.job(offer.id).window_end)
    world.cancel(offer.id)
    assert world.balance(OWNER) == before + reward + check_fee
    assert check_fee < BOND // 10_000


def test_the_window_opens_wider_when_difficulty_is_low(world: World, job: Hash) -> None:
    record = world.job(job)
    assert window_blocks(record, MAX_INT) == record.window + 2
    assert window_blocks(record, record.macs) == record.window + 2
    assert window_blocks(record, record.macs - 1) == record.window + 4
    assert window_blocks(record, 1) == record.window + 2 * record.macs


def test_a_window_that_grew_past_the_deadline_still_ends_in_a_refund(
    world: World, plain: Hash
) -> None:
    """The difficulty may fall between a claim and its assignment."""
    before = world.balance(OWNER)
    job = world.submit(plain, DATA, blocks=40)
    deadline = world.job(job).deadline
    world.mine(world.sign(ALICE, ClaimJob(job)))
    world.mine()
    world.difficulty = 4
    world.mine()
    world.difficulty = PARAMS.initial_difficulty
    end = world.job(job).window_end
    assert end > deadline
    world.mine_to(end - 1)
    assert world.job(job).status == r.JobStatus.CLAIMED
    world.mine()
    assert world.job(job).status == r.JobStatus.EXPIRED
    assert world.balance(OWNER) == before


def test_a_window_that_ends_with_the_deadline_refunds_whichever_comes_first(
    world: World, plain: Hash
) -> None:
    """The deadline's event was scheduled first and finds the job still claimed."""
    before = world.balance(OWNER)
    job = world.submit(plain, DATA, blocks=40)
    deadline = world.job(job).deadline
    world.mine(world.sign(ALICE, ClaimJob(job)))
    world.mine()
    record, assigned = world.job(job), world.height + 1
    world.difficulty = next(
        d for d in range(1, record.macs) if assigned + window_blocks(record, d) <= deadline
    )
    world.mine()
    assert world.job(job).window_end == deadline
    world.mine_to(deadline)
    assert world.job(job).status == r.JobStatus.EXPIRED
    assert world.balance(OWNER) == before


def test_jobs_claimed_in_one_block_are_bounded(plain: Hash) -> None:
    world = World(replace(PARAMS, max_events_per_height=3))
    model = world.register(plain_kit())
    jobs = [world.submit(model, DATA) for _ in range(4)]
    claims = [world.sign(ALICE, ClaimJob(job), ahead=i) for i, job in enumerate(jobs)]
    world.refuse("agenda-full", *claims)
    again = [world.sign(BOB, ClaimJob(job), ahead=i) for i, job in enumerate(jobs[:3])]
    world.mine(*claims[:3], *again)
    world.mine()
    world.mine()
    assert {world.job(job).status for job in jobs[:3]} == {r.JobStatus.CLAIMED}


def test_a_job_that_expires_under_its_candidates_gives_the_bonds_back(
    world: World, job: Hash
) -> None:
    """No claim is accepted so late; the rule below it must hold all the same."""
    before = world.balance(ALICE), world.balance(OWNER)
    world.mine(world.sign(ALICE, ClaimJob(job)))
    record = world.job(job)
    state = State(world.scratch().overlay, world.params, record.deadline)
    begin_block(state, world.tip, world.difficulty)
    assert state.job(job).status == r.JobStatus.EXPIRED
    assert state.account(ALICE.address).balance == before[0]
    assert state.account(OWNER.address).balance == before[1] + record.escrow
    late = State(state.overlay, world.params, world.height + 2)
    begin_block(late, world.tip, world.difficulty)
    assert late.job(job).status == r.JobStatus.EXPIRED
