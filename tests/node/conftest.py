"""A real node on the tiny network, a client of its RPC, and a miner in the test's own process."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.blob import Chunk, split_blob
from pouw.core.block import Header, seal
from pouw.core.codec import decode, encode
from pouw.core.keys import PrivateKey, format_address
from pouw.core.transaction import Body, Bundle, Payload, UploadBlob, sign_transaction
from pouw.genesis import TINY
from pouw.genesis.networks import DEVNET_FAUCET
from pouw.node.config import NodeConfig
from pouw.node.service import Node
from pouw.node.token import TOKEN_FILE

MINER = PrivateKey(b"the key of the miner in the test")
FEE = 10_000_000
SHAPE = Shape(16, 16, 256)
"""Wins with every ticket: the tiny network's difficulty is the work of this one tile."""


class CallFailed(Exception):
    """The node answered with an error."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {error}")
        self.status = status
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


@dataclass
class Caller:
    """Calls one node's methods, mines its blocks, signs for its accounts."""

    node: Node
    session: aiohttp.ClientSession
    token: str | None
    nonces: dict[bytes, int] = field(default_factory=dict[bytes, int])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.rpc_port}"

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Send raw bytes; return the status and the JSON answer, None where there is none."""
        if headers is None:
            headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        async with self.session.post(self.url, data=body, headers=headers) as response:
            content = await response.read()
            return response.status, json.loads(content) if content else None

    async def call(self, method: str, *listed: Any, **named: Any) -> Any:
        """Return a method's result. Raises CallFailed."""
        params = list(listed) if listed else named
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        status, answer = await self.post(json.dumps(request).encode())
        assert answer["jsonrpc"] == "2.0"
        if "error" in answer:
            raise CallFailed(status, answer["error"])
        assert answer["id"] == 7
        return answer["result"]

    async def template(self, **more: Any) -> Any:
        payout = self.address(MINER)
        return await self.call("gettemplate", miner=MINER.public.hex(), payout=payout, **more)

    async def solve(self, template: Any) -> Any:
        """Mine a template with the zero operands and submit the block."""
        header = decode(Header, bytes.fromhex(template["header"]), 1024)
        head, opening = prove(header.sigma, SHAPE, Tag(), None, None, (0, 0))
        return await self.call(
            "submitsolution",
            template=template["id"],
            head=encode(head).hex(),
            opening=encode(opening).hex(),
            signature=seal(MINER, header, head).signature.hex(),
        )

    async def mine(self, blocks: int = 1) -> str:
        """Mine some blocks and return the id of the last."""
        last = ""
        for _ in range(blocks):
            last = (await self.solve(await self.template()))["block"]
        return last

    def sign(
        self, key: PrivateKey, body: Body, chunks: Sequence[Chunk] = (), **changes: Any
    ) -> Bundle:
        """Sign a body with the key's next nonce; `changes` replace fields of the payload."""
        fields: dict[str, Any] = {
            "chain_id": TINY.chain_id,
            "sender": key.public,
            "nonce": self.nonces.get(key.public, 0),
            "fee": FEE,
            "expiry": 10_000,
            "body": body,
        }
        return Bundle(sign_transaction(key, Payload(**{**fields, **changes})), tuple(chunks))

    async def upload(self, key: PrivateKey, data: bytes) -> bytes:
        """Send a blob that fits one transaction; return its root."""
        root, chunks = split_blob(data)
        await self.send(self.sign(key, UploadBlob(root, len(data), 0, len(chunks)), chunks))
        return root

    async def send(self, bundle: Bundle) -> str:
        """Send a bundle and count its sender's nonce; return the transaction's id."""
        answer = await self.call("sendtransaction", bundle=encode(bundle).hex())
        payload = bundle.transaction.payload
        self.nonces[payload.sender] = payload.nonce + 1
        return answer["id"]

    def address(self, key: PrivateKey) -> str:
        return format_address(key.address, TINY.address_prefix)


def config(folder: Path, **changes: Any) -> NodeConfig:
    """Return a node of the tiny network on ports that the system chooses."""
    plain = NodeConfig("tiny", folder, p2p_port=0, rpc_port=0, p2p_host="127.0.0.1")
    return replace(plain, **changes)


StartNode = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def start_node(tmp_path: Path) -> AsyncGenerator[StartNode]:
    """A function that starts a node in a folder of its own; all are stopped at the end."""
    started: list[Caller] = []

    async def start(name: str = "node", **changes: Any) -> Caller:
        node = Node(config(tmp_path / name, **changes))
        await node.start()
        token = (node.config.data / TOKEN_FILE).read_text().strip()
        caller = Caller(node, aiohttp.ClientSession(), token)
        started.append(caller)
        return caller

    yield start
    for caller in started:
        await caller.session.close()
        await asyncio.wait_for(caller.node.stop(), 20)


@pytest.fixture
async def rpc(start_node: StartNode) -> Caller:
    """A caller of one running node."""
    return await start_node()


@pytest.fixture
def faucet() -> PrivateKey:
    """The key that owns the tiny network's first coins."""
    return DEVNET_FAUCET


@pytest.fixture
def node_config() -> Callable[..., NodeConfig]:
    """A function that returns a node's configuration for a folder."""
    return config


@pytest.fixture
def call_failed() -> type[CallFailed]:
    """What `Caller.call` raises."""
    return CallFailed
