"""What becomes of a job, step by step, when others or the chain decide against us."""

from pathlib import Path
from typing import Any

import pytest
from pouw.chain.mempool import Mempool
from pouw.consensus import records as r
from pouw.core.hashing import Hash
from pouw.core.keys import format_address
from pouw.core.transaction import Output, Transfer
from pouw.miner.desk import MISSING_STEPS, Desk
from pouw.miner.jobs import RETRY_BLOCKS, Jobs
from pouw.miner.journal import Entry, Journal
from pouw.miner.library import Library
from pouw.miner.life import JobLife, Step
from pouw.miner.meter import Meter
from pouw.miner.pace import Fleet, JobPace
from pouw.miner.rate import SpeedGauge
from pouw.tests.miner.harbour import COIN, OWNER, PARAMS, WORKER, Harbour, HarbourLink, Kit
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.wallet.session import EXPIRY_BLOCKS, Session

FAST = Fleet()
FAST.join(JobPace(SpeedGauge()))
DIFFICULTY = PARAMS.initial_difficulty


@pytest.fixture
def desk(harbour: Harbour, tmp_path: Path) -> Desk:
    link = HarbourLink(harbour)
    return Desk(
        Session(link, PARAMS, WORKER),
        format_address(WORKER.address, PARAMS.address_prefix),
        WORKER.address,
        Journal(tmp_path / "state"),
        Library(link),
        Meter(),
    )


@pytest.fixture
def job(harbour: Harbour, kit: Kit) -> Hash:
    return harbour.submit(harbour.register(kit), kit.data)


@pytest.fixture
def jobs(harbour: Harbour, desk: Desk, job: Hash) -> Jobs:
    """A claim on the job is in the mempool."""
    jobs = Jobs(desk)
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    assert len(harbour.mempool) == 1
    return jobs


def altered(harbour: Harbour, job: Hash, **changes: Any) -> dict[str, Any]:
    return harbour.answer("getjob", {"id": job.hex()}) | changes


def journalled(desk: Desk) -> list[Hash]:
    return [entry.job for entry in desk.journal.load()]


