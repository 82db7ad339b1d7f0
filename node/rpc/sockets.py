"""JSON-RPC over WebSockets (RFC 6455): one request or batch per text frame, answers in any order.

Everything is bounded: connections, frames, calls under way, subscriptions, and the time a client
may take to read what it was sent. Who does not answer a ping is dropped.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from .admission import Admission, too_large
from .dispatch import Dispatcher, refusal
from .errors import RpcFailure
from .session import Call, Closed, Session
from .topics import Topics

SOCKET_PATH: Final = "/ws"
MAX_REQUEST_BYTES: Final = 32 << 20
MAX_OPEN_REQUEST_BYTES: Final = 64 << 10
"""Of a request without the token. For a WebSocket the header decides that opened it."""
MAX_SOCKETS: Final = 256
MAX_OPEN_SOCKETS: Final = 64
"""Of those, connections that have not shown the token."""
MAX_CALLS: Final = 16
"""Under way on one connection."""
_HEARTBEAT_SECONDS: Final = 40.0
"""Between pings; a client has half as long to answer."""
_WRITE_SECONDS: Final = 60.0
"""For a message to be read."""
_CLOSE_SECONDS: Final = 2.0
"""For the other end to close, too."""
_GRACE_SECONDS: Final = 5.0
"""For calls under way when the node stops."""
_TAKEN: Final = (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG)


class SocketServer:
    """Holds the WebSockets of one node."""

    def __init__(
        self, dispatcher: Dispatcher, admission: Admission, topics: Topics, token: str
    ) -> None:
        self.dispatcher: Final = dispatcher
        self.admission: Final = admission
        self.topics: Final = topics
        self.token: Final = token
        self.connections: Final[set[Connection]] = set()
        self._is_closing = False

    async def accept(self, request: web.BaseRequest, has_token: bool) -> web.StreamResponse:
        """Serve a WebSocket to its end, or say why not."""
        socket = web.WebSocketResponse(
            timeout=_CLOSE_SECONDS,
            heartbeat=_HEARTBEAT_SECONDS,
            autoping=False,
            compress=False,
            max_msg_size=MAX_REQUEST_BYTES if has_token else MAX_OPEN_REQUEST_BYTES,
        )
        if not socket.can_prepare(request):
            return web.Response(status=426, text="a WebSocket is expected here")
        if self._is_closing or self._is_full(has_token):
            return web.Response(status=503, text="no more WebSockets at the moment")
        connection = Connection(self, request, socket, has_token)
        self.connections.add(connection)
        try:
            await socket.prepare(request)
            await connection.serve()
        except ConnectionError:
            return socket  # gone before the handshake
        finally:
            self.connections.discard(connection)
            connection.let_go()
        return socket

    async def stop(self) -> None:
        """Answer what is under way, then close all connections."""
        self._is_closing = True
        await asyncio.gather(*(each.shut_down() for each in self.connections))

    def _is_full(self, has_token: bool) -> bool:
        if len(self.connections) >= MAX_SOCKETS:
            return True
        strangers = sum(not each.has_token for each in self.connections)
        return not has_token and strangers >= MAX_OPEN_SOCKETS


class Connection:
    """One WebSocket: reads requests, answers them, and sends notifications in between."""

    def __init__(
        self,
        server: SocketServer,
        request: web.BaseRequest,
        socket: web.WebSocketResponse[Any],
        has_token: bool,
    ) -> None:
        self._dispatcher: Final = server.dispatcher
        self._admission: Final = server.admission
        self._session: Final = Session(
            server.topics, server.token, has_token, self._send, self._fail
        )
        self._transport: Final = request.transport
        self._socket: Final = socket
        self._turn: Final = asyncio.Lock()
        self._calls: Final[set[asyncio.Task[None]]] = set()

    @property
    def has_token(self) -> bool:
        """Whether the client has shown the token."""
        return self._session.has_token

    async def serve(self) -> None:
        """Answer requests until either side closes."""
        try:
            while (message := await self._socket.receive()).type in _TAKEN:
                await self._take(message)
                # A client that sends without pause has one message taken at a time, like others.
                await asyncio.sleep(0)
                if self._transport is None or self._transport.is_closing():
                    return  # nobody is left who would hear the answers to what still waits
            if message.type is WSMsgType.BINARY:
                await self._close(WSCloseCode.UNSUPPORTED_DATA, b"requests are text")
        except Closed:
            return
        finally:
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            await self._session.close()

    async def shut_down(self) -> None:
        """Finish what is under way and close: the node stops."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_GRACE_SECONDS)
        await self._close(WSCloseCode.GOING_AWAY, b"the node stops")

    def let_go(self) -> None:
        """End the TCP connection soon: one that is not read would otherwise stay for ever."""
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._abort)

    async def _take(self, message: WSMessage) -> None:
        match message.type:
            case WSMsgType.TEXT:
                await self._take_request(message.data)
            case WSMsgType.PING:
                await self._write(lambda: self._socket.pong(message.data))
            case _:
                return  # a pong; aiohttp has seen that something came

    async def _take_request(self, text: str) -> None:
        if len(self._calls) >= MAX_CALLS:
            failure = too_large(f"{MAX_CALLS} calls are under way on this connection")
            await self._send(refusal(failure, text))
            return
        call = asyncio.create_task(self._answer(text))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _answer(self, text: str) -> None:
        call = Call(self._session)
        try:
            with self._admission.request(call.has_token):
                reply = await self._dispatcher.answer(text, call)
                if reply.text is not None:
                    with self._admission.answer(len(reply.text), call.has_token):
                        await self._send(reply.text)
            call.answered()
        except RpcFailure as failure:
            call.refused()
            with contextlib.suppress(Closed):
                await self._send(refusal(failure, text))
        except Closed:
            return

    async def _send(self, text: str) -> None:
        """Send a message and wait until most of it is on its way. Raises Closed."""
        await self._write(lambda: self._socket.send_str(text))

    async def _write(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write when what came before is on its way. Raises Closed."""
        async with self._turn:
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await write()
            except TimeoutError:
                self._abort()
                raise Closed from None
            except (ConnectionError, RuntimeError):
                raise Closed from None

    def _fail(self, error: Exception) -> None:
        """End a connection whose subscription broke: silence would be taken for no news."""
        self._dispatcher.judge(error)
        self._abort()

    async def _close(self, code: WSCloseCode, reason: bytes) -> None:
        try:
            async with asyncio.timeout(2 * _CLOSE_SECONDS):
                await self._socket.close(code=code, message=reason)
        except (TimeoutError, ConnectionError, RuntimeError):
            self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
