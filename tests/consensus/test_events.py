"""The agenda: order, spilling over, bounds, and constant costs."""

import pytest
from pouw.consensus import records as r
from pouw.consensus.events import (
    schedule,
    schedule_claims,
    schedule_surely,
    take_claims,
    take_events,
)
from pouw.consensus.state import State
from pouw.consensus.state_view import Overlay
from pouw.core.errors import RuleViolation
from pouw.genesis import TINY

LIMIT = TINY.max_events_per_height
SPILL = 64
KIND = r.EventKind.DEADLINE


def subject(number: int) -> bytes:
    return number.to_bytes(32, "big")


def at(state: State, height: int) -> State:
    return State(state.overlay, state.params, height)


@pytest.fixture
def state() -> State:
    return State(Overlay({}), TINY, 1)


def test_events_come_back_once_in_the_order_they_were_scheduled(state: State) -> None:
    events = [r.Event(kind, subject(i), i) for i, kind in enumerate(r.EventKind)]
    for event in events:
        assert schedule(state, 9, event.kind, event.subject, event.serial) == 9
    assert take_events(at(state, 8)) == ()
    assert take_events(at(state, 9)) == tuple(events)
    assert take_events(at(state, 9)) == ()
    assert state.overlay.diff() == {}


def test_a_full_height_spills_over_into_the_next_with_room(state: State) -> None:
    heights = [schedule(state, 5, KIND, subject(i), 0) for i in range(2 * LIMIT + 1)]
    assert heights == [5] * LIMIT + [6] * LIMIT + [7]
    assert schedule(state, 6, KIND, subject(99), 0) == 7
    assert [len(take_events(at(state, height))) for height in (5, 6, 7, 8)] == [LIMIT, LIMIT, 2, 0]


def fill(state: State, first: int) -> None:
    for i in range(LIMIT * SPILL):
        schedule(state, first, KIND, subject(i), 0)


def test_refused_when_all_heights_in_reach_are_full(state: State) -> None:
    fill(state, 5)
    with pytest.raises(RuleViolation) as caught:
        schedule(state, 5, KIND, subject(0), 0)
    assert caught.value.rule == "agenda-full"
    assert schedule(state, 6, KIND, subject(0), 0) == 5 + SPILL


def test_what_must_be_scheduled_is_never_crowded_out(state: State) -> None:
    assert schedule_surely(state, 5, KIND, subject(0), 0) == 5
    for i in range(LIMIT * SPILL - 1):
        schedule(state, 5, KIND, subject(i), 0)
    assert schedule_surely(state, 5, KIND, subject(1), 7) == 5
    events = take_events(at(state, 5))
    assert len(events) == LIMIT + 1
    assert events[-1] == r.Event(KIND, subject(1), 7)


def test_claims_are_decided_at_their_height_exactly(state: State) -> None:
    for i in range(LIMIT):
        schedule_claims(state, 3, subject(i))
    with pytest.raises(RuleViolation) as caught:
        schedule_claims(state, 3, subject(LIMIT))
    assert caught.value.rule == "agenda-full"
    assert take_events(at(state, 3)) == ()
    taken = take_claims(at(state, 3))
    assert [event.subject for event in taken] == [subject(i) for i in range(LIMIT)]
    assert {event.kind for event in taken} == {r.EventKind.CLAIMS}
    assert take_claims(at(state, 3)) == ()
    assert state.overlay.diff() == {}


def test_scheduling_writes_as_little_into_a_crowded_agenda_as_into_an_empty_one() -> None:
    """One record for all events of a height made a block of uploads cost the square of its size."""
    state = State(Overlay({}), TINY, 1)
    for i in range(300):
        schedule_surely(state, 5, KIND, subject(i), 0)
    values = [value for value in state.overlay.diff().values() if value is not None]
    assert len(values) >= 300
    assert max(map(len, values)) < 64
