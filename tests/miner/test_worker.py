"""Devices' threads inside a job: time running out, the end, a node that is away, a lost device."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pouw.consensus import records as r
from pouw.core.keys import format_address
from pouw.miner.coordinator import JobCoordinator
from pouw.miner.desk import Desk
from pouw.miner.devices import Device
from pouw.miner.journal import Journal
from pouw.miner.library import Library
from pouw.miner.meter import Meter
from pouw.miner.solution import Solutions
from pouw.miner.templates import TemplateSource
from pouw.miner.worker import Site, Worker
from pouw.tests.miner.harbour import PARAMS, WORKER, Harbour, HarbourLink, Kit
from pouw.tests.miner.interrupting import Interrupting
from pouw.wallet.session import Session

PATIENCE = 60.0


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


class Crew:
    """One worker for each device, with all they share; the jobs are tended in a thread."""

    def __init__(
        self,
        harbour: Harbour,
        devices: Sequence[Device],
        state: Path,
        reopen_after: Sequence[float] = (),
    ) -> None:
        link = HarbourLink(harbour)
        address = format_address(WORKER.address, PARAMS.address_prefix)
        self.stop = threading.Event()
        self.meter = Meter()
        self.templates = TemplateSource(link, WORKER.public, address)
        solutions = Solutions(link, WORKER, self.templates, self.meter)
        self.journal = Journal(state)
        session, library = Session(link, PARAMS, WORKER), Library(link)
        desk = Desk(session, address, WORKER.address, self.journal, library, self.meter)
        self.coordinator = JobCoordinator(link, self.templates, desk, self.stop)
        site = Site(
            link=link,
            templates=self.templates,
            solutions=solutions,
            stop=self.stop,
            coordinator=self.coordinator,
            mine_idle=True,
            idle_cap=None,
        )
        self.workers = [
            Worker(site, device, self.meter.device(f"{device.name}#{number}"), reopen_after)
            for number, device in enumerate(devices)
        ]
        self.templates.refresh()

    @contextmanager
    def tended(self) -> Generator[None]:
        thread = threading.Thread(target=self.coordinator.run)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join(5)
            assert not thread.is_alive()

    def turn(self, until: Callable[[], bool]) -> None:
        """Let the first worker take turns until something has happened."""
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end, "it did not happen in time"
            self.workers[0].turn()

    def run(self, until: Callable[[], bool]) -> list[bool]:
        """Let all work until something has happened; return what each worker said in the end."""
        ends = [False] * len(self.workers)

        def work(number: int) -> None:
            ends[number] = self.workers[number].run()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(ends))]
        with self.tended():
            for thread in threads:
                thread.start()
            wait(until)
            self.stop.set()
            for thread in threads:
                thread.join(5)
                assert not thread.is_alive()
        return ends


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
        crew.templates.refresh()

    slow = Interrupting(device, time_passes)
    crew = Crew(harbour, [slow], tmp_path / "state")
    with crew.tended():
        crew.turn(until=lambda: slow.batches > 0)
        crew.workers[0].turn()
    assert slow.batches == 1
    assert "job.failed" in capsys.readouterr().out
    assert crew.journal.load() == []
    assert harbour.job(job).status == r.JobStatus.SUBMITTED
    harbour.check_supply()


def test_the_end_comes_between_two_batches_and_the_job_waits_in_the_journal(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)
    interrupted = Interrupting(device, lambda: crew.stop.set())
    crew = Crew(harbour, [interrupted], tmp_path / "state")
    assert crew.run(until=crew.stop.is_set) == [True]
    assert interrupted.batches == 1
    assert interrupted.closed
    assert [(entry.job, entry.output) for entry in crew.journal.load()] == [(job, b"")]


def test_a_node_that_is_away_does_not_stop_the_multiplication(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)

    def vanish() -> None:
        harbour.down = True

    cut_off = Interrupting(device, vanish)
    crew = Crew(harbour, [cut_off], tmp_path / "state")
    with crew.tended():
        crew.turn(until=lambda: harbour.down)
        (entry,) = crew.journal.load()
        assert entry.output, "the result is kept for when the node is back"
        assert cut_off.batches == 3
        harbour.down = False
        crew.templates.refresh()
        crew.turn(until=lambda: harbour.job(job).status == r.JobStatus.SETTLED)
    assert cut_off.batches == 3


def test_others_are_delivered_while_a_job_is_executed(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    model = harbour.register(kit)
    jobs = [harbour.submit(model, Kit(seed).data) for seed in (5, 6)]
    handed_in: list[int] = []

    def look() -> None:
        late = (r.JobStatus.COMMITTED, r.JobStatus.SETTLED)
        handed_in.append(sum(harbour.job(job).status in late for job in jobs))

    crew = Crew(harbour, [Interrupting(device, look)], tmp_path / "state")
    with crew.tended():
        crew.turn(until=lambda: crew.meter.counts.jobs == 2)
    assert len(handed_in) == 6
    assert handed_in[:3] == [0, 0, 0]
    assert handed_in[-1] == 1
    harbour.check_supply()


def test_two_devices_settle_small_jobs_of_one_model_in_few_blocks(
    harbour: Harbour, device: Device, tmp_path: Path
) -> None:
    model = harbour.register(Kit())
    jobs = [harbour.submit(model, Kit(seed).data) for seed in range(6)]
    turns: list[str] = []
    both = threading.Barrier(2)

    def meet(name: str) -> None:
        if name not in turns:
            turns.append(name)
            both.wait(20)  # each has a job before either goes on

    devices = [Interrupting(device, lambda name=name: meet(name)) for name in "ab"]
    crew = Crew(harbour, devices, tmp_path / "state")
    ends = crew.run(until=lambda: crew.meter.counts.jobs == len(jobs))
    assert ends == [True, True]
    records = [harbour.job(job) for job in jobs]
    assert {record.status for record in records} == {r.JobStatus.SETTLED}
    assert len({record.claimed for record in records}) == 1, "all claimed in one block"
    named = sum(head.job_id in jobs for head in harbour.heads)
    took = max(record.ended for record in records) - records[0].claimed
    assert took <= named + 10, "blocks that none of their products mined are few"
    assert all(one.batches >= 3 for one in devices)
    each = [counts.useful for counts in crew.meter.by_device.values()]
    assert sum(each) == crew.meter.counts.useful == sum(record.macs for record in records)
    assert all(each)
    harbour.check_supply()


def test_a_device_that_dies_in_a_job_leaves_it_to_the_other(
    harbour: Harbour,
    device: Device,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = harbour.register(Kit())
    jobs = [harbour.submit(model, Kit(seed).data) for seed in range(2)]
    dead = threading.Event()

    def die() -> None:
        if dying.batches == 2:
            dead.set()
            raise RuntimeError("an illegal memory access was encountered\nand much more")

    def wait_for_death() -> None:
        assert dead.wait(20)

    dying, living = Interrupting(device, die), Interrupting(device, wait_for_death)
    crew = Crew(harbour, [dying, living], tmp_path / "state")
    ends = crew.run(until=lambda: crew.meter.counts.jobs == 2)
    assert ends == [False, True]
    assert dying.closed
    assert {harbour.job(job).status for job in jobs} == {r.JobStatus.SETTLED}
    assert {harbour.job(job).openings for job in jobs} == {0}, "the same claims were kept"
    assert living.batches == 6
    told = capsys.readouterr().out
    assert told.count("device.given_up") == 1
    assert "an illegal memory access" in told
    assert "and much more" not in told
    harbour.check_supply()


def test_a_device_is_opened_again_and_does_its_job(
    harbour: Harbour, device: Device, kit: Kit, tmp_path: Path
) -> None:
    job = harbour.submit(harbour.register(kit), kit.data)

    def stumble() -> None:
        if shaky.batches in (2, 4):
            raise OSError

    shaky = Interrupting(device, stumble)
    crew = Crew(harbour, [shaky], tmp_path / "state", reopen_after=(0, 0))
    assert crew.run(until=lambda: crew.meter.counts.jobs == 1) == [True]
    assert shaky.reopened == 2
    assert harbour.job(job).openings == 0
