"""Synchronisation: headers first, then bodies, and always one line that says what it waits for."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from ..core.hashing import Hash
from .body_sync import BodySync
from .header_sync import HeaderSync
from .ledger import Ledger
from .limits import Limits
from .messages import Announcement, BodiesMissing, Body, Headers
from .peers import Peer, PeerTable

_log: Final = structlog.get_logger(__name__)


class Synchroniser:
    """Keeps the ledger level with the heaviest chain among the peers."""

    def __init__(
        self,
        ledger: Ledger,
        peers: PeerTable,
        limits: Limits,
        clock: Callable[[], float],
        on_tip: Callable[[], None],
    ) -> None:
        self._ledger: Final = ledger
        self._limits: Final = limits
        self._on_tip: Final = on_tip
        self._headers: Final = HeaderSync(ledger, peers, limits, clock)
        self._bodies: Final = BodySync(ledger, limits, clock, self._accepted)
        self._clock: Final = clock
        self._tip = ledger.tip().id
        self._is_behind = False
        self._behind_since = 0.0

    @property
    def is_syncing(self) -> bool:
        """Whether the state is too old to judge transactions.

        Headers prove little before their bodies come: if none does for a while, they do not count.
        """
        progress = max(self._behind_since, self._bodies.advanced_at)
        return self._is_behind and self._clock() - progress < self._limits.syncing_patience

    def joined(self, peer: Peer) -> None:
        """Take a new peer into account."""
        self._headers.joined(peer)
        self._bodies.joined(peer)
        self.step()

    def left(self, peer: Peer) -> None:
        """Forget a peer; what it owed is asked elsewhere."""
        self._headers.left(peer)
        self._bodies.left(peer)
        self.step()

    async def on_announcement(self, peer: Peer, message: Announcement) -> None:
        """Take a peer's new tip. Raises Misbehaviour."""
        if await self._headers.announced(peer, message):
            self._bodies.headers_changed()
        self._bodies.announced(peer, message.headers)
        self.step()

    async def on_headers(self, peer: Peer, message: Headers) -> None:
        """Take headers we asked for. Raises Misbehaviour."""
        if await self._headers.received(peer, message):
            self._bodies.headers_changed()
        self.step()

    def on_body(self, peer: Peer, message: Body) -> None:
        """Take a body we asked for. Raises Misbehaviour."""
        self._bodies.received(peer, message)
        self.step()

    def on_bodies_missing(self, peer: Peer, message: BodiesMissing) -> None:
        """Take a refusal of bodies we asked for. Raises Misbehaviour."""
        self._bodies.missing(peer, message)
        self.step()

    def step(self) -> None:
        """Do what the present state allows: time out, reassign, ask."""
        self._measure_gap()
        self._headers.step()
        self._bodies.step()

    def ledger_changed(self) -> None:
        """Look again after blocks came from elsewhere (mined here, submitted by RPC)."""
        self._tip = self._ledger.tip().id
        self._bodies.headers_changed()
        self.step()

    async def run_timeouts(self) -> None:
        """Step at every tick, for ever."""
        while True:
            await asyncio.sleep(self._limits.tick)
            self.step()

    async def run_delivery(self) -> None:
        """Hand bodies to the ledger, for ever."""
        await self._bodies.deliver()

    def waiting_for(self) -> str:
        """Return in one line what sync waits for and from whom."""
        waiting = self._bodies.waiting_for() or self._headers.waiting_for()
        if waiting is not None:
            return waiting
        tip, best = self._ledger.tip(), self._ledger.best_header()
        if best.work > tip.work:
            return f"a branch with valid blocks: at height {tip.height} of {best.height} headers"
        return f"the next block: level with all peers at height {tip.height}"

    def _measure_gap(self) -> None:
        gap = self._ledger.best_header().height - self._ledger.tip().height
        is_behind = gap > self._limits.syncing_gap
        if is_behind and not self._is_behind:
            self._behind_since = self._clock()
        self._is_behind = is_behind

    def _accepted(self, block: Hash) -> None:
        tip = self._ledger.tip()
        if tip.id == self._tip:
            return
        self._tip = tip.id
        self._on_tip()
        _log.debug("sync.tip", block=block.hex(), height=tip.height)
