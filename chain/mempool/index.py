"""The pool's entries by id, by what they hang on, by what they contest and by when they end."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ...core.hashing import Hash
from .entry import Contest, Entry
from .sender import Sender


class EntryIndex:
    """Everything that waits. Look-ups by id need no lock."""

    def __init__(self) -> None:
        self.by_id: Final[OrderedDict[Hash, Entry]] = OrderedDict()
        """In the order in which they came."""
        self.size = 0
        """Canonical bytes, chunks included."""
        self.weight = 0
        """Estimated bytes of memory."""
        self._watchers: Final[dict[bytes, set[Hash]]] = {}
        self._contests: Final[dict[bytes, set[Hash]]] = {}
        self._ends: Final[dict[int, set[Hash]]] = {}

    def add(self, entry: Entry) -> None:
        """Index an entry."""
        self.by_id[entry.id] = entry
        self.size += entry.size
        self.weight += entry.weight
        for group, key in _places(self, entry):
            group.setdefault(key, set()).add(entry.id)

    def remove(self, entry: Entry) -> None:
        """Forget an entry."""
        del self.by_id[entry.id]
        self.size -= entry.size
        self.weight -= entry.weight
        for group, key in _places(self, entry):
            holders = group[key]
            holders.discard(entry.id)
            if not holders:
                del group[key]

    def watching(self, keys: Iterable[bytes]) -> Iterator[Entry]:
        """Yield the entries whose validity hangs on any of the state keys."""
        for key in keys:
            for identity in self._watchers.get(key, ()):
                yield self.by_id[identity]

    def watched(self) -> Iterator[bytes]:
        """Yield every state key that something hangs on."""
        return iter(self._watchers)

    def rivals(self, contest: Contest, sender: bytes) -> list[Entry]:
        """Return what other senders have waiting for the same thing."""
        found = (self.by_id[identity] for identity in self._contests.get(contest[0], ()))
        return [entry for entry in found if entry.sender != sender]

    def ended(self, heights: range) -> list[Entry]:
        """Return the entries whose last height is one of these."""
        return [self.by_id[i] for height in heights for i in self._ends.get(height, ())]

    def oldest(self) -> Entry | None:
        """Return what came first."""
        return next(iter(self.by_id.values()), None)


Groups = Iterator[tuple[dict[Any, set[Hash]], Any]]


def _places(index: EntryIndex, entry: Entry) -> Groups:
    """Yield the groups, and the key in each, that hold the entry's id."""
    yield index._ends, entry.last_height
    for key in entry.keys:
        yield index._watchers, key
    if entry.contest is not None:
        yield index._contests, entry.contest[0]


class WorstPackages:
    """Finds the sender whose last package pays the least.

    A heap of what senders had last at some time; what is no longer so is skipped, and swept out
    when it is more than what is.
    """

    def __init__(self, senders: Mapping[bytes, Sender]) -> None:
        self._senders: Final = senders
        self._heap: list[tuple[int, Hash, bytes]] = []

    def changed(self, sender: Sender) -> None:
        """Note that a sender's transactions are others now."""
        if sender.packages:
            heapq.heappush(self._heap, _rank(sender))
        if len(self._heap) > 2 * len(self._senders) + 64:
            self._heap = [_rank(each) for each in self._senders.values()]
            heapq.heapify(self._heap)

    def worst(self) -> Sender | None:
        """Return the sender with the worst last package."""
        while self._heap:
            sender = self._senders.get(self._heap[0][2])
            if sender is not None and _rank(sender) == self._heap[0]:
                return sender
            heapq.heappop(self._heap)
        return None


def _rank(sender: Sender) -> tuple[int, Hash, bytes]:
    last = sender.packages[-1]
    return last.rate, last.first, sender.address
