"""The invariant of money: balances + escrows + bonds = emitted − burned."""

from collections.abc import Iterable

from ..core.codec import decode
from ..core.errors import PouwError
from . import records as r
from .state_view import StateDiff, StateView


class SupplyBroken(PouwError):
    """The rules created or lost money: a bug of ours, never a sender's fault. The node stops."""


def held(key: bytes, value: bytes) -> int:
    """Return the base units that one record of the state holds."""
    if key.startswith(b"a"):
        return decode(r.Account, value, r.RECORD_LIMIT).balance
    if key.startswith(b"j"):
        job = decode(r.Job, value, r.RECORD_LIMIT)
        return job.escrow + job.bonds
    return 0


def check_supply_change(view: StateView, diff: StateDiff) -> None:
    """Compare what a block's diff adds to the records with what it emits and burns.

    Raises SupplyBroken. Together with the same check on every earlier block this is the invariant
    for the whole state, at the price of the records that changed.
    """
    change = 0
    for key, new in diff.items():
        old = view.get(key)
        change += held(key, new) if new is not None else 0
        change -= held(key, old) if old is not None else 0
    before = _outstanding(view.get(r.TOTALS_KEY))
    after = _outstanding(diff.get(r.TOTALS_KEY, view.get(r.TOTALS_KEY)))
    if change != after - before:
        raise SupplyBroken(f"records changed by {change} base units, totals by {after - before}")


def check_whole_supply(records: Iterable[tuple[bytes, bytes]]) -> int:
    """Add up every record of a state and return the money in existence. Raises SupplyBroken."""
    total, outstanding = 0, 0
    for key, value in records:
        total += held(key, value)
        if key == r.TOTALS_KEY:
            outstanding = _outstanding(value)
    if total != outstanding:
        raise SupplyBroken(f"records hold {total} base units, emitted − burned is {outstanding}")
    return total


def _outstanding(totals: bytes | None) -> int:
    if totals is None:
        return 0
    record = decode(r.Totals, totals, r.RECORD_LIMIT)
    return record.emitted - record.burned
