"""Passing on addresses, so that a few seeds become a mesh."""

import random
from collections.abc import Callable
from typing import Final

import structlog

from ..core.errors import UserError
from .address import Address, may_learn, parse_address
from .addressbook import AddressBook
from .connection import Direction
from .errors import Misbehaviour
from .limits import MAX_ADDRESSES, Limits, Offence
from .messages import GetPeers, Peers
from .peers import Peer, PeerTable

_log: Final = structlog.get_logger(__name__)


class AddressExchange:
    """Asks peers for addresses and answers them."""

    def __init__(
        self,
        book: AddressBook,
        peers: PeerTable,
        limits: Limits,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._book: Final = book
        self._peers: Final = peers
        self._limits: Final = limits
        self._clock: Final = clock
        self._rng: Final = rng
        self._asked: dict[Peer, bool] = {}
        """Peer → whether an answer is due."""
        self._ask_at = 0.0

    def joined(self, peer: Peer) -> None:
        """Learn where a new peer listens and ask it for more."""
        if peer.address is not None:
            self._book.learn(peer.address)
        self._ask(peer)

    def left(self, peer: Peer) -> None:
        """Forget a peer."""
        self._asked.pop(peer, None)

    def step(self) -> None:
        """Ask everybody again, now and then, while outbound slots are free."""
        now = self._clock()
        if now < self._ask_at:
            return
        self._ask_at = now + self._limits.peer_exchange
        if self._peers.count(Direction.OUTBOUND) < self._limits.target_outbound:
            for peer in self._peers:
                self._ask(peer)

    def on_request(self, peer: Peer) -> None:
        """Answer with connected and proven addresses that mean something to the asker."""
        asker = peer.connection.remote
        known = self._peers.addresses() | set(self._book.sample(MAX_ADDRESSES))
        known.discard(peer.address or asker)
        fitting = sorted(address for address in known if may_learn(address, asker))
        chosen = self._rng.sample(fitting, min(MAX_ADDRESSES, len(fitting)))
        peer.send(Peers(tuple(str(address) for address in chosen)))

    def on_reply(self, peer: Peer, message: Peers) -> None:
        """Learn addresses we asked for. Raises Misbehaviour."""
        if not self._asked.get(peer, False):
            raise Misbehaviour(Offence.UNREQUESTED, "addresses")
        self._asked[peer] = False
        addresses = [_parse(text) for text in message.addresses]
        believed = [a for a in addresses if may_learn(a, peer.connection.remote)]
        fresh = sum(self._book.learn(address) for address in believed)
        if fresh:
            _log.info("peers.learned", peer=str(peer), addresses=fresh)

    def _ask(self, peer: Peer) -> None:
        if not self._asked.get(peer, False):
            self._asked[peer] = True
            peer.send(GetPeers())


def _parse(text: str) -> Address:
    try:
        return parse_address(text)
    except UserError as error:
        raise Misbehaviour(Offence.MALFORMED, str(error)) from None
