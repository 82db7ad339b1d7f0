"""Which transactions the next block should hold: the best paying packages that fit and apply."""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

from ...consensus.state import State
from ...consensus.state_view import Overlay, StateDiff
from ...core.transaction import Bundle
from .ground import Ground, NotApplicable
from .packages import Package, PackageQueue
from .room import BlockRoom

MAX_FAILURES: Final = 1_000
"""Packages that may turn out not to apply after those before them, until the choice is cut short:
running them takes time that nobody pays for."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Transactions for one block, and the state after them."""

    bundles: tuple[Bundle, ...]
    earned: int
    """What they pay to the miner, in base units."""
    diff: StateDiff
    """What they and the beginning of the block change."""
    doubtful: frozenset[bytes]
    """Addresses of senders of whom something did not apply."""
    after: State

    def state(self) -> State:
        """Return the state after them, to be written to by one caller."""
        return State(Overlay(self.after.overlay), self.after.params, self.after.height)


def select(ground: Ground, senders: Iterable[Sequence[Package]]) -> Selection:
    """Run the packages of all senders, the best paying first, while they fit.

    Of a package that does not fit, or cannot be run, the part is tried again that may; the rest,
    and what follows it, waits for the next block.
    """
    draft, room = ground.draft(), BlockRoom(ground.state.params)
    queue = PackageQueue(senders)
    bundles: list[Bundle] = []
    doubtful: set[bytes] = set()
    earned, failures = 0, 0
    while failures < MAX_FAILURES and not room.is_full and (package := queue.pop()) is not None:
        trial = copy(room)
        fitting = _take_fitting(trial, package)
        if fitting < len(package.entries):
            queue.shorten(fitting)
            continue
        try:
            earned += draft.run(entry.transaction for entry in package.entries)
        except NotApplicable as failure:
            failures += 1
            doubtful.add(package.entries[0].sender)
            queue.shorten(failure.position)
            continue
        room = trial
        bundles += (entry.bundle for entry in package.entries)
        queue.follow()
    diff = {**ground.state.overlay.diff(), **draft.state.overlay.diff()}
    return Selection(tuple(bundles), earned, diff, frozenset(doubtful), draft.state)


def _take_fitting(room: BlockRoom, package: Package) -> int:
    """Take room for as much of a package as fits; return how many transactions that are."""
    for position, entry in enumerate(package.entries):
        if not room.fits(entry.bundle, entry.size):
            return position
        room.take(entry.bundle, entry.size)
    return len(package.entries)
