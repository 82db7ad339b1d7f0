"""What one sender has waiting."""

from collections.abc import Iterable
from typing import Final

from .entry import Entry
from .packages import Package, append, packages_of


class Sender:
    """A sender's transactions, by nonce without gaps; each is valid after those before it.

    `entries` and `packages` are replaced or appended to, never reordered, so that readers without
    the lock see some state of them.
    """

    def __init__(self, address: bytes) -> None:
        self.address: Final = address
        self.entries: list[Entry] = []
        self.packages: list[Package] = []
        self.size = 0
        """Canonical bytes."""
        self.balance = 0
        """Of the account on the tip when everything was last run: as much is surely enough."""

    @property
    def next_nonce(self) -> int:
        """The nonce after the last one waiting; there must be one."""
        return self.entries[-1].nonce + 1

    def append(self, entry: Entry) -> None:
        """Add the next transaction."""
        self.entries.append(entry)
        append(self.packages, entry)
        self.size += entry.size

    def replace(self, entries: Iterable[Entry]) -> None:
        """Hold other transactions from now on."""
        self.entries = list(entries)
        self.packages = packages_of(self.entries)
        self.size = sum(entry.size for entry in self.entries)
