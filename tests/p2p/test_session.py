"""What a hostile peer sends costs it the connection, and the node lives on."""

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import WSMsgType, web
from pouw.core.codec import encode
from pouw.core.hashing import ZERO_HASH
from pouw.p2p.connection import CloseCode
from pouw.p2p.ledger import Tip
from pouw.p2p.limits import DEFAULT_LIMITS, FRAME_LIMITS, MAX_FRAME_BYTES, Kind, Offence
from pouw.p2p.messages import (
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
    claim,
    encode_message,
)

if TYPE_CHECKING:
    from .conftest import Cluster, Node, Stranger


async def greet(cluster: "Cluster", node: "Node") -> "Stranger":
    stranger = await cluster.stranger(node)
    await stranger.expect(Hello)
    return stranger


async def assert_cut_off(
    cluster: "Cluster", node: "Node", stranger: "Stranger", offence: Offence
) -> None:
    """The stranger is disconnected for this offence; the node still serves others."""
    code, reason = await stranger.expect_close()
    assert code == CloseCode.MISBEHAVED
    assert reason.startswith(offence.value + ":")
    other = await greet(cluster, node)
    await other.send(Ping(bytes(8)))
    assert (await other.expect(Pong)).nonce == bytes(8)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"garbage that is no message",
        b"\x92\x02",  # truncated
        b"\x92\x02\xc4\x07" + bytes(7),  # nonce too short
        b"\x92\x02\xc5\x00\x08" + bytes(8),  # length written too wide: not canonical
        b"\x92\x02\xc4\x08" + bytes(8) + b"\x00",  # trailing byte
        b"\x93\x02\xc4\x08" + bytes(8) + b"\x00",  # unknown field
        b"\x91\x7f",  # unknown kind
        b"\xdc\x00\x01\x04",  # array header too wide
        b"\x91\xcc\x04",  # tag too wide
        encode_message(Ping(bytes(8)))[:-1],
    ],
)
async def test_malformed_frames(cluster: "Cluster", frame: bytes) -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    await stranger.send_raw(frame)
    await assert_cut_off(cluster, node, stranger, Offence.MALFORMED)


