"""How one node is set up: its network, its folder, where it listens and whom it dials."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports a network uses unless told otherwise."""

    p2p: int
    rpc: int


DEFAULT_PORTS: Final = {
    "mainnet": Ports(9330, 9331),
    "testnet": Ports(9340, 9341),
    "devnet": Ports(9350, 9351),
    "tiny": Ports(9360, 9361),
    "sprint": Ports(9370, 9371),
}

LOCAL_NETWORKS: Final = frozenset({"devnet", "tiny", "sprint"})
"""Networks whose coins are worth nothing: their nodes meet on one machine."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node. A port of 0 lets the system choose."""

    network: str
    """Name of the network, as in `genesis`."""
    data: Path
    """Folder of the database, the address book and the RPC token."""
    p2p_port: int
    rpc_port: int
    p2p_host: str = EVERYWHERE
    rpc_host: str = LOOPBACK
    connect: tuple[str, ...] = ()
    """host:port of nodes to dial, besides the network's seeds."""


def default_data(network: str) -> Path:
    """Return the network's folder by the XDG base directory specification."""
    home = os.environ.get("XDG_DATA_HOME", "")
    # The specification has relative paths ignored.
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".local" / "share"
    return base / "pouw" / network


def default_host(network: str) -> str:
    """Return where a node of this network listens for others."""
    return LOOPBACK if network in LOCAL_NETWORKS else EVERYWHERE
