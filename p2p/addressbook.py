"""Known addresses of nodes: bounded, kept in a JSON file, and whom to dial next.

A failed dial doubles the wait of its address, from one second up to a cap; a conversation that
lasts resets it. Seeds and addresses given by the user are never forgotten; learned ones are once
they fail too often or when room is needed, those that never answered first.
"""

import json
import os
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from ..core.errors import UserError
from .address import Address, parse_address
from .limits import Limits

PEERS_FILE: Final = "peers.json"
_FORMAT: Final = 1
_MAX_FILE_BYTES: Final = 1 << 20

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class Entry:
    """What is known about one address."""

    address: Address
    pinned: bool
    """Seed or given by the user."""
    answered: bool = False
    """Whether a handshake ever succeeded there."""
    failures: int = 0
    """Dials in a row that failed."""
    next_dial: float = 0.0
    """By the injected clock."""
    node: bytes | None = None
    """Nonce of the node that last answered; recognises one node under several addresses."""


class AddressBook:
    """The addresses this node may dial and pass on."""

    def __init__(self, limits: Limits, clock: Callable[[], float], rng: random.Random) -> None:
        self._limits = limits
        self._clock = clock
        self._rng = rng
        self._entries: dict[Address, Entry] = {}
        self._changed = False

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, address: Address) -> bool:
        return address in self._entries

    def pin(self, address: Address) -> None:
        """Add an address that is never forgotten, to be dialled at once."""
        entry = self._entries.setdefault(address, Entry(address, pinned=True))
        entry.pinned = True
        entry.failures = 0
        entry.next_dial = self._clock()

    def learn(self, address: Address) -> bool:
        """Add an address heard of; return whether it is new and found room."""
        if address in self._entries or not self._make_room():
            return False
        self._entries[address] = Entry(address, pinned=False, next_dial=self._clock())
        self._changed = True
        return True

    def met(self, address: Address, node: bytes) -> None:
        """Note which node says hello there, be it welcome or not."""
        entry = self._entries.get(address)
        if entry is not None:
            entry.node = node

    def answered(self, address: Address) -> None:
        """Note a successful handshake."""
        entry = self._entries.get(address)
        if entry is not None and not entry.answered:
            entry.answered = True
            self._changed = True

    def lost(self, address: Address, lasted: float) -> None:
        """Note that a conversation of `lasted` seconds ended; the address is dialled again soon.

        One that ended at once counts as a failed dial, or two nodes that do not get on would
        redial each other every second.
        """
        entry = self._entries.get(address)
        if entry is None:
            return
        if lasted >= self._limits.stable_after:
            entry.failures = 0
            entry.next_dial = self._clock() + self._limits.backoff_first
        else:
            self.failed(address)

    def failed(self, address: Address) -> None:
        """Note a dial that led nowhere; the address waits, twice as long each time."""
        entry = self._entries.get(address)
        if entry is None:
            return
        wait = self._limits.backoff_first * 2.0 ** min(entry.failures, 16)
        entry.failures += 1
        entry.next_dial = self._clock() + min(wait, self._limits.backoff_cap)
        hopeless = entry.failures >= self._limits.forget_after_failures
        if hopeless and not entry.pinned and not entry.answered:
            del self._entries[address]
            self._changed = True

    def candidates(self, busy: Collection[Address], nodes: Collection[bytes]) -> list[Address]:
        """Return addresses due for a dial, best first.

        Leaves out `busy` addresses and those that last answered as one of `nodes` (connected
        already, or ourselves). Pinned and proven addresses come first, at random within a class.
        """
        now = self._clock()
        due = [
            entry
            for entry in self._entries.values()
            if entry.next_dial <= now and entry.address not in busy and entry.node not in nodes
        ]
        self._rng.shuffle(due)
        due.sort(key=lambda entry: (not entry.pinned, not entry.answered, entry.failures))
        return [entry.address for entry in due]

    def next_dial(self) -> float | None:
        """Return the earliest time at which any address is due, or None if none is known."""
        return min((entry.next_dial for entry in self._entries.values()), default=None)

    def sample(self, count: int) -> list[Address]:
        """Return up to `count` random addresses that answered, to pass on."""
        known = [entry.address for entry in self._entries.values() if entry.answered]
        return self._rng.sample(known, min(count, len(known)))

    def load(self, folder: Path) -> None:
        """Add the addresses saved in `folder`; a damaged file is reported and left aside."""
        path = folder / PEERS_FILE
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ValueError("too large")
            entries = _read(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError, UserError, RecursionError) as error:
            _log.warning("addressbook.damaged", path=str(path), error=str(error))
            return
        for address, answered in entries:
            if self.learn(address):
                self._entries[address].answered = answered
        self._changed = False

    def save(self, folder: Path) -> None:
        """Write the book to `folder`, whole or not at all, if it changed since the last time."""
        if not self._changed:
            return
        listed = [[str(entry.address), entry.answered] for entry in self._entries.values()]
        path = folder / PEERS_FILE
        draft = path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "addresses": listed}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self._changed = False

    def _make_room(self) -> bool:
        if len(self._entries) < self._limits.max_known_addresses:
            return True
        victims = [entry for entry in self._entries.values() if not entry.pinned]
        if not victims or all(entry.answered for entry in victims):
            return False  # strangers must not push out what has proven good
        worst = max(victims, key=lambda entry: (not entry.answered, entry.failures))
        del self._entries[worst.address]
        return True


def _read(document: Any) -> Iterable[tuple[Address, bool]]:
    """Check the shape of a saved book. Raises ValueError or UserError."""
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"not a peers file of format {_FORMAT}")
    addresses = document.get("addresses")
    if not isinstance(addresses, list):
        raise ValueError("no list of addresses")
    entries: list[tuple[Address, bool]] = []
    for item in addresses:
        match item:
            case [str(text), bool(answered)]:
                entries.append((parse_address(text), answered))
            case _:
                raise ValueError("an entry is not [address, answered]")
    return entries
