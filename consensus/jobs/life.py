"""The state machine of a job: which action is possible in which status, and what follows.

    SUBMITTED ──cancel──▶ CANCELLED
        │ ▲ └──expire───▶ EXPIRED
      assign │
        ▼    ├──miss──────────────┐
     CLAIMED─┘                    │
        │ commit                  │
        ▼                         │
    COMMITTED ──fail, miss──▶ SUBMITTED
        │ settle
        ▼
     SETTLED

`claim` leaves the status alone: claims of one block compete until `assign` picks one. Challenge
mode adds a status between COMMITTED and SETTLED, and its edges, to this table.
"""

from typing import Any, Final

import msgspec

from ...core.errors import RuleViolation
from ..records import Job, JobStatus

_NEXT: Final[dict[tuple[JobStatus, str], JobStatus]] = {
    (JobStatus.SUBMITTED, "cancel"): JobStatus.CANCELLED,
    (JobStatus.SUBMITTED, "claim"): JobStatus.SUBMITTED,
    (JobStatus.SUBMITTED, "assign"): JobStatus.CLAIMED,
    (JobStatus.SUBMITTED, "expire"): JobStatus.EXPIRED,
    (JobStatus.CLAIMED, "commit"): JobStatus.COMMITTED,
    (JobStatus.CLAIMED, "miss"): JobStatus.SUBMITTED,
    (JobStatus.COMMITTED, "settle"): JobStatus.SETTLED,
    (JobStatus.COMMITTED, "fail"): JobStatus.SUBMITTED,
    (JobStatus.COMMITTED, "miss"): JobStatus.SUBMITTED,
}


def advance(job: Job, action: str, **changes: Any) -> Job:
    """Return the job after `action`, with `changes` to its other fields and a new serial.

    Raises RuleViolation "job-status" when the job's status does not allow the action.
    """
    status = _NEXT.get((job.status, action))
    if status is None:
        raise RuleViolation(
            "job-status", f"cannot {action} a job that is {job.status.name.lower()}"
        )
    return msgspec.structs.replace(job, status=status, serial=job.serial + 1, **changes)


def is_live(job: Job) -> bool:
    """Tell whether a worker is at work on the job."""
    return job.status in (JobStatus.CLAIMED, JobStatus.COMMITTED)
