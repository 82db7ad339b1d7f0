"""Nodes that do not belong together part at once, and both are told why."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pouw.core.hashing import digest
from pouw.p2p.connection import CloseCode
from pouw.p2p.limits import DEFAULT_LIMITS, PROTOCOL_VERSION
from pouw.p2p.messages import GetPeers, Hello, Ping

if TYPE_CHECKING:
    from .conftest import Cluster


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": PROTOCOL_VERSION + 1}, "protocol version 2, ours is 1"),
        ({"chain_id": 78}, "chain id 78, ours is 77"),
        ({"genesis": digest("block", b"other")}, "genesis"),
    ],
)
async def test_each_mismatch_is_refused_with_its_reason(
    cluster: "Cluster", changes: dict[str, Any], reason: str
) -> None:
    node = await cluster.node()
    stranger = await cluster.stranger(node, **changes)
    await stranger.expect(Hello)
    code, told = await stranger.expect_close()
    assert code == CloseCode.REFUSED
    assert reason in told
    assert node.peers == 0
    assert node.network.status().banned == 0


async def test_own_nonce_is_recognised(cluster: "Cluster") -> None:
    node = await cluster.node()
    probe = await cluster.silent_stranger(node)
    nonce = (await probe.expect(Hello)).node
    stranger = await cluster.stranger(node, node=nonce)
    assert await stranger.expect_close() == (CloseCode.REFUSED, "connected to itself")


async def test_silence_is_cut_off(cluster: "Cluster") -> None:
    limits = replace(DEFAULT_LIMITS, hello_timeout=0.1, close_timeout=0.5)
    node = await cluster.node(limits=limits)
    stranger = await cluster.silent_stranger(node)
    code, told = await stranger.expect_close()
    assert code == CloseCode.REFUSED
    assert "no hello" in told


async def test_anything_before_the_hello_is_misbehaviour(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await cluster.silent_stranger(node)
    await stranger.send(GetPeers())
    code, told = await stranger.expect_close()
    assert code == CloseCode.MISBEHAVED
    assert told == "out-of-order: GetPeers before the hello"


async def test_second_hello_is_misbehaviour(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await cluster.stranger(node)
    hello = await stranger.expect(Hello)
    await stranger.send(Hello(**{f: getattr(hello, f) for f in hello.__struct_fields__}))
    code, _ = await stranger.expect_close()
    assert code == CloseCode.MISBEHAVED


async def test_handshakes_under_way_are_bounded(cluster: "Cluster") -> None:
    limits = replace(DEFAULT_LIMITS, max_handshakes=2, close_timeout=0.5)
    node = await cluster.node(limits=limits)
    held = [await cluster.silent_stranger(node) for _ in range(2)]
    with pytest.raises(Exception, match="503"):
        await cluster.silent_stranger(node)
    assert all(not stranger.socket.closed for stranger in held)


async def test_hello_tells_where_the_node_listens_and_its_tip(cluster: "Cluster") -> None:
    node = await cluster.node(cluster.ledger(4))
    stranger = await cluster.stranger(node)
    hello = await stranger.expect(Hello)
    assert hello.port == node.network.port
    assert (hello.tip.id, hello.tip.height) == (node.ledger.tip().id, 4)
    await stranger.expect(Ping)
    await asyncio.sleep(0)
    assert node.peers == 1
