"""Real nodes on loopback over a small ledger in memory, and a scripted peer that may misbehave.

The ledger does all bookkeeping of headers, bodies, branches and mempool; its consensus is reduced
to what the network must react to: a header is invalid when its signature is not VALID_SEAL, a body
is another's when its transactions do not hash to the header's root, and a block is invalid when its
state root is BROKEN_STATE.
"""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp
import pytest
from aiohttp import WSMsgType
from pouw.core.block import Block, BlockBody, Header, SealedHeader, transactions_root
from pouw.core.codec import decode, encode
from pouw.core.errors import (
    BodyMismatch,
    DecodeError,
    FromFuture,
    MissingParent,
    PolicyRejection,
    RuleViolation,
)
from pouw.core.hashing import ZERO_HASH, Hash, digest, u256
from pouw.core.keys import PrivateKey
from pouw.core.ticket import Head, Opening
from pouw.core.transaction import (
    Bundle,
    Output,
    Payload,
    Transaction,
    Transfer,
    UploadBlob,
    sign_transaction,
)
from pouw.p2p.ledger import Tip
from pouw.p2p.limits import MAX_BODY_BYTES, MAX_FRAME_BYTES, PROTOCOL_VERSION, Limits
from pouw.p2p.messages import Hello, Message, claim, decode_message, encode_message, frame_kind
from pouw.p2p.service import NetworkConfig, PeerNetwork

T = TypeVar("T")

CHAIN_ID: Final = 77
GENESIS: Final = digest("block", b"test genesis")
VALID_SEAL: Final = bytes(64)
BROKEN_STATE: Final = bytes([255]) * 32
MAX_TIME: Final = 10**9
QUICK: Final = Limits(tick=0.02, gossip_interval=0.01, peer_exchange=0.3, close_timeout=0.5)

_KEY: Final = PrivateKey(bytes(range(32)))
_HEAD: Final = Head(16, 16, 256, bytes(8), ZERO_HASH, 0, 0, 0, ZERO_HASH, ZERO_HASH, bytes(128))
_OPENING: Final = Opening(b"", (), b"", ())


def make_bundle(nonce: int, fee: int = 10, chain_id: int = CHAIN_ID) -> Bundle:
    """Return a signed transfer."""
    payload = Payload(
        chain_id, _KEY.public, nonce, fee, 10**6, Transfer((Output(ZERO_HASH, 1 + nonce),))
    )
    return Bundle(sign_transaction(_KEY, payload), ())


@dataclass
class _Known:
    sealed: SealedHeader
    height: int
    work: int
    body: bytes | None = None
    validated: bool = False


