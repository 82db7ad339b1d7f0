"""Packages: a sender's waiting transactions, cut where the rate of payment falls.

A transaction can be mined only after those with lower nonces. So one that pays well lifts those
before it: they form a package that is taken or left together, and the rates of a sender's packages
never rise from one to the next. Mining takes the first package of the best sender, eviction the
last one of the worst; for chains this is the optimal linearisation of cluster mempools
(https://delvingbitcoin.org/t/cluster-mempool-definitions-theory/202).
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ...core.hashing import Hash
from .entry import Entry

_RATE_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Package:
    """Transactions of one sender, by nonce, to be taken together."""

    entries: tuple[Entry, ...]
    fee: int
    size: int
    rate: int
    """Sorts as fee ÷ size does."""

    @property
    def first(self) -> Hash:
        """Id of the first transaction: tells packages of one rate apart."""
        return self.entries[0].id


def sort_rate(fee: int, size: int) -> int:
    """Return ⌊fee · 2⁶⁴ ÷ size⌋, which orders as comparing fee·size′ with fee′·size would.

    Sizes are below 2³¹, since Limits.sender_bytes bounds a package. Two rates that differ do so by
    at least 1 ÷ (size · size′) > 2⁻⁶², so their multiples by 2⁶⁴ differ by more than one; equal
    rates have equal multiples.
    """
    return (fee << _RATE_BITS) // size


def packages_of(entries: Iterable[Entry]) -> list[Package]:
    """Cut a sender's transactions, ascending by nonce, into packages of falling rate."""
    packages: list[Package] = []
    for entry in entries:
        append(packages, entry)
    return packages


def append(packages: list[Package], entry: Entry) -> None:
    """Add the sender's next transaction; it pulls along those before it that pay less."""
    newest = Package((entry,), entry.fee, entry.size, sort_rate(entry.fee, entry.size))
    while packages and packages[-1].rate < newest.rate:
        before = packages.pop()
        fee, size = before.fee + newest.fee, before.size + newest.size
        newest = Package(before.entries + newest.entries, fee, size, sort_rate(fee, size))
    packages.append(newest)


class PackageQueue:
    """Gives out packages of many senders, best rate first, each sender's own in their order.

    Of equal rates the one with the lower first id goes first, so that the order is a function of
    the transactions alone, not of when they came.
    """

    def __init__(self, senders: Iterable[Sequence[Package]]) -> None:
        """Take each sender's packages. They are not copied, so hold the chain's lock."""
        self._heap: Final = [
            (-packages[0].rate, packages[0].first, 0, packages) for packages in senders if packages
        ]
        heapq.heapify(self._heap)
        self._popped: tuple[int, Sequence[Package]] = 0, ()

    def pop(self) -> Package | None:
        """Return the best package; its sender's next one comes after `follow` only."""
        if not self._heap:
            return None
        _, _, position, packages = heapq.heappop(self._heap)
        self._popped = position, packages
        return packages[position]

    def follow(self) -> None:
        """Let the sender of the package that was popped last go on."""
        position, packages = self._popped
        if position + 1 < len(packages):
            self._push(position + 1, packages)

    def shorten(self, count: int) -> None:
        """Offer the first `count` transactions of the last popped package instead of the whole.

        They come at the lower rate that they pay without the rest. What follows must wait.
        """
        position, packages = self._popped
        shorter = packages_of(packages[position].entries[:count])
        if shorter:
            self._push(0, shorter)

    def _push(self, position: int, packages: Sequence[Package]) -> None:
        package = packages[position]
        heapq.heappush(self._heap, (-package.rate, package.first, position, packages))
