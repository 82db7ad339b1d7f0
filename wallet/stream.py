"""News from a node as they happen: a subscription over a WebSocket of its own.

The other half of `node/rpc/session.py`. As with calls, the node is believed only as far as what it
sends is well formed. Who does not answer a ping for half of HEARTBEAT_SECONDS counts as gone.
"""

import asyncio
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import aiohttp
import msgspec

from ..core.errors import UserError
from .client import RpcError, one_line

MAX_MESSAGE_BYTES: Final = 1 << 20
HEARTBEAT_SECONDS: Final = 20.0
OPEN_SECONDS: Final = 10.0
"""For the connection and the answer to the subscription."""
_CLOSE_SECONDS: Final = 1.0
_SOCKET_PATH: Final = "/ws"
_REQUEST_ID: Final = 1  # one request per connection, so one id is enough
_WAIT_SECONDS: Final = 0.001
"""Least wait; aiohttp takes 0 for no limit."""

_Socket: TypeAlias = aiohttp.ClientWebSocketResponse[Any]


class StreamLost(UserError):
    """There is no connection to the node, or no longer."""


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: Any = None


class _News(msgspec.Struct, frozen=True):
    subscription: str
    result: Any


class _Message(msgspec.Struct, frozen=True):
    """An answer or a notification."""

    id: Any = None
    result: Any = None
    error: _Error | None = None
    params: _News | None = None


class Stream:
    """One open subscription; leave it with `async with`."""

    def __init__(self, url: str, session: aiohttp.ClientSession, socket: _Socket) -> None:
        """See `open_stream`."""
        self._url: Final = url
        self._session: Final = session
        self._socket: Final = socket
        self._name: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def subscribe(self, params: dict[str, Any]) -> None:
        """Ask for a topic. Raises RpcError when the node refuses, StreamLost."""
        request = {"jsonrpc": "2.0", "id": _REQUEST_ID, "method": "subscribe", "params": params}
        try:
            await self._socket.send_json(request)
            answer = self._read(await self._socket.receive())
        except ConnectionError:
            raise self._lost("connection closed") from None
        if answer.error is not None:
            error = answer.error
            raise RpcError(error.code, one_line(error.message), error.data)
        if answer.id != _REQUEST_ID or not isinstance(answer.result, str):
            raise self._lost("not the answer to a subscription")
        self._name = answer.result

    async def next(self, seconds: float) -> Any:
        """Return the next news, or None if none come within so many seconds. Raises StreamLost."""
        try:
            arrived = await self._socket.receive(max(seconds, _WAIT_SECONDS))
        except TimeoutError:
            return None
        message = self._read(arrived)
        if message.params is None or message.params.subscription != self._name:
            raise self._lost("not a notification")
        return message.params.result

    async def close(self) -> None:
        """Close the connection."""
        await self._socket.close()
        await self._session.close()

    def _read(self, arrived: aiohttp.WSMessage) -> _Message:
        if arrived.type is not aiohttp.WSMsgType.TEXT:
            raise self._lost("connection closed")
        try:
            return msgspec.json.decode(arrived.data, type=_Message)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise self._lost("not a JSON-RPC message") from None

    def _lost(self, why: str) -> StreamLost:
        return StreamLost(f"no news from {self._url}: {why}")


async def open_stream(url: str, token: str | None, **params: Any) -> Stream:
    """Subscribe at the node with this HTTP URL; `params` are those of the method `subscribe`.

    URL and token are such as RpcClient takes. Raises RpcError when the node refuses, StreamLost
    when it cannot be reached or offers no WebSocket.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    session = aiohttp.ClientSession(headers=headers)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            socket = await session.ws_connect(
                url.rstrip("/") + _SOCKET_PATH,
                heartbeat=HEARTBEAT_SECONDS,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(
                    ws_close=_CLOSE_SECONDS  # pyright: ignore[reportCallIssue]
                ),
            )
            stream = Stream(url, session, socket)
            await stream.subscribe(params)
            return stream
    except TimeoutError:
        await session.close()
        raise StreamLost(f"no news from {url}: no answer in {OPEN_SECONDS:g} seconds") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        await session.close()
        raise StreamLost(f"no news from {url}: {one_line(str(error))}") from None
    except BaseException:
        await session.close()
        raise