class MemoryLedger:
    """A Ledger (p2p/ledger.py) in memory."""

    def __init__(self, chain_id: int = CHAIN_ID, genesis_id: Hash = GENESIS) -> None:
        self._chain_id = chain_id
        self._genesis_id = genesis_id
        self._blocks: dict[Hash, _Known] = {}
        self._invalid: set[Hash] = set()
        self._tip = self._best = Tip(genesis_id, 0, 0)
        self._mempool: dict[Hash, Bundle] = {}
        self._salt = 0
        self.body_calls = 0

    @property
    def chain_id(self) -> int:
        return self._chain_id

    @property
    def genesis_id(self) -> Hash:
        return self._genesis_id

    def tip(self) -> Tip:
        return self._tip

    def best_header(self) -> Tip:
        return self._best

    def _parent(self, block: Hash) -> Hash:
        return self._blocks[block].sealed.header.parent

    def _path(self, block: Hash) -> list[Hash]:
        """Ids from block 1 up to `block`."""
        path: list[Hash] = []
        while block != self._genesis_id:
            path.append(block)
            block = self._parent(block)
        return path[::-1]

    def locator(self) -> list[Hash]:
        path = [self._genesis_id, *self._path(self._best.id)]
        found: list[Hash] = []
        index, step = len(path) - 1, 1
        while index > 0:
            found.append(path[index])
            step = step * 2 if len(found) > 8 else 1
            index -= step
        return [*found, self._genesis_id]

    def headers_after(self, locator: Sequence[Hash], limit: int) -> list[SealedHeader]:
        path = [self._genesis_id, *self._path(self._tip.id)]
        index = {block: position for position, block in enumerate(path)}
        start = next((index[block] for block in locator if block in index), 0)
        return [self._blocks[block].sealed for block in path[start + 1 : start + 1 + limit]]

    def header(self, block: Hash) -> SealedHeader | None:
        known = self._blocks.get(block)
        return None if known is None else known.sealed

    def knows_header(self, block: Hash) -> bool:
        return block == self._genesis_id or block in self._blocks

    def has_body(self, block: Hash) -> bool:
        return block == self._genesis_id or self.body(block) is not None

    def body(self, block: Hash) -> bytes | None:
        known = self._blocks.get(block)
        return None if known is None else known.body

    def wanted_bodies(self, limit: int) -> list[Hash]:
        return [b for b in self._path(self._best.id) if self._blocks[b].body is None][:limit]

    def bodies_towards(self, block: Hash, limit: int) -> list[Hash]:
        known = self._blocks.get(block)
        if known is None or known.work <= self._tip.work:
            return []
        return [b for b in self._path(block) if self._blocks[b].body is None][:limit]

    def has_transaction(self, transaction: Hash) -> bool:
        return transaction in self._mempool

    def bundle(self, transaction: Hash) -> Bundle | None:
        return self._mempool.get(transaction)

    def mempool_ids(self, limit: int) -> list[Hash]:
        return list(self._mempool)[:limit]

    async def accept_headers(self, headers: Sequence[SealedHeader]) -> int:
        await asyncio.sleep(0)
        return sum(self._accept_header(sealed) for sealed in headers)

    def _accept_header(self, sealed: SealedHeader) -> bool:
        block, header = sealed.id, sealed.header
        if block in self._blocks:
            return False
        if sealed.signature != VALID_SEAL:
            raise RuleViolation("seal", "bad seal")
        if block in self._invalid or header.parent in self._invalid:
            raise RuleViolation("ancestor", "stands on an invalid block")
        if not self.knows_header(header.parent):
            raise MissingParent(header.parent)
        if header.time > MAX_TIME:
            raise FromFuture("too early")
        below = self._blocks.get(header.parent)
        height, work = (0, 0) if below is None else (below.height, below.work)
        known = self._blocks[block] = _Known(sealed, height + 1, work + header.work)
        if known.work > self._best.work:
            self._best = Tip(block, known.height, known.work)
        return True

    async def accept_body(self, block: Hash, body: bytes) -> None:
        await asyncio.sleep(0)
        self.body_calls += 1
        known = self._blocks[block]
        if known.body is not None:
            return
        try:
            read = decode(BlockBody, body, MAX_BODY_BYTES)
        except DecodeError as error:
            raise BodyMismatch(str(error)) from None
        header = known.sealed.header
        if transactions_root(read.transactions) != header.transactions_root:
            raise BodyMismatch("another block's transactions")
        if not self.has_body(header.parent):
            raise MissingParent(header.parent)
        if header.state_root == BROKEN_STATE:
            self._condemn(block)
            raise RuleViolation("state-root", "wrong state")
        known.body, known.validated = body, True
        if known.work > self._tip.work:
            self._tip = Tip(block, known.height, known.work)

    def _condemn(self, block: Hash) -> None:
        self._invalid.add(block)
        for candidate in sorted(self._blocks, key=lambda b: self._blocks[b].height):
            if self._parent(candidate) in self._invalid:
                self._invalid.add(candidate)
        for candidate in self._invalid:
            self._blocks.pop(candidate, None)
        tips = [Tip(b, known.height, known.work) for b, known in self._blocks.items()]
        self._best = max([self._tip, *tips], key=lambda tip: tip.work)

    async def accept_bundle(self, bundle: Bundle) -> bool:
        await asyncio.sleep(0)
        transaction = bundle.transaction
        if transaction.payload.chain_id != self._chain_id or not transaction.signature_is_valid():
            raise RuleViolation("tx-signature", "not signed for this chain")
        if bundle.chunks and not isinstance(transaction.payload.body, UploadBlob):
            raise RuleViolation("tx-chunks", "chunks that nothing announces")
        if transaction.payload.fee < 5:
            raise PolicyRejection("fee", "too low")
        if transaction.id in self._mempool:
            return False
        self._mempool[transaction.id] = bundle
        return True

    def draft(
        self,
        parent: Hash | None = None,
        work: int = 1,
        transactions: tuple[Transaction, ...] = (),
        **changes: Any,
    ) -> Block:
        """Return a new block on `parent` (the tip if None) that no ledger knows yet."""
        parent = self._tip.id if parent is None else parent
        below = self._blocks.get(parent)
        height = 1 if below is None else below.height + 1
        self._salt += 1
        header = Header(
            version=1,
            parent=parent,
            height=height,
            time=height,
            difficulty=u256(work),
            miner=_KEY.public,
            payout=digest("address", str(id(self)).encode(), str(self._salt).encode()),
            transactions_root=transactions_root(transactions),
            state_root=ZERO_HASH,
        )
        seal = changes.pop("signature", VALID_SEAL)
        header = Header(**{f: changes.get(f, getattr(header, f)) for f in header.__struct_fields__})
        return Block(SealedHeader(header, _HEAD, seal), BlockBody(_OPENING, transactions, ()))

    def store(self, block: Block) -> None:
        """Take a block as if it had been mined here."""
        self._accept_header(block.sealed)
        known = self._blocks[block.id]
        known.body, known.validated = encode(block.body), True
        if known.work > self._tip.work:
            self._tip = Tip(block.id, known.height, known.work)

    def mine(self, count: int = 1, work: int = 1) -> None:
        """Extend the tip by `count` blocks."""
        for _ in range(count):
            self.store(self.draft(work=work))

    def take(self, bundle: Bundle) -> Hash:
        """Put a transaction into the mempool, unchecked."""
        self._mempool[bundle.transaction.id] = bundle
        return bundle.transaction.id


