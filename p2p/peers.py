"""The connected peers: what is known about each, how many there may be, one connection per pair."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from ..core.hashing import Hash
from .address import Address, normal_address
from .bounded import BoundedSet
from .connection import CloseCode, Connection, Direction
from .errors import DuplicateConnection
from .limits import BAN_SCORE, PRICES, Limits, Offence
from .messages import Hello, Message, claimed_tip

_KNOWN_BLOCKS: Final = 1_024

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One peer, for people and RPC; `dataclasses.asdict` makes it a plain dict."""

    address: str
    """Where it listens, or the socket's other end if it does not."""
    direction: str
    agent: str
    height: int
    """As the peer claims."""
    work: int
    connected_seconds: float
    latency_seconds: float | None
    score: int
    bytes_received: int
    bytes_sent: int


class Peer:
    """A connected node that passed the handshake."""

    def __init__(
        self,
        connection: Connection,
        hello: Hello,
        told: Hash,
        limits: Limits,
        clock: Callable[[], float],
        punish: Callable[[Address, Direction], None],
    ) -> None:
        self.connection: Final = connection
        self.node: Final = hello.node
        self.agent: Final = hello.agent
        self.address: Final = _dialable(connection, hello)
        """Where it can be dialled; None when it does not listen."""
        self.tip = claimed_tip(hello.tip)
        """Its best validated block, as it claims."""
        self.known_transactions: Final[BoundedSet[Hash]] = BoundedSet(limits.max_seen)
        self.known_blocks: Final[BoundedSet[Hash]] = BoundedSet(_KNOWN_BLOCKS)
        """Blocks that it told us of or we it (`told`: the tip in our hello)."""
        self.known_blocks.update((self.tip.id, told))
        self.latency: float | None = None
        self.score = 0
        self._clock = clock
        self._punish = punish

    def __str__(self) -> str:
        return str(self.address or self.connection.remote)

    @property
    def direction(self) -> Direction:
        """Who dialled."""
        return self.connection.direction

    @property
    def is_live(self) -> bool:
        """Whether the connection has not been ended."""
        return self.connection.ending is None

    def send(self, message: Message) -> None:
        """Queue a message without waiting."""
        self.connection.send(message)

    def charge(self, offence: Offence, detail: str) -> None:
        """Add the price of an offence; at BAN_SCORE the connection ends and a ban follows."""
        self.score += PRICES[offence]
        _log.warning(
            "peer.offence", peer=str(self), offence=offence.value, detail=detail, score=self.score
        )
        if self.score >= BAN_SCORE:
            # Banned here, not when the connection closes: a cheat may have hung up already.
            self._punish(self.connection.remote, self.direction)
            self.connection.end(CloseCode.MISBEHAVED, f"{offence.value}: {detail}")

    def info(self) -> PeerInfo:
        """Return a snapshot for people."""
        return PeerInfo(
            address=str(self),
            direction=self.direction.value,
            agent=self.agent,
            height=self.tip.height,
            work=self.tip.work,
            connected_seconds=self._clock() - self.connection.opened_at,
            latency_seconds=self.latency,
            score=self.score,
            bytes_received=self.connection.bytes_received,
            bytes_sent=self.connection.bytes_sent,
        )


class PeerTable:
    """All connected peers."""

    def __init__(self, node: bytes) -> None:
        self.node: Final = node
        """This node's own nonce."""
        self._peers: dict[Peer, None] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter([peer for peer in self._peers if peer.is_live])

    def __len__(self) -> int:
        return len(self._peers)

    def count(self, direction: Direction) -> int:
        """Return how many peers were dialled this way."""
        return sum(peer.direction is direction for peer in self._peers)

    def addresses(self) -> set[Address]:
        """Return where the connected peers listen."""
        return {peer.address for peer in self._peers if peer.address is not None}

    def nodes(self) -> set[bytes]:
        """Return the nonces of all connected nodes and of this one."""
        return {self.node, *(peer.node for peer in self._peers)}

    def admit(self, peer: Peer) -> None:
        """Add a peer. Raises DuplicateConnection when another one to its node is kept.

        Of two connections that cross, both ends keep the one dialled by the node with the larger
        nonce. Of two dialled by the same end, that end alone drops the newer: it knows whether the
        older still works. A nonce is no secret: only connections to one host cross, so that a
        stranger elsewhere who borrows a node's nonce pushes nobody out.
        """
        twins = [twin for twin in self if twin.node == peer.node]
        parallel = [twin for twin in twins if twin.direction is peer.direction]
        host = peer.connection.host
        crossing = [
            twin
            for twin in twins
            if twin.direction is not peer.direction and twin.connection.host == host
        ]
        if parallel and peer.direction is Direction.OUTBOUND:
            raise DuplicateConnection("connected already")
        kept = Direction.OUTBOUND if self.node > peer.node else Direction.INBOUND
        if crossing and peer.direction is not kept:
            raise DuplicateConnection("connected already")
        for twin in crossing:
            twin.connection.end(CloseCode.DUPLICATE, "connected already")
        self._peers[peer] = None

    def remove(self, peer: Peer) -> None:
        """Forget a peer."""
        self._peers.pop(peer, None)


def _dialable(connection: Connection, hello: Hello) -> Address | None:
    if connection.direction is Direction.OUTBOUND:
        return connection.remote
    if hello.port == 0:
        return None
    return normal_address(connection.remote.host, hello.port)
