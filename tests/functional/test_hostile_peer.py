"""Real processes against a scripted peer that lies, and against the network's own accidents."""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import aiohttp
import msgspec
import pytest
from pouw.consensus.genesis_block import genesis_block
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.block import BlockBody, Header, SealedHeader, seal
from pouw.core.codec import decode, encode
from pouw.core.errors import UserError
from pouw.core.hashing import ZERO_HASH, Hash, digest, u256
from pouw.core.keys import PrivateKey, format_address
from pouw.core.ticket import Head
from pouw.core.transaction import Bundle, Output, Payload, Transfer, sign_transaction
from pouw.devnet.process import NodeProcess
from pouw.genesis import TINY
from pouw.genesis.networks import DEVNET_FAUCET
from pouw.p2p.ledger import Tip
from pouw.p2p.limits import MAX_ANNOUNCED_HEADERS, MAX_FRAME_BYTES, MAX_INVENTORY, PROTOCOL_VERSION
from pouw.p2p.messages import (
    Announcement,
    BodiesMissing,
    Body,
    GetBodies,
    GetHeaders,
    Headers,
    Hello,
    Inventory,
    Message,
    Ping,
    Pong,
    claim,
    decode_message,
    encode_message,
    frame_kind,
)
from pouw.wallet.client import RpcClient

Prepare = Callable[..., NodeProcess]
Mine = Callable[[RpcClient, int], str]

pytestmark = pytest.mark.slow

KEY = PrivateKey(b"the key of a miner who does evil")
GENESIS = genesis_block(TINY).id
RECEIVER = PrivateKey(b"a person who is paid in the test")


class Liar:
    """A scripted peer: says hello, answers pings, and requests for bodies from `bodies`."""

    def __init__(self, node: NodeProcess) -> None:
        self.bodies: dict[Hash, bytes] = {}
        self._headers: asyncio.Queue[Headers] = asyncio.Queue()
        self._node = node
        self._http = aiohttp.ClientSession()

    async def __aenter__(self) -> "Liar":
        url = f"http://{self._node.address}/p2p"
        self._socket = await self._http.ws_connect(url, max_msg_size=MAX_FRAME_BYTES)
        nonce, tip = os.urandom(16), claim(Tip(GENESIS, 0, 0))
        await self.send(Hello(PROTOCOL_VERSION, TINY.chain_id, GENESIS, nonce, 0, "liar", tip))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reading.cancel()
        await self._http.close()

    async def send(self, *messages: Message) -> None:
        for message in messages:
            await self._socket.send_bytes(encode_message(message))

    async def announce(self, headers: Sequence[SealedHeader]) -> None:
        """Announce linked headers from above genesis as a validated chain."""
        for start in range(0, len(headers), MAX_ANNOUNCED_HEADERS):
            batch = tuple(headers[start : start + MAX_ANNOUNCED_HEADERS])
            height = batch[-1].header.height
            tip = Tip(batch[-1].id, height, height * TINY.initial_difficulty)
            await self.send(Announcement(claim(tip), batch))

    async def headers(self) -> Sequence[SealedHeader]:
        """Ask for the node's chain."""
        await self.send(GetHeaders((GENESIS,)))
        return (await asyncio.wait_for(self._headers.get(), 5)).headers

    async def _read(self) -> None:
        async for frame in self._socket:
            if frame.type is not aiohttp.WSMsgType.BINARY:
                return
            match decode_message(frame_kind(frame.data), frame.data):
                case Ping(nonce=nonce):
                    await self.send(Pong(nonce))
                case GetBodies(ids=ids):
                    for block in ids:
                        body = self.bodies.get(block)
                        answer = BodiesMissing((block,)) if body is None else Body(block, body)
                        await self.send(answer)
                case Headers() as reply:
                    self._headers.put_nowait(reply)
                case _:
                    pass


def lie(parent: Hash, height: int, moment: int, salt: int = 0) -> SealedHeader:
    """A header whose ticket wins although nothing was multiplied: its lanes are made up."""
    payout = digest("address", height.to_bytes(8, "big"), salt.to_bytes(8, "big"))
    work = u256(TINY.initial_difficulty)
    header = Header(1, parent, height, moment, work, KEY.public, payout, ZERO_HASH, ZERO_HASH)
    lanes = digest("lanes", payout) * 4
    head = Head(16, 16, 256, bytes(8), ZERO_HASH, 0, 0, 0, ZERO_HASH, ZERO_HASH, lanes)
    return seal(KEY, header, head)


def lies(parent: Hash, height: int, moment: int, count: int) -> list[SealedHeader]:
    """A chain of them on a block of this height and time."""
    chain: list[SealedHeader] = []
    for step in range(1, count + 1):
        chain.append(lie(chain[-1].id if chain else parent, height + step, moment + step))
    return chain


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


async def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition that asks nodes, without holding up the liars."""
    await asyncio.to_thread(wait_until, condition, seconds)


def started(process: NodeProcess) -> RpcClient:
    process.start()
    process.wait_ready()
    return process.client()


def payment(nonce: int, amount: int = 1_000) -> str:
    """A transfer from the faucet, as hex."""
    body = Transfer((Output(RECEIVER.address, amount),))
    payload = Payload(TINY.chain_id, DEVNET_FAUCET.public, nonce, 100_000, 10**6, body)
    return encode(Bundle(sign_transaction(DEVNET_FAUCET, payload), ())).hex()


def height(client: RpcClient) -> int:
    return client.call("getinfo")["height"]


def is_stored(client: RpcClient, block: Hash) -> bool:
    """Tell whether a node has a block's body."""
    try:
        return client.call("getblock", id=block.hex())["bytes"] is not None
    except UserError:
        return False


