"""Spreading news: transactions by inventory and request, a new tip by its headers.

Nothing is passed on before this node has validated it. A peer is never told what it told us.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from ..core.block import SealedHeader
from ..core.errors import PolicyRejection, RuleViolation
from ..core.hashing import Hash
from .bounded import BoundedSet
from .errors import Misbehaviour
from .ledger import Ledger, Tip
from .limits import MAX_ANNOUNCED_HEADERS, MAX_INVENTORY, MAX_TRANSACTIONS, Limits, Offence
from .messages import (
    Announcement,
    GetTransactions,
    Inventory,
    TransactionReply,
    TransactionsMissing,
    claim,
)
from .peers import Peer, PeerTable

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Wanted:
    """A transaction that peers announced and we lack."""

    holders: list[Peer]
    """Who announced it, the next to be asked first."""
    asked: Peer | None = None
    deadline: float = 0.0


@dataclass(slots=True)
class _Announcer:
    """What we asked one peer for."""

    asked: set[Hash] = field(default_factory=set[Hash])
    expired: BoundedSet[Hash] = field(default_factory=lambda: BoundedSet[Hash](MAX_INVENTORY))
    """Asked for too long ago: an answer may still come and is no offence."""
    named_first: int = 0
    """Wanted transactions that this peer was the first to name."""


class Gossip:
    """Announces and requests transactions, announces tips."""

    def __init__(
        self,
        ledger: Ledger,
        peers: PeerTable,
        limits: Limits,
        clock: Callable[[], float],
        is_syncing: Callable[[], bool],
    ) -> None:
        self._ledger: Final = ledger
        self._peers: Final = peers
        self._limits: Final = limits
        self._clock: Final = clock
        self._is_syncing: Final = is_syncing
        self._announcers: dict[Peer, _Announcer] = {}
        self._wanted: dict[Hash, _Wanted] = {}
        self._first_namer: dict[Hash, _Announcer] = {}
        self._validating: set[Hash] = set()
        self._rejected: BoundedSet[Hash] = BoundedSet(limits.max_seen)
        """Declined under the present tip; the next tip may change that."""
        self._relay: dict[Hash, None] = {}
        self._tip_is_news = False
        self._news = asyncio.Event()
        self._wishes = asyncio.Event()
        """Set when there may be something to ask for."""

    def joined(self, peer: Peer) -> None:
        """Tell a new peer what the mempool holds, and our tip if it is behind."""
        self._announcers[peer] = _Announcer()
        self._send_inventory(peer, self._ledger.mempool_ids(self._limits.mempool_on_connect))
        # The tip may have moved since our hello was sent.
        self._announce_tip(peer, self._ledger.tip())

    def left(self, peer: Peer) -> None:
        """Forget a peer; what it was asked for is asked elsewhere."""
        self._announcers.pop(peer, None)
        for transaction, wanted in list(self._wanted.items()):
            if peer in wanted.holders or wanted.asked is peer:
                self._pass_over(transaction, wanted, peer)

    def announce_transaction(self, transaction: Hash) -> None:
        """Tell all peers about a transaction in our mempool."""
        self._relay[transaction] = None
        self._news.set()

    def announce_tip(self) -> None:
        """Tell all peers behind us about our tip."""
        self._rejected.clear()
        self._tip_is_news = True
        self._news.set()

    async def run(self) -> None:
        """Send gathered news, at once after a pause, at most once per interval, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._tip_is_news:
                self._tip_is_news = False
                tip = self._ledger.tip()
                for peer in self._peers:
                    self._announce_tip(peer, tip)
            if self._relay:
                fresh = list(self._relay)
                self._relay.clear()
                for peer in self._peers:
                    self._send_inventory(peer, fresh)
            await asyncio.sleep(self._limits.gossip_interval)

    async def run_requests(self) -> None:
        """Ask for what is wanted, at once after a pause and at every tick, for ever.

        Never from within a message: each request looks at everything that is wanted, and messages
        come as often as strangers like.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.tick):
                    await self._wishes.wait()
            self._wishes.clear()
            now = self._clock()
            for transaction, wanted in list(self._wanted.items()):
                if wanted.asked is not None and now > wanted.deadline:
                    self._pass_over(transaction, wanted, wanted.asked)
            self._request()
            await asyncio.sleep(self._limits.gossip_interval)

    def on_inventory(self, peer: Peer, message: Inventory) -> None:
        """Note what a peer has and ask for what we lack."""
        announcer = self._announcers[peer]
        for transaction in message.ids:
            peer.known_transactions.add(transaction)
            wanted = self._wanted.get(transaction)
            if wanted is not None:
                if peer not in wanted.holders:
                    wanted.holders.append(peer)
            elif self._has_room(announcer) and self._is_lacking(transaction):
                self._wanted[transaction] = _Wanted([peer])
                self._first_namer[transaction] = announcer
                announcer.named_first += 1
        self._wishes.set()

    async def on_transaction(self, peer: Peer, message: TransactionReply) -> None:
        """Validate a transaction we asked for, then pass it on. Raises Misbehaviour."""
        transaction = message.bundle.transaction.id
        self._answered(peer, transaction)
        peer.known_transactions.add(transaction)
        wanted = self._drop(transaction)
        if self._is_lacking(transaction):
            self._validating.add(transaction)
            try:
                accepted = await self._ledger.accept_bundle(message.bundle)
                if accepted:
                    self.announce_transaction(transaction)
            except PolicyRejection as error:
                self._rejected.add(transaction)
                _log.debug("gossip.declined", transaction=transaction.hex(), reason=str(error))
            except RuleViolation as error:
                self._restore(transaction, wanted, peer)
                raise Misbehaviour(Offence.INVALID_TRANSACTION, str(error)) from None
            finally:
                self._validating.discard(transaction)
        if 2 * len(self._announcers[peer].asked) <= self._limits.transactions_per_peer:
            self._wishes.set()

    def on_missing(self, peer: Peer, message: TransactionsMissing) -> None:
        """Ask somebody else. Raises Misbehaviour when this peer was not asked."""
        for transaction in message.ids:
            self._answered(peer, transaction)
            wanted = self._wanted.get(transaction)
            if wanted is not None and peer in wanted.holders:
                self._pass_over(transaction, wanted, peer)
        self._wishes.set()

    def _answered(self, peer: Peer, transaction: Hash) -> None:
        announcer = self._announcers[peer]
        if transaction in announcer.asked:
            announcer.asked.discard(transaction)
        elif transaction in announcer.expired:
            announcer.expired.discard(transaction)
        else:
            raise Misbehaviour(
                Offence.UNREQUESTED, f"an answer about transaction {transaction.hex()[:16]}"
            )

    def _is_lacking(self, transaction: Hash) -> bool:
        return not (
            transaction in self._validating
            or transaction in self._rejected
            or self._ledger.has_transaction(transaction)
        )

    def _has_room(self, announcer: _Announcer) -> bool:
        return (
            len(self._wanted) < self._limits.max_transaction_requests
            and announcer.named_first < self._limits.max_requests_per_announcer
        )

    def _pass_over(self, transaction: Hash, wanted: _Wanted, peer: Peer) -> None:
        """Stop expecting a transaction from a peer that did not deliver or left."""
        if peer in wanted.holders:
            wanted.holders.remove(peer)
        if wanted.asked is peer:
            wanted.asked = None
            announcer = self._announcers.get(peer)
            if announcer is not None and transaction in announcer.asked:
                announcer.asked.discard(transaction)
                announcer.expired.add(transaction)
        if not wanted.holders:
            self._drop(transaction)

    def _drop(self, transaction: Hash) -> _Wanted | None:
        namer = self._first_namer.pop(transaction, None)
        if namer is not None:
            namer.named_first -= 1
        return self._wanted.pop(transaction, None)

    def _restore(self, transaction: Hash, wanted: _Wanted | None, liar: Peer) -> None:
        """Go on asking the others: chunks are not covered by the id, so one sender's were false."""
        holders = [] if wanted is None else [peer for peer in wanted.holders if peer is not liar]
        if holders:
            self._wanted.setdefault(transaction, _Wanted(holders))

    def _request(self) -> None:
        """Ask for wanted transactions wherever a holder has room, in batches."""
        if self._is_syncing():
            return
        now = self._clock()
        batches: dict[Peer, list[Hash]] = {}
        for transaction, wanted in list(self._wanted.items()):
            if wanted.asked is not None:
                continue
            peer = next((p for p in wanted.holders if self._may_ask(p)), None)
            if peer is None:
                continue
            if not self._is_lacking(transaction):
                self._drop(transaction)
                continue
            wanted.asked, wanted.deadline = peer, now + self._limits.transaction_timeout
            self._announcers[peer].asked.add(transaction)
            batches.setdefault(peer, []).append(transaction)
        for peer, transactions in batches.items():
            for start in range(0, len(transactions), MAX_TRANSACTIONS):
                peer.send(GetTransactions(tuple(transactions[start : start + MAX_TRANSACTIONS])))

    def _may_ask(self, peer: Peer) -> bool:
        announcer = self._announcers.get(peer)
        return (
            announcer is not None
            and peer.is_live
            and len(announcer.asked) < self._limits.transactions_per_peer
        )

    def _send_inventory(self, peer: Peer, transactions: Iterable[Hash]) -> None:
        fresh = [t for t in transactions if t not in peer.known_transactions]
        peer.known_transactions.update(fresh)
        for start in range(0, len(fresh), MAX_INVENTORY):
            peer.send(Inventory(tuple(fresh[start : start + MAX_INVENTORY])))

    def _announce_tip(self, peer: Peer, tip: Tip) -> None:
        if peer.tip.work >= tip.work or tip.id in peer.known_blocks:
            return
        headers = self._headers_for(peer, tip)
        if headers:
            peer.known_blocks.update(sealed.id for sealed in headers)
            peer.send(Announcement(claim(tip), tuple(headers)))

    def _headers_for(self, peer: Peer, tip: Tip) -> list[SealedHeader]:
        """Return the last headers up to the tip, from the first that the peer may not know."""
        headers: list[SealedHeader] = []
        block = tip.id
        while len(headers) < MAX_ANNOUNCED_HEADERS and block not in peer.known_blocks:
            sealed = self._ledger.header(block)
            if sealed is None:
                break  # genesis
            headers.append(sealed)
            block = sealed.header.parent
        headers.reverse()
        return headers
