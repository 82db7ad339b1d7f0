"""From a submitted job to its pay: the whole miner against a real chain."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pouw.consensus import records as r
from pouw.core.blob import blob_root
from pouw.core.hashing import ZERO_HASH
from pouw.core.transaction import ClaimJob
from pouw.genesis import Params
from pouw.miner.config import MinerConfig
from pouw.miner.devices import Device
from pouw.miner.service import Miner
from pouw.tests.miner.harbour import (
    COIN,
    FRIEND,
    OWNER,
    PARAMS,
    RIVAL,
    WORKER,
    Harbour,
    HarbourLink,
    Kit,
)
from pouw.tests.miner.interrupting import Interrupting
from pouw.vm.executor import execute
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.vm.tensor import encode_output

PATIENCE = 20.0


def config(state: Path, params: Params = PARAMS, **changes: object) -> MinerConfig:
    values: dict[str, object] = {
        "params": params,
        "node": "http://127.0.0.1:1",
        "token": lambda: None,
        "key": WORKER,
        "payout": FRIEND.address,
        "state": state,
    }
    return MinerConfig(**(values | changes))  # pyright: ignore[reportArgumentType]


@contextmanager
def mining(harbour: Harbour, device: Device, settings: MinerConfig) -> Generator[Miner]:
    """Run a miner in a thread; on leaving it must end by itself within two seconds."""
    miner = Miner(settings, [device], HarbourLink(harbour))
    thread = threading.Thread(target=miner.run)
    thread.start()
    try:
        yield miner
    finally:
        miner.stop.set()
        thread.join(2)
        assert not thread.is_alive()
        assert miner.finished
        assert not miner.failed


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def status(harbour: Harbour, job: bytes) -> r.JobStatus:
    with harbour.chain.lock:
        return harbour.job(job).status


def expected_output(kit: Kit) -> bytes:
    handler = plain_products(ReferenceMultiplier())
    execution = execute(kit.checked, kit.weights, kit.data, handler)
    return encode_output(kit.checked, execution.output)


def test_a_job_is_claimed_mined_settled_and_paid(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    with mining(harbour, device, config(tmp_path / "state")) as miner:
        wait(lambda: status(harbour, job) == r.JobStatus.SETTLED)
        wait(lambda: miner.meter.counts.jobs == 1)
    record = harbour.job(job)
    assert record.worker == WORKER.address
    assert record.output == blob_root(expected_output(kit))
    named = [head for head in harbour.heads if head.job_id == job]
    assert {head.op for head in named} == {0}
    assert sum(entry.blocks for entry in record.provenance) == len(named) >= 2
    assert any(head.job_id == ZERO_HASH for head in harbour.heads)
    earned = 4 * COIN * 9 // 10
    assert miner.meter.counts.earned == earned
    paid = harbour.account(WORKER.address).balance - 1000 * COIN
    assert 0 < earned - paid < COIN // 100, "all but fees arrives, the bond included"
    assert miner.meter.counts.useful == record.macs
    assert miner.meter.counts.job_blocks == len(named)
    assert not list((tmp_path / "state").glob("*.job"))
    harbour.check_supply()


def test_several_jobs_are_claimed_together_and_all_paid(
    harbour: Harbour, device: Device, tmp_path: Path
) -> None:
    model = harbour.register(Kit())
    bounties = [2 * COIN, 6 * COIN, 4 * COIN]
    jobs = [harbour.submit(model, Kit(i).data, bounty) for i, bounty in enumerate(bounties)]
    with mining(harbour, device, config(tmp_path / "state")) as miner:
        wait(lambda: miner.meter.counts.jobs == 3)
    assert len({harbour.job(job).claimed for job in jobs}) == 1
    assert miner.meter.counts.earned == 12 * COIN * 9 // 10
    assert miner.meter.by_device["cpu"].useful == 3 * Kit().macs
    assert miner.meter.by_device["cpu"].tickets > 0
    harbour.check_supply()


def test_a_restarted_miner_reveals_what_it_had_committed(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    settings = config(tmp_path / "state", mine_idle=False)
    with mining(harbour, device, settings):
        while status(harbour, job) != r.JobStatus.COMMITTED:
            if len(harbour.mempool) or status(harbour, job) == r.JobStatus.SUBMITTED:
                harbour.mine()
            time.sleep(0.05)  # what the miner sends next goes into the next block
    assert len(list((tmp_path / "state").glob("*.job"))) == 1
    with mining(harbour, device, settings) as second:
        while status(harbour, job) != r.JobStatus.SETTLED:
            wait(lambda: len(harbour.mempool) > 0)
            harbour.mine()
        wait(lambda: second.meter.counts.jobs == 1)
    assert second.meter.counts.useful == 0, "the result came from the journal"


def test_a_restarted_miner_executes_what_it_had_claimed(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    with mining(harbour, device, config(tmp_path / "state", mine_idle=False)):
        wait(lambda: len(harbour.mempool) == 1)
    harbour.mine(3)
    assert status(harbour, job) == r.JobStatus.CLAIMED
    with mining(harbour, device, config(tmp_path / "state")) as second:
        wait(lambda: second.meter.counts.jobs == 1)
    assert status(harbour, job) == r.JobStatus.SETTLED


def test_a_job_that_another_worker_holds_is_left_alone(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    harbour.send(RIVAL, ClaimJob(job))
    harbour.mine(3)
    assert harbour.job(job).worker == RIVAL.address
    with mining(harbour, device, config(tmp_path / "state", idle_rate=2_000_000)) as miner:
        wait(lambda: miner.meter.counts.blocks >= 3)
    assert harbour.job(job).worker == RIVAL.address
    assert miner.meter.counts.useful == 0


def test_a_poor_hot_key_says_so_once_and_mines_idly(
    harbour: Harbour,
    device: Device,
    kit: Kit,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data, bounty=2100 * COIN // 10)
    poor = config(tmp_path / "state", key=FRIEND, payout=OWNER.address)
    with mining(harbour, device, poor) as miner:
        wait(lambda: miner.meter.counts.blocks >= 5)
    assert status(harbour, job) == r.JobStatus.SUBMITTED
    assert capsys.readouterr().out.count("job.too_poor") == 1


def test_survives_a_node_that_goes_away_in_the_middle(
    harbour: Harbour,
    device: Device,
    kit: Kit,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    slow = config(tmp_path / "state", idle_rate=3_000_000)
    with mining(harbour, device, slow) as miner:
        wait(lambda: miner.meter.counts.blocks >= 1)
        harbour.down = True
        harbour.templates.clear()  # a node that restarts forgets them
        wait(lambda: miner.link.away)
        time.sleep(0.2)
        harbour.down = False
        wait(lambda: status(harbour, job) == r.JobStatus.SETTLED)
    output = capsys.readouterr().out
    assert output.count("node.away") == output.count("node.back") == 1


def test_a_miner_whose_only_device_is_lost_ends_and_says_so(
    harbour: Harbour,
    device: Device,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    harbour.submit(harbour.register(Kit()), Kit().data)

    def fail() -> None:
        raise OSError("its driver is gone")

    broken = Interrupting(device, fail)
    settings = config(tmp_path / "state", reopen_after=(0.0, 0.0))
    miner = Miner(settings, [broken], HarbourLink(harbour))
    miner.run()
    assert broken.reopened == 2
    assert miner.failed
    assert miner.finished
    told = capsys.readouterr().out
    assert "miner.no_device_left" in told
    assert "its driver is gone" in told


def test_a_window_that_passes_is_given_up_for_good(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    with mining(harbour, device, config(tmp_path / "state", mine_idle=False)):
        wait(lambda: len(harbour.mempool) == 1)
    harbour.mine(60)  # the miner was off: its window passes, the job is open again
    assert harbour.job(job).openings == 1
    with mining(harbour, device, config(tmp_path / "state")) as second:
        wait(lambda: second.meter.counts.blocks >= 3)
    assert harbour.job(job).openings == 1
    assert status(harbour, job) == r.JobStatus.SUBMITTED
    assert not list((tmp_path / "state").glob("*.job"))
    harbour.check_supply()
