"""Starting, stopping, and what makes a node refuse to start or give up."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pouw.chain.chainstate import Chain
from pouw.consensus import transition
from pouw.consensus.supply import SupplyBroken
from pouw.core.errors import StorageError, UserError
from pouw.node.config import NodeConfig
from pouw.node.service import Node
from pouw.node.token import TOKEN_FILE

Configure = Callable[..., NodeConfig]


async def test_a_restart_keeps_the_tip_and_changes_the_token(rpc: Any, start_node: Any) -> None:
    tip = await rpc.mine(3)
    await rpc.node.stop()
    again = await start_node()
    assert (await again.call("getinfo"))["tip"] == tip
    assert again.token != rpc.token
    assert (await again.mine()) != tip


async def test_stopping_twice_is_harmless(rpc: Any) -> None:
    await rpc.node.stop()
    await rpc.node.stop()


async def test_a_folder_in_use_is_refused_and_its_token_kept(
    rpc: Any, node_config: Configure
) -> None:
    with pytest.raises(StorageError, match="in use by another running node"):
        await Node(node_config(rpc.node.config.data)).start()
    assert (rpc.node.config.data / TOKEN_FILE).read_text().strip() == rpc.token
    assert (await rpc.call("getinfo"))["height"] == 0


async def test_a_folder_of_another_network_is_refused(rpc: Any, node_config: Configure) -> None:
    await rpc.node.stop()
    with pytest.raises(StorageError, match="belongs to network"):
        await Node(node_config(rpc.node.config.data, network="devnet")).start()


async def test_a_foreign_folder_is_refused_and_left_alone(
    tmp_path: Path, node_config: Configure
) -> None:
    (tmp_path / "holiday.jpg").write_text("not ours")
    with pytest.raises(StorageError, match="not a pouw database"):
        await Node(node_config(tmp_path)).start()
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_an_unknown_network_is_refused(tmp_path: Path, node_config: Configure) -> None:
    with pytest.raises(UserError, match="no network 'nonet'"):
        Node(node_config(tmp_path, network="nonet"))


@pytest.mark.parametrize("which", ["p2p_port", "rpc_port"])
async def test_a_used_port_is_named_and_everything_closed_again(
    tmp_path: Path, node_config: Configure, which: str
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}"):
            await Node(node_config(tmp_path / "data", **{which: port})).start()
    assert not (tmp_path / "data" / TOKEN_FILE).exists()
    node = Node(node_config(tmp_path / "data"))
    await node.start()
    await node.stop()


async def test_a_broken_supply_ends_the_node(rpc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    template = await rpc.template()

    def breaks(*_args: Any) -> None:
        raise SupplyBroken("records changed by 1 base units, totals by 0")

    monkeypatch.setattr(transition, "check_supply_change", breaks)
    with pytest.raises(Exception, match="the node stops"):
        await rpc.solve(template)
    with pytest.raises(SupplyBroken):
        await asyncio.wait_for(rpc.node.wait(), 5)


async def test_a_storage_error_while_reading_ends_the_node(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: Any) -> None:
        raise StorageError("data: is damaged")

    monkeypatch.setattr(Chain, "totals_at", breaks)
    _, answer = await rpc.post(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getusefulness"}).encode()
    )
    assert answer["error"]["code"] == -32603
    with pytest.raises(StorageError, match="is damaged"):
        await asyncio.wait_for(rpc.node.wait(), 5)


async def test_a_storage_error_that_a_peer_brings_out_ends_the_node(
    rpc: Any, start_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rpc.mine(2)
    other = await start_node("other")

    def breaks(*_args: Any) -> None:
        raise StorageError("data: the disk is full")

    monkeypatch.setattr(other.node._rpc._context.chain, "accept_body", breaks)
    await other.call("addpeer", address=f"127.0.0.1:{rpc.node.p2p_port}")
    with pytest.raises(StorageError, match="disk is full"):
        await asyncio.wait_for(other.node.wait(), 20)


async def test_run_ends_when_asked_to(tmp_path: Path, node_config: Configure) -> None:
    node = Node(node_config(tmp_path / "data"))
    running = asyncio.create_task(node.run())
    while not node.rpc_port:
        await asyncio.sleep(0.01)
    node.request_stop()
    await asyncio.wait_for(running, 15)
    assert not (tmp_path / "data" / TOKEN_FILE).exists()