def balance(client: RpcClient) -> int:
    address = format_address(RECEIVER.address, TINY.address_prefix)
    return client.call("getaccount", address=address)["balance"]


def assert_unharmed(*nodes: NodeProcess) -> None:
    """No error in any log, and the money adds up."""
    for node in nodes:
        assert node.running, node.tail()
        log = node.log.read_text()
        assert not re.search(r" (error|critical) |Traceback", log), log[-2_000:]
        supply = node.client().call("getsupply")
        assert supply["circulating"] == supply["emitted"] - supply["burned"]


async def test_headers_without_bodies_stop_neither_sync_nor_transactions(
    prepare: Prepare, mine: Mine
) -> None:
    honest, victim = prepare("honest"), prepare("victim")
    theirs, ours = started(honest), started(victim)
    mine(theirs, 20)
    async with Liar(victim) as liar:
        await liar.announce(lies(GENESIS, 0, int(time.time()) - 1_000, 60))
        await within(10, lambda: ours.call("getinfo")["best_header_height"] == 60)
        ours.call("addpeer", address=honest.address)
        await within(20, lambda: height(ours) == 20)
        theirs.call("sendtransaction", bundle=payment(0))
        await within(20, lambda: ours.call("getinfo")["mempool"] == 1)
        mine(theirs, 2)
        await within(20, lambda: height(ours) == 22)
    assert balance(ours) == 1_000
    assert_unharmed(honest, victim)


async def test_a_node_is_not_banned_for_a_side_block_it_never_validated(
    prepare: Prepare, mine: Mine
) -> None:
    honest, victim = prepare("honest"), prepare("victim")
    theirs, ours = started(honest), started(victim)
    mine(theirs, 5)
    payout = format_address(KEY.address, TINY.address_prefix)
    template = theirs.call("gettemplate", miner=KEY.public.hex(), payout=payout)["header"]
    honest_header = decode(Header, bytes.fromhex(template), 1_024)
    header = msgspec.structs.replace(honest_header, state_root=bytes(32))
    head, opening = prove(header.sigma, Shape(16, 16, 256), Tag(), None, None, (0, 0))
    wrong = seal(KEY, header, head)
    mine(theirs, 1)
    async with Liar(honest) as liar, Liar(victim) as other:
        liar.bodies[wrong.id] = encode(BlockBody(opening, (), ()))
        await liar.announce([wrong])
        await within(10, lambda: is_stored(theirs, wrong.id))
        chain = await liar.headers()
        branch = [*chain[:5], wrong, *lies(wrong.id, 6, header.time, 1)]
        await other.announce(branch)
        await within(10, lambda: ours.call("getinfo")["best_header_height"] == 7)
        ours.call("addpeer", address=honest.address)
        await within(20, lambda: height(ours) == 6)
    assert "peer.offence" not in victim.log.read_text()
    assert_unharmed(honest, victim)


async def test_a_flood_of_small_inventories_leaves_the_node_answering(prepare: Prepare) -> None:
    process = prepare()
    client = started(process)
    frames = [Inventory((os.urandom(32),)) for _ in range(1_000)]
    async with contextlib.AsyncExitStack() as stack:
        liars = [await stack.enter_async_context(Liar(process)) for _ in range(5)]
        for liar in liars:
            await liar.send(Inventory(tuple(os.urandom(32) for _ in range(MAX_INVENTORY))))
        flood = asyncio.create_task(liars[0].send(*frames))
        for _ in range(20):
            began = time.monotonic()
            await asyncio.to_thread(client.call, "getinfo")
            assert time.monotonic() - began < 1.0
            await asyncio.sleep(0.05)
        await flood
    assert_unharmed(process)


async def test_a_header_from_the_future_is_no_offence(prepare: Prepare, mine: Mine) -> None:
    """Its sender's clock, or ours, may be wrong."""
    process = prepare()
    client = started(process)
    async with Liar(process) as liar:
        await liar.announce([lie(GENESIS, 1, int(time.time()) + 10_000)])
        await asyncio.sleep(0.5)
        assert client.call("getinfo")["peers"] == 1
    assert client.call("getinfo")["best_header_height"] == 0
    mine(client, 1)
    assert "peer.offence" not in process.log.read_text()
    assert_unharmed(process)


def test_a_healed_partition_keeps_the_heavier_branch_and_every_transaction(
    prepare: Prepare, mine: Mine
) -> None:
    first, second = prepare("first"), prepare("second")
    left, right = started(first), started(second)
    left.call("sendtransaction", bundle=payment(0))
    mine(left, 3)
    left.call("sendtransaction", bundle=payment(1, amount=500))
    assert balance(left) == 1_000
    time.sleep(1.1)  # else both would mine the very same blocks
    tip = mine(right, 5)
    right.call("addpeer", address=first.address)
    wait_until(lambda: left.call("getinfo")["tip"] == tip)
    assert balance(left) == 0
    assert left.call("getinfo")["mempool"] == 2  # one came back, one had waited all along
    assert_unharmed(first, second)
    mine(left, 1)
    wait_until(lambda: height(right) == 6)
    assert balance(left) == balance(right) == 1_500
    assert left.call("getinfo")["state_root"] == right.call("getinfo")["state_root"]
    assert_unharmed(first, second)


def test_a_node_killed_in_the_middle_of_its_sync_goes_on(prepare: Prepare, mine: Mine) -> None:
    first = prepare("first")
    tip = mine(started(first), 60)
    second = prepare("second", connect=(first.address,))
    for blocks in (1, 20):
        client = started(second)
        wait_until(lambda c=client, b=blocks: height(c) >= b)
        second.kill()
    client = started(second)
    wait_until(lambda: client.call("getinfo")["tip"] == tip)
    assert_unharmed(first, second)
