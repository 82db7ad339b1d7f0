"""The node's network: listens, dials, admits peers, and runs the subjects of this folder.

`start` raises for what a person can fix (port in use); afterwards everything runs in tasks.
`wait` returns when the network stopped and raises what broke it, such as a StorageError.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from .._version import __version__
from ..core.errors import UserError
from ..core.hashing import Hash
from .address import Address, normal_address, parse_address
from .addressbook import AddressBook
from .bans import BanList
from .connection import CloseCode, Connection, Direction
from .dialer import WEBSOCKET_PATH, Dialer
from .errors import Disconnected, DuplicateConnection, HandshakeRefused, Misbehaviour
from .exchange import AddressExchange
from .gossip import Gossip
from .handshake import check_hello, exchange_hellos
from .ledger import Ledger
from .limits import (
    BAN_SCORE,
    DEFAULT_LIMITS,
    MAX_FRAME_BYTES,
    PRICES,
    PROTOCOL_VERSION,
    Limits,
)
from .listener import BoundedServer
from .messages import Hello, claim
from .peers import Peer, PeerInfo, PeerTable
from .session import Session, Subjects
from .sync import Synchroniser

_NODE_NONCE_BYTES: Final = 16
_REQUEST_HEAD_SECONDS: Final = 5.0
"""For an inbound connection to send its HTTP request."""
_SPARE_CONNECTIONS: Final = 32
"""Inbound connections beyond the slots, so that most who find none are told so."""

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """How a node takes part."""

    host: str = "0.0.0.0"
    port: int = 0
    """TCP port to listen on; 0 lets the system choose."""
    seeds: Sequence[str] = ()
    """host:port of nodes to try first."""
    data_folder: Path | None = None
    """Where peers.json is kept; None keeps addresses in memory."""
    agent: str = f"pouw/{__version__}"
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The state of the network, for people and RPC; `dataclasses.asdict` makes it a plain dict."""

    listening: str
    inbound: int
    outbound: int
    known_addresses: int
    banned: int
    height: int
    header_height: int
    syncing: bool
    waiting_for: str


