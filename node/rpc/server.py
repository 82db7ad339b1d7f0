"""JSON-RPC over HTTP POST / and over WebSockets at /ws, bounded on every side.

Without the token a request may be small only: whoever may not send a transaction has nothing large
to say. Web pages of others are turned away.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from ...core.errors import UserError
from ..token import is_bearer
from .admission import Admission, too_large
from .context import Context
from .dispatch import Dispatcher, refusal
from .doors import Doors
from .errors import Code, RpcFailure
from .origin import is_foreign_page
from .readers import Readers
from .registry import MethodTable
from .sockets import MAX_OPEN_REQUEST_BYTES, MAX_REQUEST_BYTES, SOCKET_PATH, SocketServer
from .topics import Topics

MAX_CONNECTIONS: Final = 512
_READ_SECONDS: Final = 30.0
"""For a request to arrive, and for another to follow it."""
_WRITE_SECONDS: Final = 60.0
"""For an answer to be read."""
_SHUTDOWN_SECONDS: Final = 5.0
_THREADS: Final = 4
"""That read for who has shown the token, and for subscriptions."""
_STRANGERS_THREADS: Final = 2
"""That read for all others: whatever these ask for, the owner's questions do not wait behind it."""
_NO_METHODS: Final = MethodTable()


@dataclass(frozen=True, slots=True)
class _Poster:
    """Who sends a request by HTTP."""

    has_token: bool

    @property
    def methods(self) -> MethodTable:
        return _NO_METHODS


class RpcServer:
    """Serves a node's methods on one host and port."""

    def __init__(self, context: Context, token: str) -> None:
        self._context: Final = context
        self._token: Final = token
        self._readers: Final = Readers(context.chain.lock, _THREADS)
        self._strangers: Final = Readers(context.chain.lock, _STRANGERS_THREADS)
        self._dispatcher: Final = Dispatcher(context, self._readers, self._strangers)
        self._admission: Final = Admission()
        self._topics: Final = Topics(context, self._readers, self._dispatcher.judge)
        self._sockets: Final = SocketServer(self._dispatcher, self._admission, self._topics, token)
        self._runner: web.ServerRunner | None = None
        self.port = 0
        """The port listened on, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises UserError when the address cannot be listened on."""
        server = Doors(self._on_request, MAX_CONNECTIONS, _READ_SECONDS)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise UserError(
                f"cannot listen for RPC on {host} port {port}: {error.strerror};"
                " choose another port or stop the program that uses it"
            ) from None
        self._runner = runner
        self.port = runner.addresses[0][1]
        self._topics.start()

    async def stop(self) -> None:
        """Answer what is under way, then stop listening."""
        if self._runner is not None:
            await self._sockets.stop()
            await self._topics.stop()
            await self._runner.cleanup()
            self._runner = None
        self._readers.close()
        self._strangers.close()

    async def _on_request(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path not in ("/", SOCKET_PATH):
            return web.Response(status=404)
        if is_foreign_page(request.headers):
            return web.Response(status=403, text="pages of other sites may not use this node")
        has_token = is_bearer(request.headers.get("Authorization", ""), self._token)
        if request.path == SOCKET_PATH:
            return await self._sockets.accept(request, has_token)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        if "Content-Encoding" in request.headers:
            # Nothing here is worth packing, and unpacking strangers' bytes is worth avoiding.
            return web.Response(status=415, headers={"Accept-Encoding": "identity"})
        try:
            with self._admission.request(has_token):
                response = await self._answer(request, has_token)
                with self._admission.answer(response.content_length or 0, has_token):
                    return await _send(request, response)
        except RpcFailure as failure:
            return await _send(request, _response(503, refusal(failure)))

    async def _answer(self, request: web.BaseRequest, has_token: bool) -> web.Response:
        try:
            body = await _read(request, MAX_REQUEST_BYTES if has_token else MAX_OPEN_REQUEST_BYTES)
        except TimeoutError:
            return _response(408, refusal(too_large("the request took too long to arrive")))
        if body is None:
            if not has_token:
                failure = RpcFailure(Code.TOKEN_MISSING, "a request of this size needs the token")
                return _response(401, refusal(failure))
            return _response(413, refusal(too_large("the request is too large")))
        reply = await self._dispatcher.answer(body, _Poster(has_token))
        if reply.text is None:
            return web.Response(status=204)
        return _response(401 if reply.lacks_token else 200, reply.text)


async def _read(request: web.BaseRequest, limit: int) -> bytes | None:
    """Read a body of at most `limit` bytes; None when it is longer."""
    if request.content_length is not None and request.content_length > limit:
        return None
    body = bytearray()
    async with asyncio.timeout(_READ_SECONDS):
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > limit:
                return None
    return bytes(body)


async def _send(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Send an answer to its last byte; drop a client that does not read it."""
    try:
        async with asyncio.timeout(_WRITE_SECONDS):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


def _response(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/json")
