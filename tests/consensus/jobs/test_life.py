"""The state machine of a job, every edge and every missing edge."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus.jobs.life import advance, is_live
from pouw.consensus.records import Job, JobStatus
from pouw.core.errors import RuleViolation

EDGES = {
    ("SUBMITTED", "cancel"): "CANCELLED",
    ("SUBMITTED", "claim"): "SUBMITTED",
    ("SUBMITTED", "assign"): "CLAIMED",
    ("SUBMITTED", "expire"): "EXPIRED",
    ("CLAIMED", "commit"): "COMMITTED",
    ("CLAIMED", "miss"): "SUBMITTED",
    ("COMMITTED", "settle"): "SETTLED",
    ("COMMITTED", "fail"): "SUBMITTED",
    ("COMMITTED", "miss"): "SUBMITTED",
}
ACTIONS = sorted({action for _, action in EDGES} | {"nonsense"})
HASH = bytes(32)
JOB = Job(HASH, HASH, HASH, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("status", list(JobStatus))
def test_every_action_in_every_status(status: JobStatus, action: str) -> None:
    job = msgspec.structs.replace(JOB, status=status, serial=41)
    expected = EDGES.get((status.name, action))
    if expected is None:
        with pytest.raises(RuleViolation) as caught:
            advance(job, action)
        assert caught.value.rule == "job-status"
    else:
        advanced = advance(job, action, bond=3)
        assert advanced == msgspec.structs.replace(
            job, status=JobStatus[expected], serial=42, bond=3
        )


@given(st.lists(st.sampled_from(ACTIONS), max_size=30))
def test_no_way_leads_out_of_an_end(actions: list[str]) -> None:
    job, ended = JOB, False
    for action in actions:
        try:
            job = advance(job, action)
        except RuleViolation:
            continue
        assert not ended
        ended = job.status in (JobStatus.SETTLED, JobStatus.EXPIRED, JobStatus.CANCELLED)


def test_live_means_that_a_worker_holds_it() -> None:
    live = {status for status in JobStatus if is_live(msgspec.structs.replace(JOB, status=status))}
    assert live == {JobStatus.CLAIMED, JobStatus.COMMITTED}
