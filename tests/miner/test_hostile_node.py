"""What a node that lies or breaks off, a full disk and poisoned jobs do to a miner."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pouw.consensus import records as r
from pouw.core.block import Header
from pouw.core.codec import MAX_INT, decode, encode
from pouw.core.errors import UserError
from pouw.core.hashing import Hash
from pouw.core.keys import format_address
from pouw.miner.desk import Desk
from pouw.miner.devices import Device
from pouw.miner.jobs import MAX_DEVICES_LOST, MAX_MISFITS, Jobs
from pouw.miner.journal import Entry, Journal
from pouw.miner.node_link import NodeAway
from pouw.miner.templates import TemplateSource
from pouw.tests.miner.harbour import (
    COIN,
    PARAMS,
    RIVAL,
    WORKER,
    Harbour,
    HarbourLink,
    Kit,
)
from pouw.tests.miner.interrupting import Interrupting
from pouw.tests.miner.test_life import DIFFICULTY, FAST, altered, desk, journalled, result_of
from pouw.tests.miner.test_worker import Crew, wait
from pouw.wallet import private_file
from pouw.wallet.session import EXPIRY_BLOCKS

__all__ = ["desk"]  # a fixture


@pytest.fixture
def job(harbour: Harbour, kit: Kit) -> Hash:
    return harbour.submit(harbour.register(kit), kit.data)


def lose_answers(desk: Desk, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Let a method reach the node, and its answer get lost."""
    client, real = desk.session.client, desk.session.client.call

    def call(name: str, /, **params: Any) -> Any:
        answer = real(name, **params)
        if name == method:
            raise NodeAway("the connection broke in the middle of the answer")
        return answer

    monkeypatch.setattr(client, "call", call)


# Claims and results ------------------------------------------------------------------------------


