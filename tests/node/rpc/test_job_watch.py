"""Changes of jobs between two looks, through reorgs that take back what blocks have done."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pouw.chain.chainstate import ChainChange
from pouw.core.hashing import Hash
from pouw.core.transaction import CancelJob
from pouw.node.rpc.job_watch import JobWatch, named_jobs
from pouw.tests.miner.harbour import OWNER, Harbour, Kit, open_harbour


class Watcher:
    """A JobWatch that is told of a chain's changes as the node tells it."""

    def __init__(self, harbour: Harbour) -> None:
        self.chain = harbour.chain
        self.watch = JobWatch(harbour.chain)
        self.named: set[Hash] = set()
        harbour.chain.listeners.append(self._hear)
        self.watch.begin()

    def _hear(self, change: ChainChange) -> None:
        self.named |= named_jobs(change)

    def changes(self) -> dict[bytes, tuple[Any, Any]]:
        """Return (previous, status) by job."""
        with self.chain.lock:
            events = self.watch.changes(self.named)
        self.named = set()
        tip = self.chain.tip
        assert {(each["height"], each["block"]) for each in events} <= {(tip.height, tip.id.hex())}
        assert len({each["job"] for each in events}) == len(events)
        return {bytes.fromhex(each["job"]): (each["previous"], each["status"]) for each in events}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Harbour, Harbour]]:
    with open_harbour(tmp_path / "a") as first, open_harbour(tmp_path / "b") as second:
        yield first, second


def teach(giver: Harbour, taker: Harbour) -> None:
    """Give a node the active chain of another."""
    for height in range(1, giver.height + 1):
        entry = giver.chain.at_height(height)
        assert entry is not None
        body = giver.chain.body(entry.id)
        assert body is not None
        taker.chain.accept_header(entry.sealed, int(time.time()))
        taker.chain.accept_body(entry.id, body)


def test_what_a_reorg_takes_back_is_told(pair: tuple[Harbour, Harbour]) -> None:
    here, there = pair
    kit = Kit()
    model = here.register(kit)
    old = here.submit(model, kit.data)
    teach(here, there)
    watcher = Watcher(here)
    assert watcher.changes() == {}
    here.send(OWNER, CancelJob(old))
    here.mine()
    new = here.submit(model, kit.data)
    assert watcher.changes() == {old: ("submitted", "cancelled"), new: (None, "submitted")}
    there.mine(3)
    teach(there, here)
    assert here.chain.tip.id == there.chain.tip.id
    assert watcher.changes() == {old: ("cancelled", "submitted"), new: ("submitted", None)}
    assert watcher.changes() == {}
    here.mine(2)  # with the transactions that came back
    assert watcher.changes() == {old: ("submitted", "cancelled"), new: (None, "submitted")}


def test_what_expires_without_a_transaction_is_told_and_taken_back(
    pair: tuple[Harbour, Harbour],
) -> None:
    here, there = pair
    kit = Kit()
    job = here.submit(here.register(kit), kit.data)
    here.mine(here.job(job).deadline - here.height - 2)
    teach(here, there)
    watcher = Watcher(here)
    here.mine(2)
    assert watcher.changes() == {job: ("submitted", "expired")}
    late = Watcher(here)
    there.send(OWNER, CancelJob(job))
    there.mine(3)
    teach(there, here)
    assert watcher.changes() == {job: ("expired", "cancelled")}
    assert late.changes() == {job: ("expired", "cancelled")}


def test_long_ended_jobs_are_forgotten(harbour_alone: Harbour, monkeypatch: Any) -> None:
    monkeypatch.setattr("pouw.node.rpc.job_watch._REMEMBERED", 2)
    kit = Kit()
    job = harbour_alone.submit(harbour_alone.register(kit), kit.data)
    watcher = Watcher(harbour_alone)
    harbour_alone.send(OWNER, CancelJob(job))
    harbour_alone.mine()
    assert watcher.changes() == {job: ("submitted", "cancelled")}
    assert job in watcher.watch._seen
    harbour_alone.mine(3)
    assert watcher.changes() == {}
    assert job not in watcher.watch._seen
    assert job not in Watcher(harbour_alone).watch._seen


@pytest.fixture
def harbour_alone(tmp_path: Path) -> Iterator[Harbour]:
    with open_harbour(tmp_path / "alone") as opened:
        yield opened