def test_a_claim_is_in_the_journal_before_it_is_sent(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    harbour.answers["sendtransaction"] = {"id": "no"}  # not even read
    with pytest.raises(Exception, match="form unknown"):
        Jobs(desk).seek(harbour.height, DIFFICULTY, FAST)
    assert journalled(desk) == [job]


def test_a_refused_claim_is_tried_again_some_blocks_later(
    harbour: Harbour, desk: Desk, kit: Kit
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    blocked = Jobs(desk)
    offer = altered(harbour, job, id="00" * 32)
    harbour.answers["listjobs"] = [offer]
    blocked.seek(harbour.height, DIFFICULTY, FAST)
    assert journalled(desk) == []
    assert len(harbour.mempool) == 0
    for blocks in range(1, RETRY_BLOCKS + 1):
        calls = harbour.calls.count("sendtransaction")
        harbour.mine()
        blocked.seek(harbour.height, DIFFICULTY, FAST)
        tried = harbour.calls.count("sendtransaction") > calls
        assert tried == (blocks == RETRY_BLOCKS)


def result_of(desk: Desk, harbour: Harbour, job: Hash, kit: Kit) -> bytes:
    model = desk.library.model(harbour.job(job).model)
    return model.run(kit.data, plain_products(ReferenceMultiplier()))


def test_the_next_job_is_claimed_while_one_is_being_won(
    harbour: Harbour, desk: Desk, jobs: Jobs, job: Hash, kit: Kit
) -> None:
    second = harbour.submit(harbour.job(job).model, kit.data, bounty=9 * COIN)
    jobs.tend(harbour.height)
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    assert set(journalled(desk)) == {job, second}


def test_no_more_is_claimed_than_these_devices_do_in_time(
    harbour: Harbour, desk: Desk, kit: Kit
) -> None:
    model = harbour.register(kit)
    for bounty in range(2, 8):
        harbour.submit(model, kit.data, bounty * COIN)
    blocks = harbour.job(harbour.submit(model, kit.data, 9 * COIN)).window + 2 * 9
    gauge = SpeedGauge()
    pace = JobPace(gauge)
    for _ in range(40):
        pace.record(kit.macs, blocks * PARAMS.target_spacing / 2 / 3.5)
    fleet = Fleet()
    fleet.join(pace)
    jobs = Jobs(desk)
    for _ in range(2):
        jobs.seek(harbour.height, DIFFICULTY, fleet)
        bounties = sorted(harbour.job(one).bounty // COIN for one in journalled(desk))
        assert bounties == [6, 7, 9], "the best paid, three of which fit twice over"
    assert len(harbour.mempool) == 3
    faster = JobPace(gauge)
    faster.record(kit.macs, 1e-3)
    fleet.join(faster)
    jobs.seek(harbour.height, DIFFICULTY, fleet)
    assert len(journalled(desk)) == 7


def test_nothing_is_claimed_while_every_device_is_lost(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    Jobs(desk).seek(harbour.height, DIFFICULTY, Fleet())
    assert journalled(desk) == []
    assert harbour.job(job).status == r.JobStatus.SUBMITTED


def test_bonds_of_claims_on_the_way_are_not_promised_twice(
    harbour: Harbour, desk: Desk, kit: Kit
) -> None:
    model = harbour.register(kit)
    rich = [harbour.submit(model, Kit(seed).data, 700 * COIN // 10) for seed in range(2)]
    harbour.send(WORKER, Transfer((Output(OWNER.address, 940 * COIN),)))
    harbour.mine()
    jobs = Jobs(desk)
    for _ in range(3):  # pending, then in a block: one bond of 35 leaves 25 of 60 either way
        jobs.seek(harbour.height, DIFFICULTY, FAST)
        assert len(journalled(desk)) == 1
        harbour.mine()
        jobs.tend(harbour.height)
    assert set(journalled(desk)) < set(rich)


def test_ready_jobs_of_the_model_at_hand_go_first_unless_another_is_urgent(
    harbour: Harbour, desk: Desk, kit: Kit
) -> None:
    other = Kit(2)
    models = [harbour.register(kit), harbour.register(other)]
    submitted = [harbour.submit(models[i], kit.data, 4 * COIN) for i in (0, 1, 0)]
    jobs = Jobs(desk)
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    harbour.mine(3)
    jobs.tend(harbour.height)
    end = harbour.job(submitted[0]).window_end
    names = [model.hex() for model in models]
    tip = harbour.height
    first = jobs.next_ready(tip, names[1])
    assert first is not None
    assert first.job == submitted[1]
    jobs.give_back(first)
    second = jobs.next_ready(tip, names[0])
    assert second is not None
    assert second.job in (submitted[0], submitted[2])
    assert {life.job for life in drain(jobs, tip)} == set(submitted) - {second.job}
    for life in (first, second):
        jobs.give_back(life)
    assert jobs.next_ready(end - 1, None) is None, "too late to commit"


def drain(jobs: Jobs, tip: int) -> list[JobLife]:
    found: list[JobLife] = []
    while (life := jobs.next_ready(tip, None)) is not None:
        found.append(life)
    return found


def test_a_result_that_comes_too_late_is_dropped(
    harbour: Harbour, desk: Desk, jobs: Jobs, job: Hash, kit: Kit
) -> None:
    harbour.mine(3)
    jobs.tend(harbour.height)
    (life,) = drain(jobs, harbour.height)
    harbour.answers["getjob"] = altered(harbour, job, status="expired")
    jobs.tend(harbour.height)
    assert not jobs.holds(life)
    jobs.executed(life, result_of(desk, harbour, job, kit), (b"",))
    jobs.give_back(life)
    jobs.give_up(life, "again")
    assert journalled(desk) == []
    assert drain(jobs, harbour.height) == []


def test_a_result_is_committed_to_without_waiting_for_a_block(
    harbour: Harbour, desk: Desk, jobs: Jobs, job: Hash, kit: Kit
) -> None:
    harbour.mine(3)
    jobs.tend(harbour.height)
    (life,) = drain(jobs, harbour.height)
    jobs.executed(life, result_of(desk, harbour, job, kit), (b"",))
    jobs.hand_in(harbour.height)
    assert len(harbour.mempool) == 1
    harbour.mine()
    assert harbour.job(job).status == r.JobStatus.COMMITTED


def test_a_dropped_claim_is_given_up_after_a_few_looks(
    harbour: Harbour, desk: Desk, jobs: Jobs
) -> None:
    harbour.mempool = Mempool(harbour.chain)
    for _ in range(MISSING_STEPS):
        assert journalled(desk) != []
        jobs.tend(harbour.height)
    assert journalled(desk) == []


@pytest.mark.parametrize("status", ["claimed", "committed", "settled", "expired", "cancelled"])
def test_a_job_that_is_not_ours_is_let_go(
    harbour: Harbour, desk: Desk, jobs: Jobs, job: Hash, status: str
) -> None:
    harbour.answers["getjob"] = altered(harbour, job, status=status, worker="somebody")
    jobs.tend(harbour.height)
    assert journalled(desk) == []
    assert desk.meter.counts.jobs == 0


def test_a_job_the_chain_has_forgotten_is_let_go(harbour: Harbour, desk: Desk, jobs: Jobs) -> None:
    harbour.answers["getjob"] = None
    jobs.tend(harbour.height)
    assert journalled(desk) == []


def test_a_claim_that_was_not_assigned_is_let_go(
    harbour: Harbour, desk: Desk, jobs: Jobs, job: Hash
) -> None:
    open_job = altered(harbour, job)
    harbour.mine(2)
    harbour.answers["getjob"] = open_job
    jobs.tend(harbour.height)
    assert journalled(desk) == [job]
    harbour.mine()
    jobs.tend(harbour.height)
    assert journalled(desk) == []


def test_an_earlier_process_claim_is_waited_for_until_it_must_have_expired(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    entry = Entry(job, 0, bytes(32))
    desk.journal.save(entry)
    life = JobLife(desk, entry, None)
    heights = [harbour.height + blocks for blocks in range(EXPIRY_BLOCKS + 1)]
    steps = [life.step(height) for height in heights for _ in range(2)]
    assert steps[:-2] == [Step.WAIT] * 2 * EXPIRY_BLOCKS
    assert steps[-1] is Step.LOST


def test_a_commitment_without_its_result_is_a_failure(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    life = JobLife(desk, Entry(job, 0, bytes(32)), None)
    harbour.answers["getjob"] = altered(harbour, job, status="committed", worker=desk.worker)
    assert life.step(harbour.height) is Step.FAILED


def test_a_job_that_failed_is_never_claimed_again(
    harbour: Harbour, desk: Desk, jobs: Jobs, job: Hash
) -> None:
    harbour.mine(60)  # the claim's window passes
    assert harbour.job(job).openings == 1
    for _ in range(3):
        jobs.tend(harbour.height)
        jobs.seek(harbour.height, DIFFICULTY, FAST)
        harbour.mine()
    assert harbour.job(job).status == r.JobStatus.SUBMITTED
    assert harbour.job(job).candidates == ()
