"""The network and the node itself: peers, synchronisation, stopping."""

from dataclasses import asdict
from typing import Annotated, Final

import msgspec

from .context import Context
from .registry import MethodTable
from .types import Answer

METHODS: Final = MethodTable()

PeerText = Annotated[str, msgspec.Meta(max_length=64)]
"""host:port."""


@METHODS.task
async def getpeers(node: Context) -> list[Answer]:
    """Return the connected peers."""
    return [asdict(peer) for peer in node.network.peers()]


@METHODS.task
async def getsync(node: Context) -> Answer:
    """Return how far the node is, and in one line what it waits for."""
    return asdict(node.network.status())


@METHODS.guarded
async def addpeer(node: Context, address: PeerText) -> Answer:
    """Dial a node soon, and again whenever the connection is lost."""
    node.network.add_peer(address)
    return {"address": address}


@METHODS.guarded
async def stop(node: Context) -> Answer:
    """Stop the node in good order."""
    node.request_stop()
    return {"stopping": True}
