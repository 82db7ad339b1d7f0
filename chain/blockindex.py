"""The tree of all known headers, in memory: who extends whom, with how much work.

Whoever changes it holds the chain's lock. The path to the best header has a lock of its own, held
for microseconds, so that the network is answered while a block is being validated.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ..consensus.header_rules import MEDIAN_SPAN, HeaderContext
from ..core.block import SealedHeader
from ..core.hashing import Hash

MAX_LOCATOR: Final = 64


@dataclass(slots=True, eq=False)
class Entry:
    """One known block. `work` is cumulative, from block 0 up to and including this one."""

    id: Hash
    sealed: SealedHeader
    parent: "Entry | None"
    work: int
    has_body: bool = False
    invalid: str = ""
    """The rule that condemned it or an ancestor, or ""."""
    ready: bool = False
    """It and all its ancestors have bodies."""
    order: int = 0
    """Rank among the blocks that became ready: the earlier of two with equal work stays."""
    children: "list[Entry]" = field(default_factory=list, repr=False)

    @property
    def height(self) -> int:
        """Distance from block 0."""
        return self.sealed.header.height

    @property
    def time(self) -> int:
        """The header's time, UTC seconds."""
        return self.sealed.header.time

    def ancestors(self) -> "Iterator[Entry]":
        """Yield this entry, its parent, and so on to block 0."""
        entry: Entry | None = self
        while entry is not None:
            yield entry
            entry = entry.parent

    def beats(self, other: "Entry") -> bool:
        """Tell whether this block, ready as the other, is the better tip."""
        return (self.work, -self.order) > (other.work, -other.order)


class BlockIndex:
    """All known blocks by id, the most-work header among the valid ones, and fork arithmetic."""

    def __init__(self, genesis: SealedHeader) -> None:
        root = Entry(genesis.id, genesis, None, 0, has_body=True, ready=True)
        self.genesis: Final = root
        self._entries: Final[dict[Hash, Entry]] = {root.id: root}
        self._anchors: Final[dict[Hash, int]] = {}
        self._candidates: Final[dict[Hash, Entry]] = {}
        self._became_ready = 0
        self._best_path: Final = [root]
        self._path_lock: Final = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def best_header(self) -> Entry:
        """The header of most work that is not known to be invalid; the first seen on ties."""
        return self._best_path[-1]

    def get(self, block: Hash) -> Entry | None:
        """Return a known block."""
        return self._entries.get(block)

    def add(self, sealed: SealedHeader, block: Hash, invalid: str = "") -> Entry:
        """Add a header whose parent is known and whose rules were checked.

        `invalid` is the rule that condemned the block, where that is known from an earlier run.
        """
        parent = self._entries[sealed.header.parent]
        entry = Entry(block, sealed, parent, parent.work + sealed.header.work)
        entry.invalid = parent.invalid or invalid
        parent.children.append(entry)
        self._entries[block] = entry
        # Time of block 1 of each branch; shared by all its descendants.
        self._anchors[block] = self._anchors.get(parent.id, entry.time)
        if not entry.invalid and entry.work > self.best_header.work:
            self._lead_to(entry)
        return entry

    def context(self, parent: Entry) -> HeaderContext:
        """Return what the rules need to judge a child of `parent`."""
        times: list[int] = []
        for entry in parent.ancestors():
            times.append(entry.time)
            if len(times) == MEDIAN_SPAN:
                break
        anchor = self._anchors.get(parent.id, parent.time)
        return HeaderContext(parent.id, parent.height, parent.time, times, anchor)

    def mark_body(self, entry: Entry) -> list[Entry]:
        """Note that a body arrived; return every block that became ready by it."""
        entry.has_body = True
        became: list[Entry] = []
        pending = [entry]
        while pending:
            block = pending.pop()
            if block.has_body and not block.ready and _parent(block).ready:
                block.ready = True
                self._became_ready += 1
                block.order = self._became_ready
                became.append(block)
                self.offer(block)
                pending.extend(block.children)
        return became

    def mark_invalid(self, entry: Entry, rule: str) -> list[Entry]:
        """Condemn a block and its descendants; return them all."""
        condemned = [entry]
        for block in condemned:
            block.invalid = rule
            condemned.extend(block.children)
        if self.best_header.invalid:
            valid = (block for block in self._entries.values() if not block.invalid)
            self._lead_to(max(valid, key=lambda block: block.work))
        return condemned

    def locator(self) -> list[Hash]:
        """Return ids from the best header back to block 0, ever further apart."""
        with self._path_lock:
            height, step, ids = len(self._best_path) - 1, 1, list[Hash]()
            while height > 0 and len(ids) < MAX_LOCATOR - 1:
                ids.append(self._best_path[height].id)
                if len(ids) > 10:
                    step *= 2
                height = max(0, height - step)
        return [*ids, self.genesis.id]

    def missing_bodies(self, limit: int) -> list[Hash]:
        """Return the lowest blocks on the way to the best header whose bodies are missing."""
        wanted: list[Hash] = []
        with self._path_lock:
            path = self._best_path
            height = bisect_left(path, True, key=lambda entry: not entry.ready)
            while height < len(path) and len(wanted) < limit:
                if not path[height].has_body:
                    wanted.append(path[height].id)
                height += 1
        return wanted

    def offer(self, entry: Entry) -> None:
        """Remember a ready block as a possible tip."""
        self._candidates[entry.id] = entry

    def best_candidate(self, tip: Entry) -> Entry:
        """Return the valid candidate that beats the tip and all others, or the tip.

        Candidates that can no longer win are forgotten; whoever leaves a tip offers it again.
        """
        best = tip
        for block, entry in list(self._candidates.items()):
            if entry.invalid or not entry.beats(tip):
                del self._candidates[block]
            elif entry.beats(best):
                best = entry
        return best

    def _lead_to(self, best: Entry) -> None:
        """Let the best path end at `best`."""
        path, entry = self._best_path, best
        while entry.height >= len(path) or path[entry.height] is not entry:
            entry = _parent(entry)
        with self._path_lock:
            path[entry.height + 1 :] = path_from(entry, best)


def fork_point(a: Entry, b: Entry) -> Entry:
    """Return the last common ancestor of two blocks."""
    while a is not b:
        if a.height >= b.height:
            a = _parent(a)
        else:
            b = _parent(b)
    return a


def path_from(fork: Entry, target: Entry) -> list[Entry]:
    """Return the blocks above `fork` up to its descendant `target`, lowest first."""
    path: list[Entry] = []
    while target is not fork:
        path.append(target)
        target = _parent(target)
    return path[::-1]


def _parent(entry: Entry) -> Entry:
    if entry.parent is None:
        raise LookupError("block 0 has no parent")
    return entry.parent