async def test_text_and_control_frames_are_not_spoken_here(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    await stranger.socket.send_str("hello")
    await assert_cut_off(cluster, node, stranger, Offence.MALFORMED)
    stranger = await greet(cluster, node)
    await stranger.socket.ping()
    await assert_cut_off(cluster, node, stranger, Offence.MALFORMED)


async def test_oversized_frames(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    too_long = FRAME_LIMITS[Kind.PING].max_bytes + 1
    await stranger.send_raw(b"\x92\x02".ljust(too_long, b"\x00"))
    await assert_cut_off(cluster, node, stranger, Offence.OVERSIZED)
    stranger = await greet(cluster, node)
    await stranger.send_raw(bytes(MAX_FRAME_BYTES + 1))
    code, _ = await stranger.expect_close()
    assert code in (CloseCode.MISBEHAVED, 1009)  # aiohttp refuses before the frame is whole
    await cluster.until(lambda: node.peers <= 1)


@pytest.mark.parametrize(
    "message",
    [
        Pong(bytes(8)),
        Peers(()),
        Headers(()),
        Body(ZERO_HASH, b"x"),
        BodiesMissing((ZERO_HASH,)),
        TransactionsMissing((ZERO_HASH,)),
    ],
)
async def test_unrequested_replies(cluster: "Cluster", message: Message) -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    if isinstance(message, Peers):
        await stranger.expect(GetPeers)
        await stranger.send(Peers(()))  # this one was asked for
    await stranger.send(message)
    await assert_cut_off(cluster, node, stranger, Offence.UNREQUESTED)


async def test_unrequested_transaction(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    await stranger.send(TransactionReply(cluster.bundle(1)))
    await assert_cut_off(cluster, node, stranger, Offence.UNREQUESTED)


async def test_floods(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    for _ in range((FRAME_LIMITS[Kind.PING].per_minute or 0) + 1):
        await stranger.send(Ping(bytes(8)))
    await assert_cut_off(cluster, node, stranger, Offence.FLOOD)
    stranger = await greet(cluster, node)
    for _ in range((FRAME_LIMITS[Kind.GET_PEERS].per_minute or 0) + 1):
        await stranger.send(GetPeers())
    await assert_cut_off(cluster, node, stranger, Offence.FLOOD)


async def test_requests_beyond_the_queue_are_a_flood(cluster: "Cluster") -> None:
    node = await cluster.node(cluster.ledger(2))
    stranger = await greet(cluster, node)
    request = encode_message(GetHeaders((ZERO_HASH,)))
    # One TCP segment, so that they are read at once while the answers wait for their turn.
    for _ in range(DEFAULT_LIMITS.max_serve_queue * 4):
        await stranger.send_raw(request)
    await assert_cut_off(cluster, node, stranger, Offence.FLOOD)


async def test_headers_must_be_linked_and_end_at_the_tip(cluster: "Cluster") -> None:
    node, source = await cluster.node(), cluster.ledger(3)
    first, second, third = source.headers_after([], 3)
    stranger = await greet(cluster, node)
    await stranger.send(Announcement(claim(source.tip()), (first, third)))
    await assert_cut_off(cluster, node, stranger, Offence.MALFORMED)
    stranger = await greet(cluster, node)
    await stranger.send(Announcement(claim(source.tip()), (first, second)))
    await assert_cut_off(cluster, node, stranger, Offence.MALFORMED)


async def test_invalid_headers_are_punished(cluster: "Cluster") -> None:
    node = await cluster.node()
    block = node.ledger.draft(signature=bytes([1]) * 64)
    stranger = await greet(cluster, node)
    await stranger.send(Announcement(claim(Tip(block.id, 1, 1)), (block.sealed,)))
    await assert_cut_off(cluster, node, stranger, Offence.INVALID_HEADER)
    assert not node.ledger.knows_header(block.id)


async def test_headers_from_the_future_are_not_punished(cluster: "Cluster") -> None:
    node = await cluster.node()
    block = node.ledger.draft(time=10**9 + 1)
    stranger = await greet(cluster, node)
    await stranger.send(Announcement(claim(Tip(block.id, 1, 1)), (block.sealed,)))
    await stranger.send(Ping(bytes(8)))
    await stranger.expect(Pong)
    assert not node.ledger.knows_header(block.id)
    assert node.network.peers()[0].score == 0


async def test_invalid_block_is_punished_and_never_asked_for_again(cluster: "Cluster") -> None:
    node = await cluster.node()
    block = node.ledger.draft(state_root=bytes([255]) * 32)
    announcement = Announcement(claim(Tip(block.id, 1, 1)), (block.sealed,))
    stranger = await greet(cluster, node)
    await stranger.send(announcement)
    assert (await stranger.expect(GetBodies)).ids == (block.id,)
    await stranger.send(Body(block.id, encode(block.body)))
    await assert_cut_off(cluster, node, stranger, Offence.INVALID_BLOCK)
    stranger = await greet(cluster, node)
    await stranger.send(announcement)
    await assert_cut_off(cluster, node, stranger, Offence.INVALID_HEADER)
    node.mine()
    await cluster.until(lambda: node.ledger.tip().height == 1)


async def test_invalid_transaction_is_punished(cluster: "Cluster") -> None:
    node = await cluster.node()
    bundle = cluster.bundle(0, chain_id=5)
    stranger = await greet(cluster, node)
    await stranger.send(Inventory((bundle.transaction.id,)))
    await stranger.expect(GetTransactions)
    await stranger.send(TransactionReply(bundle))
    await assert_cut_off(cluster, node, stranger, Offence.INVALID_TRANSACTION)


async def test_another_transaction_than_asked_for_is_unrequested(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    await stranger.send(Inventory((cluster.bundle(0).transaction.id,)))
    await stranger.expect(GetTransactions)
    await stranger.send(TransactionReply(cluster.bundle(1)))
    await assert_cut_off(cluster, node, stranger, Offence.UNREQUESTED)


async def test_addresses_must_be_well_formed(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    await stranger.expect(GetPeers)
    await stranger.send(Peers(("not an address",)))
    await assert_cut_off(cluster, node, stranger, Offence.MALFORMED)


async def test_a_peer_that_does_not_read_is_cut_off(cluster: "Cluster") -> None:
    limits = replace(
        DEFAULT_LIMITS, max_send_bytes=200_000, gossip_interval=0.001, close_timeout=0.2
    )
    node = await cluster.node(limits=limits)
    stranger = await greet(cluster, node)
    await cluster.until(lambda: node.peers == 1)
    deadline = time.monotonic() + 10
    # The socket's buffers swallow some megabytes of announcements before the queue grows.
    number = 0
    while node.peers and time.monotonic() < deadline:
        for _ in range(1_000):
            number += 1
            node.network.announce_transaction(number.to_bytes(32, "big"))
        await asyncio.sleep(0.002)
    assert node.peers == 0
    assert not stranger.socket.closed  # it was us who hung up


async def test_silent_peer_is_noticed(cluster: "Cluster") -> None:
    limits = replace(
        DEFAULT_LIMITS, tick=0.02, ping_interval=0.1, ping_timeout=0.2, close_timeout=0.2
    )
    node = await cluster.node(limits=limits)
    stranger = await greet(cluster, node)
    started = time.monotonic()
    while time.monotonic() < started + 0.5:  # answers: stays
        await stranger.send(Pong((await stranger.expect(Ping)).nonce))
    assert node.peers == 1
    code, reason = await stranger.expect_close()
    assert code == CloseCode.GONE
    assert "ping" in reason


async def test_hostile_listener_is_banned_and_not_dialled_again(cluster: "Cluster") -> None:
    calls: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request.path)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"garbage")
        while (await socket.receive()).type is WSMsgType.BINARY:
            pass
        return socket

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    limits = replace(DEFAULT_LIMITS, tick=0.01, backoff_first=0.01, close_timeout=0.2)
    node = await cluster.node(seeds=[f"127.0.0.1:{runner.addresses[0][1]}"], limits=limits)
    await cluster.until(lambda: node.network.status().banned == 1)
    await asyncio.sleep(0.3)
    await runner.cleanup()
    assert calls == ["/p2p"]


async def test_redirects_are_not_followed(cluster: "Cluster") -> None:
    visited: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        visited.append(request.path)
        raise web.HTTPFound("/elsewhere")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    node = await cluster.node(seeds=[f"127.0.0.1:{runner.addresses[0][1]}"])
    await cluster.until(lambda: len(visited) >= 2)
    await runner.cleanup()
    assert set(visited) == {"/p2p"}
    assert node.peers == 0


async def test_plain_http_gets_plain_answers(cluster: "Cluster") -> None:
    node = await cluster.node()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.network.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"404" in await reader.readline()
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.network.port)
    writer.write(b"GET /p2p HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"426" in await reader.readline()
    writer.close()
