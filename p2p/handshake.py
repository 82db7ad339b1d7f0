"""The handshake: one Hello each way, at once, before anything else.

Both ends check the other's; whoever finds a mismatch closes with the reason in the close frame, so
that each log tells its owner what to do.
"""

import asyncio

from .connection import Connection
from .errors import Disconnected, HandshakeRefused, Misbehaviour
from .limits import Offence
from .messages import Hello, Message


async def exchange_hellos(connection: Connection, mine: Hello, timeout: float) -> Hello:
    """Send our hello and return the other end's, not yet checked.

    Raises HandshakeRefused, Misbehaviour when something else comes first, Disconnected.
    """
    try:
        async with asyncio.timeout(timeout):
            await connection.send_now(mine)
            theirs = await _receive_unless_ended(connection)
    except TimeoutError:
        raise HandshakeRefused(f"no hello within {timeout:g} s") from None
    if not isinstance(theirs, Hello):
        raise Misbehaviour(Offence.OUT_OF_ORDER, f"{type(theirs).__name__} before the hello")
    return theirs


async def _receive_unless_ended(connection: Connection) -> Message:
    """Receive, but let our own end of the connection (shutdown) interrupt the wait."""
    receiving = asyncio.ensure_future(connection.receive())
    ended = asyncio.ensure_future(connection.wait_ended())
    try:
        await asyncio.wait([receiving, ended], return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            raise Disconnected("ended during the handshake")
        return receiving.result()
    finally:
        receiving.cancel()
        ended.cancel()
        await asyncio.gather(receiving, ended, return_exceptions=True)


def check_hello(mine: Hello, theirs: Hello) -> None:
    """Raise HandshakeRefused unless both nodes can work together."""
    if theirs.version != mine.version:
        raise HandshakeRefused(f"protocol version {theirs.version}, ours is {mine.version}")
    if theirs.chain_id != mine.chain_id:
        raise HandshakeRefused(f"chain id {theirs.chain_id}, ours is {mine.chain_id}")
    if theirs.genesis != mine.genesis:
        raise HandshakeRefused(
            f"genesis {theirs.genesis.hex()[:16]}, ours is {mine.genesis.hex()[:16]}"
        )
    if theirs.node == mine.node:
        raise HandshakeRefused("connected to itself")
