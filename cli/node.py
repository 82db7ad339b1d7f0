"""`pouw node`: run a full node, or look at a running one."""

import asyncio
from pathlib import Path
from typing import Final

import click

from ..core.errors import UserError
from ..node.config import DEFAULT_PORTS, NodeConfig, default_data, default_host
from ..node.logs import configure_logs
from ..node.service import Node
from .common import (
    Target,
    data_option,
    json_option,
    network_option,
    node_options,
    pouw_text,
    print_fields,
    print_json,
    print_rows,
    require_object,
)

_PORT: Final = click.IntRange(0, 65_535)
_PEER_COLUMNS: Final = ("address", "direction", "height", "agent", "score", "latency_seconds")


@click.group()
def node() -> None:
    """Run a full node, or look at a running one."""


@node.command("run", epilog="Example: pouw node run --network testnet")
@network_option
@data_option
@click.option("--p2p-port", type=_PORT, help="TCP port for peers.  [default: the network's]")
@click.option("--rpc-port", type=_PORT, help="TCP port for RPC.  [default: the network's]")
@click.option("--listen", help="Address to listen on for peers.  [default: the network's]")
@click.option("--connect", multiple=True, metavar="HOST:PORT", help="Dial this node; repeatable.")
def run_node(
    network: str,
    data: Path | None,
    p2p_port: int | None,
    rpc_port: int | None,
    listen: str | None,
    connect: tuple[str, ...],
) -> None:
    """Run a full node until Ctrl-C.

    RPC is served on 127.0.0.1 only; what spends, changes or mines asks for the token in the data
    folder.
    """
    ports = DEFAULT_PORTS[network]
    config = NodeConfig(
        network=network,
        data=default_data(network) if data is None else data,
        p2p_port=ports.p2p if p2p_port is None else p2p_port,
        rpc_port=ports.rpc if rpc_port is None else rpc_port,
        p2p_host=listen or default_host(network),
        connect=connect,
    )
    configure_logs()
    asyncio.run(Node(config).run())


@node.command(epilog="Example: pouw node info --network testnet")
@node_options
@json_option
def info(target: Target, as_json: bool) -> None:
    """Show network, tip, and what the node waits for."""
    answer = require_object(target.client().call("getinfo"), "getinfo")
    if as_json:
        print_json(answer)
    else:
        print_fields({**answer, "subsidy": pouw_text(answer.get("subsidy"))})


@node.command(epilog="Example: pouw node peers --network testnet")
@node_options
@json_option
def peers(target: Target, as_json: bool) -> None:
    """List the connected peers."""
    answer = target.client().call("getpeers")
    if as_json:
        print_json(answer)
        return
    if not isinstance(answer, list):
        raise UserError("the node answers getpeers in a form unknown here")
    rows = [require_object(peer, "getpeers") for peer in answer]
    print_rows(
        [column.replace("_", " ") for column in _PEER_COLUMNS],
        [[peer.get(column) for column in _PEER_COLUMNS] for peer in rows],
        "no peer is connected",
    )


@node.command(epilog="Example: pouw node stop --network testnet")
@node_options
@json_option
def stop(target: Target, as_json: bool) -> None:
    """Stop the node in good order."""
    answer = target.client().call("stop")
    if as_json:
        print_json(answer)
    else:
        click.echo("the node is stopping")