class PeerNetwork:
    """Connects a ledger to the other nodes."""

    def __init__(self, ledger: Ledger, config: NetworkConfig, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds. Raises UserError for a malformed seed."""
        limits, rng = config.limits, random.Random()
        self._ledger: Final = ledger
        self._config: Final = config
        self._limits: Final = limits
        self._clock: Final = clock
        self._peers: Final = PeerTable(os.urandom(_NODE_NONCE_BYTES))
        self._bans: Final = BanList(limits, clock)
        self._book: Final = AddressBook(limits, clock, rng)
        for seed in config.seeds:
            self._book.pin(parse_address(seed))
        self._sync: Final = Synchroniser(ledger, self._peers, limits, clock, self._tip_moved)
        self._gossip: Final = Gossip(
            ledger, self._peers, limits, clock, lambda: self._sync.is_syncing
        )
        self._exchange: Final = AddressExchange(self._book, self._peers, limits, clock, rng)
        self._subjects: Final = Subjects(ledger, self._sync, self._gossip, self._exchange)
        self._dialer: Final = Dialer(
            self._book, self._peers, self._bans, limits, clock, self._converse
        )
        self._connections: set[Connection] = set()
        """All that are open, those still shaking hands included."""
        self._idle: Final = asyncio.Event()
        """Set while no connection is open."""
        self._idle.set()
        self._is_closing = False
        self._runner: web.ServerRunner | None = None
        self._main: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._broken: Final = asyncio.Event()
        self._port = 0

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        return self._port

    async def start(self) -> None:
        """Listen and begin to dial. Raises UserError when the address cannot be listened on."""
        if self._config.data_folder is not None:
            self._book.load(self._config.data_folder)
        await self._listen()
        self._main = asyncio.create_task(self._run())
        _log.info("network.started", host=self._config.host, port=self._port)

    async def stop(self) -> None:
        """Say goodbye to every peer, stop listening, save addresses. Leaves no task behind."""
        self._refuse_all("shutting down")
        patience = 3 * self._limits.close_timeout
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._idle.wait()
        if self._main is not None:
            self._main.cancel()
            await asyncio.wait([self._main])
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._save()
        _log.info("network.stopped", port=self._port)

    async def wait(self) -> None:
        """Return after `stop`; raises the error that broke the network, if one did."""
        if self._main is not None:
            await asyncio.wait([self._main])
        if self._failure is not None:
            raise self._failure

    def announce_tip(self) -> None:
        """Tell peers about a tip that did not come through the network."""
        self._sync.ledger_changed()
        self._gossip.announce_tip()

    def announce_transaction(self, transaction: Hash) -> None:
        """Tell peers about a transaction that entered the mempool from this node's side."""
        self._gossip.announce_transaction(transaction)

    def add_peer(self, address: str) -> None:
        """Dial an address soon and never forget it. Raises UserError when it is malformed."""
        self._book.pin(parse_address(address))

    def peers(self) -> list[PeerInfo]:
        """Return the connected peers."""
        return [peer.info() for peer in self._peers]

    def waiting_for(self) -> str:
        """Return in one line what this node waits for and from whom."""
        if len(self._peers):
            return self._sync.waiting_for()
        due = self._book.next_dial()
        if due is None:
            return "a peer: no address is known, add one or configure seeds"
        return (
            f"a peer: none of {len(self._book)} known addresses is connected,"
            f" next dial in {max(0.0, due - self._clock()):.0f} s"
        )

    def status(self) -> NetworkStatus:
        """Return a snapshot of the network."""
        return NetworkStatus(
            listening=str(Address(self._config.host, self._port)),
            inbound=self._peers.count(Direction.INBOUND),
            outbound=self._peers.count(Direction.OUTBOUND),
            known_addresses=len(self._book),
            banned=len(self._bans),
            height=self._ledger.tip().height,
            header_height=self._ledger.best_header().height,
            syncing=self._sync.is_syncing,
            waiting_for=self.waiting_for(),
        )

    async def _listen(self) -> None:
        limits = self._limits
        slots = limits.max_inbound + limits.max_handshakes + _SPARE_CONNECTIONS
        server = BoundedServer(self._on_request, slots, _REQUEST_HEAD_SECONDS)
        runner = web.ServerRunner(server, shutdown_timeout=2 * self._limits.close_timeout)
        await runner.setup()
        site = web.TCPSite(runner, self._config.host, self._config.port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise UserError(
                f"cannot listen on {self._config.host} port {self._config.port}: {error.strerror};"
                " choose another port or stop the program that uses it"
            ) from None
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for work in (
                    self._dialer.run(),
                    self._sync.run_timeouts(),
                    self._sync.run_delivery(),
                    self._gossip.run(),
                    self._gossip.run_requests(),
                    self._keep_addresses(),
                    self._watch_failure(),
                ):
                    group.create_task(work)
        except BaseExceptionGroup as failures:
            self._failure = self._failure or _first(failures)
            _log.error("network.broken", error=repr(self._failure))
            self._refuse_all("internal error")

    async def _watch_failure(self) -> None:
        """End everything once a conversation broke on our own side."""
        await self._broken.wait()
        if self._failure is not None:
            raise self._failure

    async def _keep_addresses(self) -> None:
        saved_at = self._clock()
        while True:
            await asyncio.sleep(self._limits.tick)
            self._exchange.step()
            if self._clock() - saved_at > self._limits.save_interval:
                saved_at = self._clock()
                await self._save()

    async def _save(self) -> None:
        folder = self._config.data_folder
        if folder is None:
            return
        try:
            self._book.save(folder)
        except OSError as error:
            _log.warning("addressbook.unsaved", folder=str(folder), error=str(error))

    async def _on_request(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        peername = None if transport is None else transport.get_extra_info("peername")
        if self._is_closing:
            return web.Response(status=503, text="shutting down")
        if request.path != WEBSOCKET_PATH or peername is None:
            return web.Response(status=404)
        remote = normal_address(peername[0], peername[1])
        if self._bans.is_banned(remote):
            return web.Response(status=403, text="banned for a while")
        shaking = len(self._connections) - len(self._peers)
        full = self._peers.count(Direction.INBOUND) >= self._limits.max_inbound
        if full or shaking >= self._limits.max_handshakes:
            return web.Response(status=503, text="no free slot")
        socket = web.WebSocketResponse(
            timeout=self._limits.close_timeout,
            max_msg_size=MAX_FRAME_BYTES,
            autoping=False,
            compress=False,
        )
        if not socket.can_prepare(request):
            return web.Response(status=426, text="a WebSocket is expected here")
        await socket.prepare(request)
        await self._converse(
            Connection(socket, remote, Direction.INBOUND, self._limits, self._clock)
        )
        return socket

    async def _converse(self, connection: Connection) -> None:
        """See one connection through, from the hello to the close."""
        self._connections.add(connection)
        self._idle.clear()
        try:
            peer = None if self._is_closing else await self._admit(connection)
            if peer is None:
                await connection.close()
            else:
                await self._talk(peer)
        except Exception as error:  # not the peer's doing: storage or a bug, ends the network
            self._fail(_first(error))
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._idle.set()

    async def _admit(self, connection: Connection) -> Peer | None:
        """Shake hands; return the peer, or None with the connection marked for closing."""
        mine, remote = self._hello(), connection.remote
        outbound = connection.direction is Direction.OUTBOUND
        try:
            theirs = await exchange_hellos(connection, mine, self._limits.hello_timeout)
            if outbound:
                self._book.met(remote, theirs.node)
            check_hello(mine, theirs)
            peer = Peer(connection, theirs, mine.tip.id, self._limits, self._clock, self._punish)
            self._peers.admit(peer)
        except Misbehaviour as error:
            connection.end(CloseCode.MISBEHAVED, str(error))
            if PRICES[error.offence] >= BAN_SCORE:
                self._punish(remote, connection.direction)
            reason = str(error)
        except DuplicateConnection as error:
            connection.end(CloseCode.DUPLICATE, str(error))
            return None
        except HandshakeRefused as error:
            connection.end(CloseCode.REFUSED, str(error))
            reason = str(error)
        except Disconnected as error:
            connection.end(CloseCode.GONE, str(error))
            reason = str(error)
        else:
            if outbound:
                self._book.answered(remote)
            return peer
        if outbound:
            self._book.failed(remote)
        _log.info("peer.refused", remote=str(remote), reason=reason)
        return None

    async def _talk(self, peer: Peer) -> None:
        connection = peer.connection
        _log.info(
            "peer.joined", peer=str(peer), direction=peer.direction.value, height=peer.tip.height
        )
        subjects = (self._sync, self._gossip, self._exchange)
        try:
            for subject in subjects:
                subject.joined(peer)
            await Session(peer, self._subjects, self._limits, self._clock).run()
        finally:
            self._peers.remove(peer)
            for subject in subjects:
                subject.left(peer)
            if peer.direction is Direction.OUTBOUND:
                self._book.lost(connection.remote, self._clock() - connection.opened_at)
            reason = connection.ending[1] if connection.ending is not None else "cancelled"
            _log.info("peer.left", peer=str(peer), reason=reason)

    def _hello(self) -> Hello:
        return Hello(
            version=PROTOCOL_VERSION,
            chain_id=self._ledger.chain_id,
            genesis=self._ledger.genesis_id,
            node=self._peers.node,
            port=self._port,
            agent=self._config.agent,
            tip=claim(self._ledger.tip()),
        )

    def _punish(self, remote: Address, direction: Direction) -> None:
        """Ban an address, as bans.py explains: not the loopback address of an inbound peer."""
        if direction is Direction.OUTBOUND or not remote.is_loopback:
            self._bans.ban(remote)
            _log.warning("peer.banned", address=str(remote), seconds=self._limits.ban_seconds)

    def _refuse_all(self, reason: str) -> None:
        """End every connection and take no new one."""
        self._is_closing = True
        for connection in self._connections:
            connection.end(CloseCode.SHUTTING_DOWN, reason)

    def _tip_moved(self) -> None:
        self._gossip.announce_tip()

    def _fail(self, error: BaseException) -> None:
        """Note that this node itself is broken; the main task then ends everything."""
        self._failure = self._failure or error
        self._broken.set()


def _first(error: BaseException) -> BaseException:
    """Return the first error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
