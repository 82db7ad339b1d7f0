"""One WebSocket with a peer: typed messages in and out, everything bounded.

Receiving takes one frame at a time, checks kind, size and rate, then decodes. Sending goes through
a queue bounded in bytes and frames that one writer task drains: gossip is never delayed by a slow
peer, the slow peer is cut off instead. Replies wait for room, in a task of their own, so that two
nodes serving each other cannot block each other's reading.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Any, Final, TypeAlias

from aiohttp import ClientWebSocketResponse, WebSocketError, WSCloseCode, WSMsgType, web

from .address import Address, normal_address
from .bounded import TokenBucket
from .errors import Disconnected, Misbehaviour
from .limits import FRAME_LIMITS, Limits, Offence
from .messages import Message, decode_message, encode_message, frame_kind

WebSocket: TypeAlias = web.WebSocketResponse[Any] | ClientWebSocketResponse[Any]

_MAX_REASON_BYTES: Final = 120  # RFC 6455: a close frame holds 125, two of them the code


class Direction(Enum):
    """Who dialled."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CloseCode(IntEnum):
    """Why we close (RFC 6455 §7.4: 4000 and up are the application's own)."""

    GONE = 1000
    SHUTTING_DOWN = 1001
    REFUSED = 4001
    DUPLICATE = 4002
    MISBEHAVED = 4003
    SLOW = 4004


class Connection:
    """A WebSocket under the limits; ends once, with the first reason given."""

    def __init__(
        self,
        socket: WebSocket,
        remote: Address,
        direction: Direction,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self.remote: Final = remote
        """Where the other end is: the dialled address, or the socket's for inbound ones."""
        self.direction: Final = direction
        self.opened_at: Final = clock()
        self.bytes_received = 0
        self.bytes_sent = 0
        self.receiving_since: float | None = None
        """When the wait for the next frame began; None while one is being handled."""
        self._socket = socket
        self._limits = limits
        self._clock = clock
        self._buckets = {
            kind: TokenBucket(limit.per_minute, clock)
            for kind, limit in FRAME_LIMITS.items()
            if limit.per_minute is not None
        }
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._queue_filled = asyncio.Event()
        self._queue_drained = asyncio.Event()
        self._ended = asyncio.Event()
        self._ending: tuple[CloseCode, str] | None = None

    @property
    def host(self) -> str:
        """The IP address at the other end, also where a name was dialled."""
        peername = self._socket.get_extra_info("peername")
        return self.remote.host if peername is None else normal_address(*peername[:2]).host

    @property
    def ending(self) -> tuple[CloseCode, str] | None:
        """Code and reason of the end, or None while the connection lives."""
        return self._ending

    def end(self, code: CloseCode, reason: str) -> None:
        """Mark the connection for closing; only the first call counts."""
        if self._ending is None:
            self._ending = (code, reason)
            self._ended.set()

    async def wait_ended(self) -> None:
        """Return once `end` was called."""
        await self._ended.wait()

    async def receive(self) -> Message:
        """Return the next message. Raises Disconnected or Misbehaviour."""
        self.receiving_since = self._clock()
        try:
            arrived = await self._socket.receive()
        finally:
            self.receiving_since = None
        match arrived.type:
            case WSMsgType.BINARY:
                return self._decode(arrived.data)
            case WSMsgType.CLOSE:
                reason = arrived.extra if isinstance(arrived.extra, str) else ""
                raise Disconnected(f"closed by the peer: {reason or f'code {arrived.data}'}")
            case WSMsgType.CLOSING | WSMsgType.CLOSED:
                raise Disconnected("connection lost")
            case WSMsgType.ERROR:
                raise _receive_error(arrived.data)
            case _:
                raise Misbehaviour(Offence.MALFORMED, f"a {arrived.type.name} frame")

    def _decode(self, frame: bytes) -> Message:
        self.bytes_received += len(frame)
        kind = frame_kind(frame)
        bucket = self._buckets.get(kind)
        if bucket is not None and not bucket.take():
            limit = FRAME_LIMITS[kind].per_minute
            raise Misbehaviour(Offence.FLOOD, f"more than {limit} {kind.name} in a minute")
        return decode_message(kind, frame)

    async def send_now(self, message: Message) -> None:
        """Send past the queue (only the handshake does). Raises Disconnected."""
        await self._transmit(encode_message(message))

    def send(self, message: Message) -> None:
        """Queue a message; a peer whose queue overflows is cut off."""
        if self._ending is not None:
            return
        frame = encode_message(message)
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._queue_filled.set()
        if (
            self._queued_bytes > self._limits.max_send_bytes
            or len(self._queue) > self._limits.max_send_frames
        ):
            self.end(CloseCode.SLOW, f"{self._queued_bytes} bytes wait to be read")

    async def send_reply(self, message: Message) -> None:
        """Queue a message once the queue is short. The writer notices a peer that never reads."""
        while self._queued_bytes > self._limits.serve_water_mark and self._ending is None:
            self._queue_drained.clear()
            await self._queue_drained.wait()
        self.send(message)

    async def write_queue(self) -> None:
        """Send what is queued, for ever. Raises Disconnected when the peer is gone or stalls."""
        while True:
            while self._queue:
                frame = self._queue.popleft()
                await self._transmit(frame)
                self._queued_bytes -= len(frame)
                self._queue_drained.set()
            self._queue_filled.clear()
            await self._queue_filled.wait()

    async def _transmit(self, frame: bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.send_stall):
                await self._socket.send_bytes(frame)
        except TimeoutError:
            raise Disconnected(f"does not read: {len(frame)} bytes could not be sent") from None
        except (ConnectionError, RuntimeError) as error:
            raise Disconnected(f"connection lost: {error}") from None
        self.bytes_sent += len(frame)

    async def close(self) -> None:
        """Close the socket, telling the other end why. Safe while another task receives."""
        code, reason = self._ending or (CloseCode.GONE, "")
        message = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(2 * self._limits.close_timeout):
                await self._socket.close(code=code, message=message)
        except (TimeoutError, ConnectionError, RuntimeError):
            return  # aiohttp has closed the transport by then; nobody is left to tell


def _receive_error(error: object) -> Disconnected | Misbehaviour:
    if not isinstance(error, WebSocketError):
        return Disconnected(f"connection lost: {error}")
    if error.code == WSCloseCode.MESSAGE_TOO_BIG:
        return Misbehaviour(Offence.OVERSIZED, str(error))
    return Misbehaviour(Offence.MALFORMED, str(error))