@dataclass
class Node:
    """A running node."""

    network: PeerNetwork
    ledger: MemoryLedger

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.network.port}"

    @property
    def peers(self) -> int:
        """How many peers are connected."""
        return len(self.network.peers())

    def mine(self, count: int = 1, work: int = 1) -> None:
        """Mine and announce."""
        self.ledger.mine(count, work)
        self.network.announce_tip()


class Stranger:
    """A scripted peer at the other end of a WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self.socket = socket

    async def send(self, *messages: Message) -> None:
        for message in messages:
            await self.socket.send_bytes(encode_message(message))

    async def send_raw(self, frame: bytes) -> None:
        await self.socket.send_bytes(frame)

    async def expect(self, kind: type[T], seconds: float = 5.0) -> T:
        """Return the next message of a type, passing over others."""
        async with asyncio.timeout(seconds):
            while True:
                arrived = await self.socket.receive()
                if arrived.type is not WSMsgType.BINARY:
                    pytest.fail(f"closed ({self.socket.close_code}), waiting for {kind.__name__}")
                message = decode_message(frame_kind(arrived.data), arrived.data)
                if isinstance(message, kind):
                    return message

    async def expect_close(self, seconds: float = 5.0) -> tuple[int | None, str]:
        """Return code and reason of the close, passing over messages."""
        async with asyncio.timeout(seconds):
            while True:
                arrived = await self.socket.receive()
                if arrived.type is not WSMsgType.BINARY:
                    reason = arrived.extra if isinstance(arrived.extra, str) else ""
                    # The socket's own close_code is overwritten when our reply finds nobody.
                    is_close = arrived.type is WSMsgType.CLOSE
                    return arrived.data if is_close else self.socket.close_code, reason


class Cluster:
    """Starts nodes and strangers; stops them all."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._http: list[aiohttp.ClientSession] = []

    def ledger(self, blocks: int = 0) -> MemoryLedger:
        """Return a ledger of its own, with some blocks."""
        ledger = MemoryLedger()
        ledger.mine(blocks)
        return ledger

    async def node(
        self,
        ledger: MemoryLedger | None = None,
        peers: Sequence[Node] = (),
        limits: Limits = QUICK,
        **config: Any,
    ) -> Node:
        """Start a node that dials `peers`."""
        held = MemoryLedger() if ledger is None else ledger
        seeds = [*config.pop("seeds", ()), *(peer.address for peer in peers)]
        settings = NetworkConfig(host="127.0.0.1", seeds=seeds, limits=limits, **config)
        node = Node(PeerNetwork(held, settings, time.monotonic), held)
        await node.network.start()
        self.nodes.append(node)
        return node

    async def stop(self, node: Node) -> None:
        """Stop one node."""
        self.nodes.remove(node)
        await node.network.stop()

    async def stranger(self, target: Node, **hello: Any) -> Stranger:
        """Connect and say hello, with some fields changed; the node's hello is not read yet."""
        stranger = await self.silent_stranger(target)
        await stranger.send(make_hello(**hello))
        return stranger

    async def silent_stranger(self, node: Node) -> Stranger:
        """Connect and say nothing."""
        http = aiohttp.ClientSession()
        self._http.append(http)
        socket = await http.ws_connect(f"http://{node.address}/p2p", max_msg_size=MAX_FRAME_BYTES)
        return Stranger(socket)

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Poll until the condition holds; fail with every node's state after a while."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                states = [str(node.network.status()) for node in self.nodes]
                pytest.fail("\n".join([f"did not happen within {seconds} s:", *states]))
            await asyncio.sleep(0.005)

    async def level(self, *nodes: Node) -> None:
        """Wait until all nodes (or those given) have one validated tip."""
        compared = nodes or tuple(self.nodes)
        await self.until(lambda: len({node.ledger.tip().id for node in compared}) == 1)

    def bundle(self, nonce: int, fee: int = 10, chain_id: int = CHAIN_ID) -> Bundle:
        """Return a signed transfer."""
        return make_bundle(nonce, fee, chain_id)

    async def close(self) -> None:
        for http in self._http:
            await http.close()
        for node in list(self.nodes):
            await self.stop(node)


def make_hello(**changes: Any) -> Hello:
    """Return a fitting hello with some fields changed."""
    fields: dict[str, Any] = {
        "version": PROTOCOL_VERSION,
        "chain_id": CHAIN_ID,
        "genesis": GENESIS,
        "node": digest("test", str(time.monotonic_ns()).encode())[:16],
        "port": 0,
        "agent": "stranger",
        "tip": claim(Tip(GENESIS, 0, 0)),
    }
    return Hello(**{**fields, **changes})


@pytest.fixture
async def cluster(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Cluster]:
    """Nodes and strangers of one test; afterwards no task may be left, no error be logged."""
    before = asyncio.all_tasks()
    cluster = Cluster()
    yield cluster
    await cluster.close()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    gc.collect()  # "Task was destroyed", "exception was never retrieved" are logged on deletion
    logged = [*caplog.get_records("setup"), *caplog.get_records("call")]
    errors = [r.getMessage() for r in logged if r.levelno >= logging.ERROR]
    assert not errors, errors
