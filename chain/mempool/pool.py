"""The pool: what is taken in and why not, what goes first when there is too much, and how all of it
follows the chain.

Each sender's transactions are judged on the tip's state as if they were alone, by the function that
blocks are judged by; so nothing of one sender hangs on what another has waiting, and whatever
leaves the pool takes along only the same sender's later ones.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import structlog

from ...consensus.body_rules import check_chunks
from ...core.codec import encode
from ...core.errors import PolicyRejection, RuleViolation
from ...core.hashing import Hash
from ...core.transaction import Bundle
from ..chainstate import Chain, ChainChange
from .changes import disturbed, returned
from .drafts import Drafts
from .entry import Entry, make_entry
from .estimate import FeeEstimator
from .fees import FeeFloor, fee_at, outbidding_fee, rate_of
from .gate import check_payload
from .ground import Draft, Ground
from .index import EntryIndex, WorstPackages
from .limits import Limits
from .room import BlockRoom
from .selection import Selection, select
from .sender import Sender

_log = structlog.get_logger(__name__)


class Mempool:
    """Pending transactions of one chain; callable from several threads.

    What changes the pool or reads its pending state takes the chain's lock; look-ups take none.
    """

    def __init__(
        self,
        chain: Chain,
        now: Callable[[], int] = lambda: int(time.time()),
        limits: Limits | None = None,
    ) -> None:
        """`now` returns UTC seconds."""
        self._chain: Final = chain
        self._now: Final = now
        self._limits: Final = limits or Limits()
        self._lock: Final[threading.RLock] = chain.lock
        self._empty_block: Final = BlockRoom(chain.params)
        self._index: Final = EntryIndex()
        self._senders: Final[dict[bytes, Sender]] = {}
        self._worst: Final = WorstPackages(self._senders)
        self._floor: Final = FeeFloor(chain.params.min_fee_per_kib)
        self._drafts: Final = Drafts()
        self._doubts: set[bytes] = set()
        """Senders to be looked at with the next block: not all they sent could be selected."""
        self._selected: tuple[int, Selection] | None = None
        self.revision = 0
        """Grows with every change, so that block templates know when they are stale."""
        with chain.lock:
            self._ground = Ground(chain)
            self._estimator: Final = FeeEstimator(chain)
            chain.listeners.append(self._follow)

    # Looking up ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._index.by_id)

    def __contains__(self, transaction: Hash) -> bool:
        return transaction in self._index.by_id

    @property
    def size(self) -> int:
        """Canonical bytes of everything pending, chunks included."""
        return self._index.size

    @property
    def weight(self) -> int:
        """Estimated bytes of memory, which Limits.total_bytes bounds."""
        return self._index.weight

    @property
    def limits(self) -> Limits:
        """The bounds of this pool."""
        return self._limits

    def get(self, transaction: Hash) -> Bundle | None:
        """Return a pending transaction with its chunks."""
        entry = self._index.by_id.get(transaction)
        return None if entry is None else entry.bundle

    def entry(self, transaction: Hash) -> Entry | None:
        """Return what the pool knows of a pending transaction."""
        return self._index.by_id.get(transaction)

    def entries(self) -> Iterator[Entry]:
        """Yield what is pending, in an order in which it applies."""
        for sender in list(self._senders.values()):
            yield from list(sender.entries)

    def bundles(self) -> Iterator[tuple[Hash, Bundle]]:
        """Yield ids and transactions, in an order in which they apply."""
        return ((entry.id, entry.bundle) for entry in self.entries())

    def senders(self) -> list[Sender]:
        """Return everybody who has something pending; for holders of the chain's lock."""
        return list(self._senders.values())

    def sender_of(self, entry: Entry) -> Sender | None:
        """Return whose transaction an entry is, if it still waits."""
        return self._senders.get(entry.sender)

    def pending_nonce(self, address: bytes) -> int:
        """Return the nonce of an account's next transaction."""
        with self._lock:
            sender = self._senders.get(address)
            return self._ground.account(address).nonce if sender is None else sender.next_nonce

    def least_rate(self) -> int:
        """Return the rate, in base units per KiB, below which nothing is taken in now."""
        return self._floor.at(self._now())

    def estimate_rate(self, blocks: int) -> int:
        """Return the rate that should bring a transaction into one of the next `blocks` blocks."""
        with self._lock:
            packages = (sender.packages for sender in self._senders.values())
            return max(self.least_rate(), self._estimator.estimate(packages, blocks))

    def selection(self) -> Selection:
        """Return what the next block should hold. Made once until the pool or the tip changes.

        The caller holds the chain's lock.
        """
        if self._selected is None or self._selected[0] != self.revision:
            packages = (sender.packages for sender in self._senders.values())
            self._selected = self.revision, select(self._ground, packages)
            self._doubts |= self._selected[1].doubtful
        return self._selected[1]

    # Taking in -------------------------------------------------------------------------------

    def add(self, bundle: Bundle) -> Hash:
        """Take in a transaction and return its id.

        Raises RuleViolation when it can not be valid next, BodyMismatch when its chunks are not
        those it announces, PolicyRejection when this node declines it.
        """
        with self._lock:
            return self._add(bundle, self._now())

    def restore(self, bundle: Bundle, arrived: int) -> Hash:
        """Do as `add` for what has been waiting since `arrived` (UTC seconds) already."""
        with self._lock:
            return self._add(bundle, min(arrived, self._now()))

    def _add(self, bundle: Bundle, arrived: int) -> Hash:
        transaction, now = bundle.transaction, self._now()
        payload, identity = transaction.payload, transaction.id
        self._drop_aged(now)
        self._check_new(identity, arrived, now)
        size = len(encode(bundle))
        self._check_fee(bundle, size, now)
        address = payload.sender_address
        known = self._senders.get(address)
        check_payload(self._ground, payload, address, known)
        entry = make_entry(self._ground.state, bundle, identity, address, size, arrived)
        sender = known or Sender(address)
        replaced = self._replaced(sender, entry)
        losers = self._outbid(entry)
        if not transaction.signature_is_valid():
            raise RuleViolation("tx-signature", f"transaction {identity.hex()}")
        check_chunks((transaction,), bundle.chunks)
        if replaced is None:
            self._append(sender, entry)
        else:
            self._replace(sender, entry, replaced)
        for loser in losers:
            self._drop_from(loser, "outbid")
        self.revision += 1
        self._trim(now)
        if identity not in self._index.by_id:
            raise PolicyRejection(
                "full", f"the pool is full; at least {self._floor.at(now)} per KiB is needed now"
            )
        return identity

    def _check_new(self, identity: Hash, arrived: int, now: int) -> None:
        if identity in self._index.by_id:
            raise PolicyRejection("known", "this transaction is already waiting")
        if self._chain.height_of_transaction(identity) is not None:
            raise PolicyRejection("included", "this transaction is already in the chain")
        if now - arrived > self._limits.age_seconds:
            raise PolicyRejection("age", "it has waited for too long; send it anew")

    def _check_fee(self, bundle: Bundle, size: int, now: int) -> None:
        fee, rate = bundle.transaction.payload.fee, self._floor.at(now)
        needed = fee_at(rate, size)
        if fee < needed:
            raise PolicyRejection("fee", f"fee {fee}, at least {needed} for {size} bytes")
        if not self._empty_block.fits(bundle, size):
            raise PolicyRejection("size", f"{size} bytes fit into no block")

    def _replaced(self, sender: Sender, entry: Entry) -> Entry | None:
        """Return the sender's transaction with the same nonce; hold the sender to the limits."""
        limits, old = self._limits, None
        if sender.entries and entry.nonce < sender.next_nonce:
            old = sender.entries[entry.nonce - sender.entries[0].nonce]
            self._check_raise(entry, old, lost=0)
        elif len(sender.entries) >= limits.sender_transactions:
            raise PolicyRejection(
                "sender", f"this sender has {limits.sender_transactions} waiting already"
            )
        freed = 0 if old is None else old.size
        if sender.size - freed + entry.size > limits.sender_bytes:
            raise PolicyRejection(
                "sender", f"more than {limits.sender_bytes} bytes from one sender would wait"
            )
        return old

    def _check_raise(self, entry: Entry, old: Entry, lost: int) -> None:
        needed = outbidding_fee(old.fee, lost, self._relay_fee(entry))
        if entry.fee < needed:
            raise PolicyRejection(
                "replacement",
                f"nonce {entry.nonce} is taken by {old.id.hex()} with a fee of {old.fee}; "
                f"to replace it takes {needed}, this pays {entry.fee}",
            )

    def _outbid(self, entry: Entry) -> list[Entry]:
        """Return whom a transaction puts out that wants what only so many can have in one block."""
        if entry.contest is None:
            return []
        rivals = self._index.rivals(entry.contest, entry.sender)
        if len(rivals) < entry.contest[1]:
            return []
        loser = min(rivals, key=lambda rival: (rival.fee, rival.id))
        lost = sum(after.fee for after in self._from(loser)[1:])
        needed = outbidding_fee(loser.fee, lost, self._relay_fee(entry))
        if entry.fee < needed:
            raise PolicyRejection(
                "conflict",
                f"others wait to do the same, {loser.id.hex()} for a fee of {loser.fee}; "
                f"to go before it takes {needed}, this pays {entry.fee}",
            )
        return [loser]

    def _relay_fee(self, entry: Entry) -> int:
        return fee_at(self._chain.params.min_fee_per_kib, entry.size)

    def _append(self, sender: Sender, entry: Entry) -> None:
        draft = self._drafts.get(sender.address) or self._run_again(sender, sender.entries)
        draft.apply(entry.transaction)
        sender.append(entry)
        self._drafts.keep(sender, draft)
        if len(sender.entries) == 1:
            self._senders[sender.address] = sender
            sender.balance = self._ground.account(sender.address).balance
        self._index.add(entry)
        self._worst.changed(sender)

    def _replace(self, sender: Sender, entry: Entry, old: Entry) -> None:
        """Put an entry in the place of another, if it pays for all that then cannot stay."""
        at = sender.entries.index(old)
        draft = self._ground.draft()
        kept = sender.entries[:at]
        for before in kept:
            draft.apply(before.transaction)
        draft.apply(entry.transaction)
        kept.append(entry)
        lost = _extend(draft, kept, sender.entries[at + 1 :])
        self._check_raise(entry, old, sum(each.fee for each in lost))
        self._hold(sender, kept, draft)

    # Leaving ---------------------------------------------------------------------------------

    def _from(self, entry: Entry) -> list[Entry]:
        """Return a waiting entry and those that need it."""
        entries = self._senders[entry.sender].entries
        return entries[entry.nonce - entries[0].nonce :]

    def _drop_from(self, entry: Entry, why: str) -> None:
        """Drop an entry that still waits, and what needs it."""
        if self._index.by_id.get(entry.id) is not entry:
            return
        _log.debug("mempool.dropped", transaction=entry.id.hex(), why=why)
        sender = self._senders[entry.sender]
        self._hold(sender, sender.entries[: -len(self._from(entry))], None)
        self.revision += 1

    def _trim(self, now: int) -> None:
        """Drop the worst packages until the rest is within bounds."""
        while self._index.weight > self._limits.total_bytes:
            sender = self._worst.worst()
            if sender is None:
                return
            package = sender.packages[-1]
            self._floor.evicted(rate_of(package.fee, package.size), now)
            self._drop_from(package.entries[0], "the pool is full")

    def _drop_aged(self, now: int) -> None:
        while (oldest := self._index.oldest()) is not None:
            if now - oldest.arrived <= self._limits.age_seconds:
                return
            self._drop_from(oldest, "it has waited for too long")

    # Following the chain -----------------------------------------------------------------------

    def _follow(self, change: ChainChange) -> None:
        before, self._ground = self._ground, Ground(self._chain)
        self.revision += 1
        self._estimator.follow(change)
        self._drafts.clear()
        for entry in self._index.ended(range(before.height, self._ground.height)):
            self._drop_from(entry, "it cannot be included any more")
        now = self._now()
        self._drop_aged(now)
        doubts, self._doubts, self._selected = sorted(self._doubts), set(), None
        back = returned(change, self._ground, now)
        touched = disturbed(change, before, self._ground, self._index, self._senders)
        for address in dict.fromkeys((*touched, *doubts, *back)):
            sender = self._senders.get(address) or Sender(address)
            self._run_again(sender, (*back.get(address, ()), *sender.entries))
        self._trim(now)

    def _run_again(self, sender: Sender, entries: Iterable[Entry]) -> Draft:
        """Keep what still applies, in order, of what a sender has waiting or gets back.

        Returns the state after it.
        """
        nonce = self._ground.account(sender.address).nonce
        draft = self._ground.draft()
        due = [entry for entry in entries if entry.nonce >= nonce]
        kept: list[Entry] = []
        _extend(draft, kept, self._within_limits(due))
        self._hold(sender, kept, draft)
        return draft

    def _within_limits(self, entries: list[Entry]) -> Iterator[Entry]:
        size = 0
        for entry in entries[: self._limits.sender_transactions]:
            size += entry.size
            if size > self._limits.sender_bytes:
                return
            yield entry

    def _hold(self, sender: Sender, entries: list[Entry], draft: Draft | None) -> None:
        """Make `entries` all that a sender has waiting; `draft`, if known, is the state after."""
        old, new = sender.entries, frozenset(entries)
        for entry in old:
            if entry not in new:
                self._index.remove(entry)
        for entry in entries:
            if entry.id not in self._index.by_id:
                self._index.add(entry)
        sender.replace(entries)
        self._drafts.drop(sender.address)
        if not entries:
            self._senders.pop(sender.address, None)
            return
        self._senders[sender.address] = sender
        if draft is not None:
            sender.balance = self._ground.account(sender.address).balance
            self._drafts.keep(sender, draft)
        self._worst.changed(sender)


def _extend(draft: Draft, kept: list[Entry], entries: Iterable[Entry]) -> list[Entry]:
    """Apply entries and add them to `kept`, up to the first that fails; return the rest."""
    waiting = list(entries)
    for position, entry in enumerate(waiting):
        try:
            draft.apply(entry.transaction)
        except RuleViolation as violation:
            _log.debug("mempool.dropped", transaction=entry.id.hex(), why=str(violation))
            return waiting[position:]
        kept.append(entry)
    return []
