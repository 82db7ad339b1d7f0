"""The agenda: what ends at which height, so that deadlines need nobody to call them in.

Each height holds a bounded number of events; one that finds its height full moves to the next with
room. The bound keeps what a single block must process constant, however many deadlines somebody
lines up. Every event is a record of its own beside a count, so that scheduling costs the same in a
crowded agenda as in an empty one.
"""

from typing import Final

from ..core.errors import RuleViolation
from . import records as r
from .state import State

_MAX_SPILL: Final = 64
"""Heights to try before refusing: reads that one transaction may cause."""


def schedule(state: State, height: int, kind: r.EventKind, subject: bytes, serial: int) -> int:
    """Put an event on the agenda at `height` or soon after; return the height it got.

    Raises RuleViolation "agenda-full" when the next heights are all taken.
    """
    free = _first_free(state, height)
    if free is None:
        raise RuleViolation("agenda-full", f"too much already ends from height {height} on")
    _append(state, r.events_key(free), r.Event(kind, subject, serial))
    return free


def schedule_surely(
    state: State, height: int, kind: r.EventKind, subject: bytes, serial: int
) -> int:
    """Do the same for an event that nobody may crowd out: a claimant's window, a kept blob.

    Each such event replaces one that has just been taken or was paid for by a bond, so exceeding
    the bound here cannot be repeated at will.
    """
    free = _first_free(state, height)
    chosen = height if free is None else free
    _append(state, r.events_key(chosen), r.Event(kind, subject, serial))
    return chosen


def take_events(state: State) -> tuple[r.Event, ...]:
    """Remove and return what is due at the current height, in the order it was scheduled."""
    return _take(state, r.events_key(state.height))


def schedule_claims(state: State, height: int, job: bytes) -> None:
    """Note that a job's claims are decided at `height`, exactly. Raises RuleViolation when full."""
    agenda = r.claims_key(height)
    if _count(state, agenda) >= state.params.max_events_per_height:
        raise RuleViolation("agenda-full", f"too many jobs are claimed at height {state.height}")
    _append(state, agenda, r.Event(r.EventKind.CLAIMS, job, 0))


def take_claims(state: State) -> tuple[r.Event, ...]:
    """Remove and return the events of jobs whose claims are decided at the current height."""
    return _take(state, r.claims_key(state.height))


def _first_free(state: State, height: int) -> int | None:
    for candidate in range(height, height + _MAX_SPILL):
        if _count(state, r.events_key(candidate)) < state.params.max_events_per_height:
            return candidate
    return None


def _count(state: State, agenda: bytes) -> int:
    return (state.read(r.Agenda, agenda) or r.Agenda()).count


def _append(state: State, agenda: bytes, event: r.Event) -> None:
    count = _count(state, agenda)
    state.write(r.slot_key(agenda, count), event)
    state.write(agenda, r.Agenda(count + 1))


def _take(state: State, agenda: bytes) -> tuple[r.Event, ...]:
    slots = [r.slot_key(agenda, slot) for slot in range(_count(state, agenda))]
    events = tuple(event for slot in slots if (event := state.read(r.Event, slot)) is not None)
    for key in (agenda, *slots):
        state.delete(key)
    return events
