"""Whole nodes over real sockets: they find each other, agree, survive restarts, stop cleanly."""

import asyncio
import gc
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pouw.core.errors import StorageError, UserError
from pouw.core.hashing import Hash
from pouw.p2p.limits import DEFAULT_LIMITS
from pouw.p2p.service import NetworkConfig, PeerNetwork

if TYPE_CHECKING:
    from .conftest import Cluster, Node


async def test_two_nodes_converge_whichever_dials(cluster: "Cluster") -> None:
    ahead = await cluster.node(cluster.ledger(20))
    behind = await cluster.node(peers=[ahead])
    await cluster.level()
    behind.mine(3)
    await cluster.level()
    ahead.mine()
    await cluster.level()
    assert ahead.ledger.tip().height == 24


async def test_three_nodes_pass_blocks_and_transactions_along_a_line(cluster: "Cluster") -> None:
    alone = replace(DEFAULT_LIMITS, tick=0.02, target_outbound=1, close_timeout=0.5)
    first = await cluster.node(limits=alone)
    second = await cluster.node(peers=[first], limits=alone)
    third = await cluster.node(peers=[second], limits=replace(alone, peer_exchange=60.0))
    await cluster.until(lambda: first.peers >= 1 and second.peers == 2 and third.peers >= 1)
    third.mine(2)
    await cluster.level()
    bundle = cluster.bundle(0)
    transaction = first.ledger.take(bundle)
    first.network.announce_transaction(transaction)
    await cluster.until(lambda: third.ledger.bundle(transaction) == bundle)
    assert second.ledger.bundle(transaction) == bundle


async def test_a_line_becomes_a_mesh(cluster: "Cluster") -> None:
    middle = await cluster.node()
    left = await cluster.node(peers=[middle])
    right = await cluster.node(peers=[middle])
    await cluster.until(lambda: all(node.peers == 2 for node in (left, middle, right)))
    addresses = {info.address for info in left.network.peers()}
    assert addresses == {middle.address, right.address}


async def test_crossing_dials_leave_one_connection(cluster: "Cluster") -> None:
    for _ in range(5):
        first = await cluster.node()
        second = await cluster.node()
        first.network.add_peer(second.address)
        second.network.add_peer(first.address)
        await cluster.until(lambda a=first, b=second: a.peers == b.peers == 1)
        await asyncio.sleep(0.1)  # a second connection would show up by now
        assert first.peers == second.peers == 1
        first.mine()
        await cluster.level(first, second)
        await cluster.stop(first)
        await cluster.stop(second)


async def test_one_node_under_two_names_is_connected_once(cluster: "Cluster") -> None:
    target = await cluster.node()
    alias = f"localhost:{target.network.port}"
    node = await cluster.node(seeds=[alias], peers=[target])
    await cluster.until(lambda: node.peers == 1)
    await asyncio.sleep(0.2)
    assert node.peers == 1
    assert target.peers == 1


async def test_a_node_does_not_talk_to_itself(cluster: "Cluster") -> None:
    node = await cluster.node()
    node.network.add_peer(node.address)
    await asyncio.sleep(0.3)
    assert node.peers == 0


async def test_restarted_node_is_found_again_within_seconds(cluster: "Cluster") -> None:
    seed = await cluster.node(cluster.ledger(2))
    node = await cluster.node(peers=[seed])
    await cluster.level()
    port, ledger = seed.network.port, seed.ledger
    await cluster.stop(seed)
    await cluster.until(lambda: node.peers == 0)
    assert "next dial" in node.network.waiting_for()
    ledger.mine(2)
    back = await cluster.node(ledger, port=port)
    await cluster.until(lambda: back.peers == 1, seconds=5.0)
    await cluster.level()


async def test_addresses_survive_a_restart(cluster: "Cluster", tmp_path: Path) -> None:
    seed = await cluster.node()
    node = await cluster.node(peers=[seed], data_folder=tmp_path)
    await cluster.until(lambda: node.peers == 1)
    await cluster.stop(node)
    again = await cluster.node(data_folder=tmp_path)
    await cluster.until(lambda: again.peers == 1)
    assert again.network.peers()[0].address == seed.address