def test_a_claim_whose_answer_is_lost_is_ours_all_the_same(
    harbour: Harbour, desk: Desk, job: Hash, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was forgotten, claimed again, refused, struck from the journal, and its bond forfeited."""
    jobs = Jobs(desk)
    with monkeypatch.context() as broken:
        lose_answers(desk, broken, "sendtransaction")
        with pytest.raises(NodeAway):
            jobs.seek(harbour.height, DIFFICULTY, FAST)
    assert len(harbour.mempool) == 1
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    assert len(harbour.mempool) == 1, "one claim is enough"
    assert journalled(desk) == [job]
    harbour.mine(3)
    jobs.tend(harbour.height)
    life = jobs.next_ready(harbour.height, None)
    assert life is not None and life.job == job
    jobs.executed(life, result_of(desk, harbour, job, kit), ())
    jobs.hand_in(harbour.height)
    harbour.mine()
    assert harbour.job(job).status == r.JobStatus.COMMITTED


def test_a_claim_that_never_reached_the_node_is_let_go_when_it_would_have_expired(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    harbour.answers["sendtransaction"] = {"id": "00" * 32}
    jobs = Jobs(desk)
    with pytest.raises(UserError, match="another transaction"):
        jobs.seek(harbour.height, DIFFICULTY, FAST)
    del harbour.answers["sendtransaction"]
    assert len(harbour.mempool) == 0
    jobs.tend(harbour.height)
    jobs.tend(harbour.height + EXPIRY_BLOCKS - 1)
    assert journalled(desk) == [job]
    jobs.tend(harbour.height + EXPIRY_BLOCKS)
    assert journalled(desk) == []


def test_one_job_that_cannot_be_moved_on_holds_up_no_other(
    harbour: Harbour, desk: Desk, job: Hash, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one in trouble used to end the round: those after it were not delivered."""
    other = harbour.submit(harbour.job(job).model, kit.data, bounty=3 * COIN)
    jobs = Jobs(desk)
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    assert set(journalled(desk)) == {job, other}
    harbour.mine(3)
    real = desk.job

    def ask(_: Desk, asked: Hash) -> Any:
        if asked == job:
            raise UserError("an answer in a form unknown here")
        return real(asked)

    monkeypatch.setattr(Desk, "job", ask)
    jobs.tend(harbour.height)
    life = jobs.next_ready(harbour.height, None)
    assert life is not None and life.job == other
    assert set(journalled(desk)) == {job, other}, "nor is it given up itself"


def test_the_answer_about_another_job_is_not_taken_for_ours(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    harbour.answers["getjob"] = altered(harbour, job, id="00" * 32, status="settled")
    with pytest.raises(UserError, match="tells of another"):
        desk.job(job)


def test_a_full_disk_costs_neither_the_result_nor_the_bond(
    harbour: Harbour,
    desk: Desk,
    job: Hash,
    kit: Kit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The job was executed over and over, and a result that no disk held was committed to."""
    jobs = Jobs(desk)
    jobs.seek(harbour.height, DIFFICULTY, FAST)
    harbour.mine(3)
    jobs.tend(harbour.height)
    life = jobs.next_ready(harbour.height, None)
    assert life is not None
    with monkeypatch.context() as full:

        def refuse(path: Path, _data: bytes) -> None:
            raise UserError(f"cannot write {path}: No space left on device")

        full.setattr(private_file, "replace", refuse)
        jobs.executed(life, result_of(desk, harbour, job, kit), ())
        jobs.hand_in(harbour.height)
        jobs.tend(harbour.height)
        assert len(harbour.mempool) == 0, "nothing is committed to that no disk holds"
        assert jobs.next_ready(harbour.height, None) is None, "it is not executed again"
        assert "No space left" in capsys.readouterr().out
    jobs.tend(harbour.height)
    (entry,) = desk.journal.load()
    assert entry.output
    harbour.mine()
    assert harbour.job(job).status == r.JobStatus.COMMITTED


def test_an_entry_that_cannot_be_removed_ends_nothing(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An OSError in here ended the coordinator's thread, and with it the miner."""
    entry = Entry(bytes(32), 0, bytes(32))
    (tmp_path / "state" / f"{bytes(32).hex()}.job").mkdir()
    desk.journal.remove(entry.job)
    assert "journal.not_removed" in capsys.readouterr().out


def test_drafts_of_a_killed_miner_are_cleared_away(tmp_path: Path) -> None:
    """Each may be as large as a result with its products, and nobody else would remove it."""
    folder = tmp_path / "state"
    folder.mkdir()
    draft, foreign = folder / f".{'00' * 32}.job.0123456789abcdef.tmp", folder / ".other.tmp"
    draft.write_bytes(b"half of a")
    foreign.write_bytes(b"not ours")
    Journal(folder).close()
    assert not draft.exists() and foreign.exists()


# Honeypots ---------------------------------------------------------------------------------------


def test_a_job_in_which_every_device_dies_is_given_up(
    harbour: Harbour,
    device: Device,
    job: Hash,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One job too large for a GPU's memory took all devices with it, one after the other."""

    def run_out_of_memory() -> None:
        raise MemoryError("out of device memory")

    dying = Interrupting(device, run_out_of_memory)
    crew = Crew(harbour, [dying], tmp_path / "state", reopen_after=(0,) * (MAX_DEVICES_LOST + 1))
    assert crew.run(until=lambda: crew.journal.load() == [] and dying.batches > 0) == [True]
    assert dying.batches == MAX_DEVICES_LOST
    assert "a device was lost in it" in capsys.readouterr().out


def test_a_job_that_trips_a_defect_of_ours_ends_no_other_work(
    harbour: Harbour,
    device: Device,
    job: Hash,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever execution raised used to end the miner, and forfeit the bonds of all its jobs."""
    crew = Crew(harbour, [device], tmp_path / "state")
    executing = threading.Event()

    def run(*_: Any) -> bytes:
        executing.set()
        raise MemoryError

    monkeypatch.setattr("pouw.miner.library.LoadedModel.run", run)
    idle = harbour.height

    def mined_on() -> bool:
        return executing.is_set() and crew.journal.load() == [] and harbour.height > idle + 4

    assert crew.run(until=mined_on) == [True]
    told = capsys.readouterr().out
    assert "job.defect" in told and "MemoryError" in told


def test_jobs_that_are_fetched_in_vain_do_not_hold_up_deliveries(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    """A hundred models to fetch and to turn down were fetched in one round."""
    ids = [bytes([number]) * 32 for number in range(1, 40)]
    harbour.answers["listjobs"] = [
        altered(harbour, job, id=identity.hex(), model=identity.hex()) for identity in ids
    ]
    jobs = Jobs(desk)
    for rounds in range(1, 4):
        jobs.seek(harbour.height, DIFFICULTY, FAST)
        assert harbour.calls.count("getmodel") == rounds * MAX_MISFITS
    assert journalled(desk) == []


def test_what_a_node_makes_up_is_not_remembered_without_bound(
    harbour: Harbour, desk: Desk, job: Hash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.miner.jobs.MAX_AVOIDED", 50)
    monkeypatch.setattr("pouw.miner.jobs.LISTED_JOBS", 30)
    jobs = Jobs(desk)
    for start in range(0, 300, 60):
        harbour.answers["listjobs"] = [
            altered(harbour, job, id=f"{number:064x}", deadline=MAX_INT, bounty=0)
            for number in range(start, start + 60)
        ]
        jobs.seek(harbour.height, DIFFICULTY, FAST)
        assert len(jobs._avoided) <= 50
    assert len(desk.jobs("submitted", 30)) == 30, "no longer than was asked for"


ABSURD: Sequence[tuple[str, dict[str, Any]]] = [
    ("getinfo", {"height": MAX_INT}),
    ("getaccount", {"pending_nonce": MAX_INT, "nonce": MAX_INT}),
    ("getaccount", {"balance": 0}),
]


@pytest.mark.parametrize(("method", "lies"), ABSURD)
def test_absurd_numbers_are_no_defect_of_ours(
    harbour: Harbour, desk: Desk, job: Hash, method: str, lies: dict[str, Any]
) -> None:
    address = {"address": desk.worker} if method == "getaccount" else {}
    harbour.answers[method] = harbour.answer(method, address) | lies
    jobs = Jobs(desk)
    try:
        jobs.seek(harbour.height, DIFFICULTY, FAST)
    except UserError as error:
        assert str(error)
    assert len(harbour.mempool) <= 1


@pytest.mark.parametrize("field", ["bounty", "macs", "check_macs", "check_bytes", "deadline"])
@pytest.mark.parametrize("value", [0, MAX_INT])
def test_absurd_offers_are_passed_over_or_refused(
    harbour: Harbour, desk: Desk, job: Hash, field: str, value: int
) -> None:
    harbour.answers["listjobs"] = [
        altered(harbour, job, openings=(1 << 32) - 1, window=value, **{field: value})
    ]
    Jobs(desk).seek(0, 1, FAST)
    Jobs(desk).seek(MAX_INT, (1 << 256) - 1, FAST)
    assert len(harbour.mempool) == 0


# Templates ---------------------------------------------------------------------------------------


def test_a_node_cannot_have_the_reward_paid_to_itself(harbour: Harbour) -> None:
    """The miner looked at everything but the address that its own blocks paid."""
    address = format_address(WORKER.address, PARAMS.address_prefix)
    source = TemplateSource(HarbourLink(harbour), WORKER.public, address)
    held = source.refresh()
    answer = harbour.answer("gettemplate", {"miner": WORKER.public.hex(), "payout": address})
    header = decode(Header, bytes.fromhex(answer["header"]), 1024)
    stolen = msgspec.structs.replace(header, payout=RIVAL.address)
    harbour.answers["gettemplate"] = answer | {"header": encode(stolen).hex()}
    with pytest.raises(UserError, match="pays its block to somebody else"):
        source.refresh()
    assert source.latest is held


def test_weights_that_are_not_the_models_are_refused(
    harbour: Harbour, desk: Desk, job: Hash
) -> None:
    other = Kit(seed=9)
    root = harbour.job(job).input
    harbour.answers["getblobdata"] = {"data": other.weights.hex()}
    with pytest.raises(UserError, match="other data than blob"):
        desk.library.input(root)
    with pytest.raises(UserError, match="other data than blob"):
        desk.library.model(harbour.job(job).model)


# Processes ---------------------------------------------------------------------------------------

PARENT = """
import numpy as np
from pouw.miner.core_process import open_cores
cores = open_cores(2)
print(*(core.process_id for core in cores), flush=True)
many = np.ones((4096, 4096), np.int8)
while True:
    cores[0].matmul(many, many)
"""


def test_no_core_outlives_a_miner_that_was_killed() -> None:
    """Neither one that waits for work nor one in the middle of a product."""
    parent = subprocess.Popen([sys.executable, "-P", "-c", PARENT], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        cores = [int(number) for number in parent.stdout.readline().split()]
        assert len(cores) == 2
    finally:
        parent.kill()
        parent.communicate()
    wait(lambda: not any(is_running(core) for core in cores))


def is_running(process: int) -> bool:
    """Tell whether a process is there and not merely waits to be reaped."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
