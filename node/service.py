"""A full node: opens the database, follows the network, answers clients, and stops in good order.

    Worker thread ── Chain + Mempool over LevelDB
         ▲ NodeLedger
         ├── PeerNetwork (peers)
         └── RpcServer (wallets, miners) ── TemplateBook

What is opened first is closed last. A StorageError or SupplyBroken anywhere stops the node: `run`
raises it, and the process ends with a non-zero exit.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import structlog

from ..chain.chainstate import Chain, ChainChange
from ..chain.kv import LevelDB, open_database
from ..chain.mempool import Mempool
from ..chain.schema import SCHEMA_VERSION
from ..consensus.genesis_block import genesis_block
from ..genesis import Params, network
from ..p2p.service import NetworkConfig, PeerNetwork
from .config import NodeConfig
from .freivalds import ExactThinProducts
from .ledger import NodeLedger
from .multiplier import ExactMultiplier
from .poolkeeper import PoolKeeper
from .rpc.context import Context
from .rpc.server import RpcServer
from .templates import News, TemplateBook
from .token import remove_token, write_token
from .worker import Worker

_log: Final = structlog.get_logger(__name__)

REPORT_SECONDS: Final = 30.0
"""Between two lines of the log that say what the node waits for."""


class Node:
    """One node. Use `run`, or `start`, `wait` and `stop` in this order."""

    def __init__(
        self, config: NodeConfig, now: Callable[[], int] = lambda: int(time.time())
    ) -> None:
        """Nothing is opened yet. `now` returns UTC seconds. Raises UserError on a bad network."""
        self.config: Final = config
        self.params: Final[Params] = network(config.network)
        self._now: Final = now
        self._news: Final = News()
        self._stack: Final = AsyncExitStack()
        self._ended: Final = asyncio.Event()
        self._failure: BaseException | None = None
        self._network: PeerNetwork | None = None
        self._rpc: RpcServer | None = None

    @property
    def rpc_port(self) -> int:
        """The RPC port listened on; 0 before the start."""
        return 0 if self._rpc is None else self._rpc.port

    @property
    def p2p_port(self) -> int:
        """The port listened on for peers; 0 before the start."""
        return 0 if self._network is None else self._network.port

    async def run(self) -> None:
        """Run until SIGINT, SIGTERM, the RPC method `stop` or an error that ends the node.

        Raises StorageError or UserError when the node cannot start, and whatever ended it.
        """
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.request_stop)
        try:
            await self.start()
            try:
                await self.wait()
            finally:
                await self.stop()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    async def start(self) -> None:
        """Open the database and listen. Raises StorageError or UserError, with all closed again."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Return once a stop is requested; raises the error that ended the node, if one did."""
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Close what was opened, in reverse order."""
        await self._stack.aclose()

    def request_stop(self) -> None:
        """Let `wait` return."""
        self._ended.set()

    def fail(self, error: BaseException) -> None:
        """Note an error that the node cannot survive, and let `wait` raise it."""
        if self._failure is None:
            self._failure = error
            _log.critical("node.broken", error=type(error).__name__, why=str(error))
        self._ended.set()

    async def _start(self) -> None:
        database = await asyncio.to_thread(self._open_database)
        self._stack.callback(database.close)
        chain = await asyncio.to_thread(
            Chain, database, self.params, ExactMultiplier(), ExactThinProducts()
        )
        worker = Worker(self.fail)
        self._stack.callback(worker.close)
        mempool = Mempool(chain, self._now)
        keeper = PoolKeeper(mempool, worker, self.config.data, genesis_block(self.params).id)
        self._stack.push_async_callback(keeper.stop)
        ledger = NodeLedger(chain, mempool, worker, self._now, self._news.publish)
        self._follow(chain, mempool)
        peers = await self._start_network(ledger)
        await self._start_rpc(chain, mempool, ledger, peers)
        keeper.start()
        _log.info(
            "node.started",
            network=self.params.name,
            data=str(self.config.data),
            height=chain.tip.height,
            p2p=f"{self.config.p2p_host}:{self.p2p_port}",
            rpc=f"http://{self.config.rpc_host}:{self.rpc_port}",
        )

    def _open_database(self) -> LevelDB:
        genesis = genesis_block(self.params).id
        return open_database(self.config.data, genesis, SCHEMA_VERSION)

    def _follow(self, chain: Chain, mempool: Mempool) -> None:
        """Wake who waits for news, whichever thread brings them."""
        loop = asyncio.get_running_loop()

        def moved(change: ChainChange) -> None:
            loop.call_soon_threadsafe(self._tip_moved, change, len(mempool))

        chain.listeners.append(moved)

    def _tip_moved(self, change: ChainChange, waiting: int) -> None:
        self._news.publish()
        syncing = self._network is not None and self._network.status().syncing
        if not change.connected or syncing:
            return  # thousands of blocks a minute: the reports say enough
        entry, body = change.connected[-1]
        _log.info(
            "chain.tip",
            height=entry.height,
            block=entry.id.hex()[:16],
            transactions=len(body.transactions),
            connected=len(change.connected),
            disconnected=len(change.disconnected),
            mempool=waiting,
        )

    async def _start_network(self, ledger: NodeLedger) -> PeerNetwork:
        config = NetworkConfig(
            host=self.config.p2p_host,
            port=self.config.p2p_port,
            seeds=(*self.params.seeds, *self.config.connect),
            data_folder=self.config.data,
        )
        peers = PeerNetwork(ledger, config, time.monotonic)
        await peers.start()
        self._stack.push_async_callback(peers.stop)
        self._network = peers
        for duty in (self._watch(peers), self._report(peers)):
            self._stack.callback(asyncio.create_task(duty).cancel)
        return peers

    async def _watch(self, peers: PeerNetwork) -> None:
        try:
            await peers.wait()
        except Exception as error:
            self.fail(error)

    async def _report(self, peers: PeerNetwork) -> None:
        """Say from time to time how far the node is and what it waits for."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            status = peers.status()
            _log.info(
                "node.status",
                height=status.height,
                headers=status.header_height,
                peers=status.inbound + status.outbound,
                waiting_for=status.waiting_for,
            )

    async def _start_rpc(
        self, chain: Chain, mempool: Mempool, ledger: NodeLedger, peers: PeerNetwork
    ) -> None:
        templates = TemplateBook(ledger, mempool, self._news, time.monotonic)
        context = Context(
            params=self.params,
            chain=chain,
            mempool=mempool,
            ledger=ledger,
            network=peers,
            templates=templates,
            request_stop=self.request_stop,
            fail=self.fail,
        )
        token = write_token(self.config.data)
        self._stack.callback(remove_token, self.config.data)
        server = RpcServer(context, token)
        self._stack.push_async_callback(server.stop)
        await server.start(self.config.rpc_host, self.config.rpc_port)
        self._rpc = server
        self._stack.callback(templates.close)