async def test_port_in_use_is_named(cluster: "Cluster") -> None:
    node = await cluster.node()
    taken = node.network.port
    second = PeerNetwork(cluster.ledger(), NetworkConfig("127.0.0.1", taken), lambda: 0.0)
    with pytest.raises(UserError, match=f"port {taken}"):
        await second.start()


@pytest.mark.parametrize("text", ["nonsense", "host:0", "host:70000", "http://a:1", ":1", "::1:9"])
async def test_malformed_addresses_are_refused(cluster: "Cluster", text: str) -> None:
    node = await cluster.node()
    with pytest.raises(UserError):
        node.network.add_peer(text)


async def test_status_and_peers_are_plain_data(cluster: "Cluster") -> None:
    node = await cluster.node(cluster.ledger(3))
    assert "no address is known" in node.network.waiting_for()
    other = await cluster.node(peers=[node])
    await cluster.level()
    await cluster.until(lambda: other.network.peers()[0].latency_seconds is not None)
    info = asdict(other.network.peers()[0])
    assert info["address"] == node.address
    assert info["direction"] == "outbound"
    assert info["height"] == 3
    status = asdict(other.network.status())
    assert (status["outbound"], status["inbound"], status["height"]) == (1, 0, 3)
    assert status["waiting_for"].startswith("the next block")
    assert not status["syncing"]


async def test_stop_leaves_no_tasks_even_under_load(cluster: "Cluster") -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = asyncio.all_tasks()
        hub = await cluster.node(cluster.ledger(300))
        nodes = [await cluster.node(peers=[hub]) for _ in range(3)]
        await cluster.until(lambda: all(node.peers for node in nodes))
        for node in [hub, *nodes]:  # in the middle of the sync
            await cluster.stop(node)
        assert asyncio.all_tasks() == before
        gc.collect()


async def test_stop_is_quick_with_a_peer_that_does_not_answer(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await cluster.stranger(node)
    silent = await cluster.silent_stranger(node)
    await cluster.until(lambda: node.peers == 1)
    async with asyncio.timeout(4):
        await cluster.stop(node)
    assert (await stranger.expect_close())[0] == 1001
    assert not silent.socket.closed


async def test_broken_storage_ends_the_network_and_is_reported(
    cluster: "Cluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = await cluster.node(cluster.ledger(5))
    behind = await cluster.node()

    async def fail(block: Hash, body: bytes) -> None:
        raise StorageError("disk full")

    monkeypatch.setattr(behind.ledger, "accept_body", fail)
    behind.network.add_peer(ahead.address)
    with pytest.raises(StorageError, match="disk full"):
        async with asyncio.timeout(5):
            await behind.network.wait()
    await cluster.until(lambda: ahead.peers == 0)


async def test_storage_error_inside_a_conversation_is_reported_too(
    cluster: "Cluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = await cluster.node(cluster.ledger(5))
    behind = await cluster.node(peers=[ahead])
    await cluster.level()

    async def fail(headers: object) -> int:
        raise StorageError("disk gone")

    monkeypatch.setattr(behind.ledger, "accept_headers", fail)
    ahead.mine()
    with pytest.raises(StorageError, match="disk gone"):
        async with asyncio.timeout(5):
            await behind.network.wait()


async def test_inbound_slots_are_bounded(cluster: "Cluster") -> None:
    limits = replace(DEFAULT_LIMITS, tick=0.02, max_inbound=2, close_timeout=0.5)
    hub = await cluster.node(limits=limits)
    nodes: list[Node] = [await cluster.node(peers=[hub], limits=limits) for _ in range(2)]
    await cluster.until(lambda: hub.peers == 2)
    late = await cluster.node(peers=[hub], limits=replace(limits, target_outbound=1))
    await asyncio.sleep(0.3)
    assert hub.peers == 2
    assert late.network.status().outbound <= 1
    assert all(node.peers for node in nodes)
