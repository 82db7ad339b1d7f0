"""What becomes of a job, step by step, when others or the chain decide against us."""

from pathlib import Path
from typing import Any

import pytest
from pouw.chain.mempool import Mempool
from pouw.consensus import records as r
from pouw.core.hashing import Hash
from pouw.core.keys import format_address
from pouw.miner.desk import MISSING_STEPS, Desk
from pouw.miner.jobs import RETRY_BLOCKS, Jobs
from pouw.miner.journal import Entry, Journal
from pouw.miner.library import Library
from pouw.miner.life import JobLife, Step
from pouw.miner.meter import Meter
from pouw.tests.miner.harbour import COIN, PARAMS, WORKER, Harbour, HarbourLink, Kit
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.wallet.session import EXPIRY_BLOCKS, Session

FAST = 1e12
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


def test_nothing_more_is_claimed_until_the_job_has_its_result(
    harbour: Harbour, desk: Desk, jobs: Jobs, job: Hash, kit: Kit
) -> None:
    second = harbour.submit(harbour.job(job).model, kit.data, bounty=9 * COIN)
    jobs.tend(harbour.height)
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    assert journalled(desk) == [job]
    harbour.mine(2)
    jobs.tend(harbour.height)
    life = jobs.ready
    assert life is not None
    data = kit.data
    model = desk.library.model(harbour.job(job).model)
    output = model.run(data, plain_products(ReferenceMultiplier()))
    life.take_result(output, (b"",))
    jobs.executed()
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    assert set(journalled(desk)) == {job, second}


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
    steps = [life.step(harbour.height) for _ in range(EXPIRY_BLOCKS)]
    assert steps == [Step.WAIT] * (EXPIRY_BLOCKS - 1) + [Step.LOST]


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
