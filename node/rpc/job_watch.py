"""Changes of jobs' statuses, found by comparing the state at one tip with that at the next.

A block changes jobs that its transactions name, and jobs whose window, reveal or deadline ends with
it; the latter are among those that had not ended before. So it is enough to look at both. A reorg
may give a job back that had ended without a transaction: such jobs are remembered for a while.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ...chain.blockindex import Entry
from ...chain.chainstate import Chain, ChainChange
from ...consensus import records as r
from ...core.codec import decode
from ...core.hashing import Hash
from ...core.transaction import CancelJob, ClaimJob, CommitResult, SettleJob, SubmitJob, Transaction
from .types import Answer

_REMEMBERED: Final = 1_000
"""Blocks for which an ended job is still looked at, in case a reorg revives it."""
_ENDED: Final = (r.JobStatus.SETTLED, r.JobStatus.EXPIRED, r.JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A job as it was at the last look."""

    status: r.JobStatus
    ended: int

    @property
    def is_live(self) -> bool:
        """Whether the status may still change."""
        return self.status not in _ENDED


class JobWatch:
    """Remembers the statuses of all jobs that may still change."""

    def __init__(self, chain: Chain) -> None:
        self._chain: Final = chain
        self._seen: dict[Hash, _Seen] = {}

    def begin(self) -> None:
        """Learn how the jobs stand now; walks over all jobs there ever were."""
        since = self._chain.tip.height - _REMEMBERED
        jobs = ((key[1:], _read(data)) for key, data in self._chain.state.items(r.job_key(b"")))
        self._seen = {job: seen for job, seen in jobs if seen.is_live or seen.ended >= since}

    def changes(self, named: Iterable[Hash]) -> list[Answer]:
        """Return what has changed since the last look; the caller holds the chain's lock.

        `named` are the jobs that transactions have named meanwhile.
        """
        tip = self._chain.tip
        events: list[Answer] = []
        for job in {**self._seen, **dict.fromkeys(named)}:
            before, now = self._seen.get(job), self._look(job)
            if _status(before) != _status(now):
                events.append(_event(job, before, now, tip))
            if now is not None and (now.is_live or now.ended >= tip.height - _REMEMBERED):
                self._seen[job] = now
            else:
                self._seen.pop(job, None)
        return events

    def _look(self, job: Hash) -> _Seen | None:
        data = self._chain.state.get(r.job_key(job))
        return None if data is None else _read(data)


def named_jobs(change: ChainChange) -> set[Hash]:
    """Return the jobs that transactions put on or taken off name."""
    blocks = (*change.disconnected, *change.connected)
    found = (_named(each) for _, body in blocks for each in body.transactions)
    return {job for job in found if job is not None}


def _named(transaction: Transaction) -> Hash | None:
    match transaction.payload.body:
        case SubmitJob():
            return transaction.id
        case CancelJob(job=job) | ClaimJob(job=job) | CommitResult(job=job) | SettleJob(job=job):
            return job
        case _:
            return None


def _read(data: bytes) -> _Seen:
    job = decode(r.Job, data, r.RECORD_LIMIT)
    return _Seen(job.status, job.ended)


def _event(job: Hash, before: _Seen | None, now: _Seen | None, tip: Entry) -> Answer:
    return {
        "job": job.hex(),
        "status": _status(now),
        "previous": _status(before),
        "height": tip.height,
        "block": tip.id.hex(),
    }


def _status(seen: _Seen | None) -> str | None:
    return None if seen is None else seen.status.name.lower()
