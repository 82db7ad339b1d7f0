"""One conversation after the handshake: four tasks that live and end together.

The reader takes messages one at a time and hands each to its subject; the writer drains the send
queue; the server answers requests; the pinger notices a peer that went silent.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .connection import CloseCode
from .errors import Disconnected, Misbehaviour
from .exchange import AddressExchange
from .gossip import Gossip
from .ledger import Ledger
from .limits import Limits, Offence
from .messages import (
    Announcement,
    BodiesMissing,
    Body,
    GetBodies,
    GetHeaders,
    GetPeers,
    GetTransactions,
    Headers,
    Hello,
    Inventory,
    Message,
    Peers,
    Ping,
    Pong,
    TransactionReply,
    TransactionsMissing,
)
from .peers import Peer
from .serving import Server
from .sync import Synchroniser

_PING_NONCE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Subjects:
    """Where messages go."""

    ledger: Ledger
    sync: Synchroniser
    gossip: Gossip
    exchange: AddressExchange


class Session:
    """Runs the conversation with one admitted peer."""

    def __init__(
        self, peer: Peer, subjects: Subjects, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._peer: Final = peer
        self._subjects: Final = subjects
        self._limits: Final = limits
        self._clock: Final = clock
        self._server: Final = Server(peer, subjects.ledger, limits)
        self._ping: tuple[bytes, float] | None = None
        """Nonce and time of the ping that has no answer yet."""

    async def run(self) -> None:
        """Converse until either side ends it, then close the socket.

        Errors that are not the peer's fault (StorageError, bugs) come out in an ExceptionGroup.
        """
        connection = self._peer.connection
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._read()),
                group.create_task(self._write()),
                group.create_task(self._server.run()),
                group.create_task(self._keep_alive()),
            ]
            await connection.wait_ended()
            await connection.close()  # before the reader is cancelled, or the close is not clean
            for task in tasks:
                task.cancel()

    async def _read(self) -> None:
        while True:
            try:
                message = await self._peer.connection.receive()
                await self._handle(message)
            except Misbehaviour as error:
                self._peer.charge(error.offence, error.detail)
            except Disconnected as error:
                self._peer.connection.end(CloseCode.GONE, str(error))
            if not self._peer.is_live:
                return

    async def _write(self) -> None:
        try:
            await self._peer.connection.write_queue()
        except Disconnected as error:
            self._peer.connection.end(CloseCode.GONE, str(error))

    async def _handle(self, message: Message) -> None:
        peer, subjects = self._peer, self._subjects
        match message:
            case Hello():
                raise Misbehaviour(Offence.OUT_OF_ORDER, "a second hello")
            case Ping(nonce=nonce):
                peer.send(Pong(nonce))
            case Pong(nonce=nonce):
                self._on_pong(nonce)
            case GetPeers():
                subjects.exchange.on_request(peer)
            case Peers():
                subjects.exchange.on_reply(peer, message)
            case Announcement():
                await subjects.sync.on_announcement(peer, message)
            case GetHeaders() | GetBodies() | GetTransactions():
                self._server.submit(message)
            case Headers():
                await subjects.sync.on_headers(peer, message)
            case Body():
                subjects.sync.on_body(peer, message)
            case BodiesMissing():
                subjects.sync.on_bodies_missing(peer, message)
            case Inventory():
                subjects.gossip.on_inventory(peer, message)
            case TransactionReply():
                await subjects.gossip.on_transaction(peer, message)
            case TransactionsMissing():
                subjects.gossip.on_missing(peer, message)

    async def _keep_alive(self) -> None:
        connection = self._peer.connection
        while True:
            nonce = os.urandom(_PING_NONCE_BYTES)
            self._ping = (nonce, self._clock())
            self._peer.send(Ping(nonce))
            await asyncio.sleep(self._limits.ping_interval)
            while (silence := self._silence()) is not None:
                if silence > self._limits.ping_timeout:
                    connection.end(CloseCode.GONE, f"no answer to a ping for {silence:.0f} s")
                await asyncio.sleep(self._limits.tick)

    def _silence(self) -> float | None:
        """Return for how many seconds the peer has owed a pong, or None if it owes none."""
        if self._ping is None:
            return None
        waiting_since = self._peer.connection.receiving_since
        if waiting_since is None:
            return 0.0  # we are judging a message; the pong may lie behind it
        return self._clock() - max(self._ping[1], waiting_since)

    def _on_pong(self, nonce: bytes) -> None:
        if self._ping is None or self._ping[0] != nonce:
            raise Misbehaviour(Offence.UNREQUESTED, "a pong")
        self._peer.latency = self._clock() - self._ping[1]
        self._ping = None
