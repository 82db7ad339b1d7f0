"""The mining thread inside a job: time running out, and the end."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.consensus import records as r
from pouw.consensus.ticket import Operand, Tag
from pouw.core.hashing import Hash
from pouw.core.keys import format_address
from pouw.kernels.cpu import MinedRows
from pouw.miner.desk import Desk
from pouw.miner.devices import Device, NoisedB, RowMiner
from pouw.miner.idle import IdleMiner
from pouw.miner.journal import Journal
from pouw.miner.library import Library
from pouw.miner.meter import Meter
from pouw.miner.solution import Solutions
from pouw.miner.templates import TemplateSource
from pouw.miner.worker import Worker
from pouw.tests.miner.harbour import PARAMS, WORKER, Harbour, HarbourLink, Kit
from pouw.vm.multiplier import Multiplier
from pouw.wallet.session import Session


class Interrupting:
    """A device in whose every job batch something happens first."""

    def __init__(self, device: Device, happens: Callable[[], None]) -> None:
        self._device = device
        self._happens = happens
        self.batches = 0

    @property
    def name(self) -> str:
        return self._device.name

    @property
    def multiplier(self) -> Multiplier:
        return self._device.multiplier

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        return _Noised(self, self._device.noise_b(sigma, b, n, k), b is not None)

    def batch(self) -> None:
        self.batches += 1
        self._happens()


class _Noised:
    def __init__(self, device: Interrupting, inner: NoisedB, job: bool) -> None:
        self._device, self._inner, self._job = device, inner, job

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        rows = self._inner.start(m, root_a, tag, difficulty)
        return _Rows(self._device, rows) if self._job else rows


class _Rows:
    def __init__(self, device: Interrupting, inner: RowMiner) -> None:
        self._device, self._inner = device, inner

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> MinedRows:
        self._device.batch()
        return self._inner.mine_rows(a_rows, row0, row1)


class Thread:
    """A worker with all its parts; turned by hand."""

    def __init__(self, harbour: Harbour, device: Device, state: Path) -> None:
        link = HarbourLink(harbour)
        address = format_address(WORKER.address, PARAMS.address_prefix)
        self.stop = threading.Event()
        self.meter = Meter()
        self.templates = TemplateSource(link, WORKER.public, address)
        solutions = Solutions(link, WORKER, self.templates, self.meter)
        idle = IdleMiner(device, solutions, self.meter, None)
        self.journal = Journal(state)
        desk = Desk(
            Session(link, PARAMS, WORKER),
            address,
            WORKER.address,
            self.journal,
            Library(link),
            self.meter,
        )
        self.worker = Worker(
            link, self.templates, solutions, device, self.meter, idle, desk, self.stop
        )
        self.templates.refresh()


def test_a_job_whose_window_ends_in_the_middle_is_left(
    harbour: Harbour,
    device: Device,
    kit: Kit,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)

    def time_passes() -> None:
        harbour.mine(40)
        thread.templates.refresh()

    slow = Interrupting(device, time_passes)
    thread = Thread(harbour, slow, tmp_path / "state")
    while slow.batches == 0:
        thread.worker.turn()
    assert slow.batches == 1
    assert "its window is over" in capsys.readouterr().out
    assert thread.journal.load() == []
    thread.worker.turn()
    assert harbour.job(job).status == r.JobStatus.SUBMITTED
    harbour.check_supply()


def test_the_end_comes_between_two_batches_and_the_job_waits_in_the_journal(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    interrupted = Interrupting(device, lambda: thread.stop.set())
    thread = Thread(harbour, interrupted, tmp_path / "state")
    thread.worker.run()
    assert interrupted.batches == 1
    assert [(entry.job, entry.output) for entry in thread.journal.load()] == [(job, b"")]


def test_a_node_that_is_away_does_not_stop_the_multiplication(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)

    def vanish() -> None:
        harbour.down = True

    cut_off = Interrupting(device, vanish)
    thread = Thread(harbour, cut_off, tmp_path / "state")
    while not harbour.down:
        thread.worker.turn()
    (entry,) = thread.journal.load()
    assert entry.output, "the result is kept for when the node is back"
    assert cut_off.batches == 3
    harbour.down = False
    while harbour.job(job).status != r.JobStatus.SETTLED:
        thread.templates.refresh()
        thread.worker.turn()
    assert cut_off.batches == 3


def test_others_are_delivered_while_a_job_is_executed(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    model = harbour.register(kit)
    jobs = [harbour.submit(model, Kit(seed).data) for seed in (5, 6)]
    settled_inside: list[int] = []

    def look() -> None:
        done = sum(harbour.job(job).status == r.JobStatus.SETTLED for job in jobs)
        settled_inside.append(done)

    thread = Thread(harbour, Interrupting(device, look), tmp_path / "state")
    while any(harbour.job(job).status != r.JobStatus.SETTLED for job in jobs):
        thread.worker.turn()
    assert len(settled_inside) == 6
    assert thread.meter.counts.jobs >= 1
