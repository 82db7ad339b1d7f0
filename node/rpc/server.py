"""JSON-RPC 2.0 over HTTP POST / (https://www.jsonrpc.org/specification), bounded on every side.

Without the token a request may be small only: whoever may not send a transaction has nothing large
to say. Batches run in order, and their answers together are bounded.
"""

import asyncio
import contextlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from aiohttp import web

from ...core.errors import UserError
from ...p2p.listener import BoundedServer
from ..token import is_bearer
from ..worker import FATAL
from .context import Context
from .errors import Code, RpcFailure, failure_of
from .methods import ALL_METHODS
from .registry import Method, Where

_log: Final = structlog.get_logger(__name__)

MAX_REQUEST_BYTES: Final = 32 << 20
MAX_OPEN_REQUEST_BYTES: Final = 64 << 10
"""Of a request without the token."""
MAX_ANSWER_BYTES: Final = 60 << 20
MAX_SENDING_BYTES: Final = 256 << 20
"""Of answers that clients have not read yet, all together."""
MAX_BATCH: Final = 64
MAX_CONCURRENT: Final = 256
"""Requests under way, their answers' sending included; most of them are miners' long polls."""
MAX_OPEN_CONCURRENT: Final = 64
"""Of those, requests without the token: nobody shall keep the node's owner out."""
MAX_CONNECTIONS: Final = 512
_READERS: Final = 4
_READ_SECONDS: Final = 30.0
"""For a request to arrive, and for another to follow it."""
_WRITE_SECONDS: Final = 60.0
"""For an answer to be read."""
_SHUTDOWN_SECONDS: Final = 5.0
_MAX_ID_CHARS: Final = 256
_MAX_ID_BITS: Final = 256
_ABSENT: Final = object()


class RpcServer:
    """Serves a node's methods on one host and port."""

    def __init__(self, context: Context, token: str) -> None:
        self._context: Final = context
        self._token: Final = token
        self._readers: Final = ThreadPoolExecutor(_READERS, thread_name_prefix="rpc")
        self._under_way = 0
        self._open_under_way = 0
        self._sending = 0
        self._runner: web.ServerRunner | None = None
        self.port = 0
        """The port listened on, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises UserError when the address cannot be listened on."""
        server = BoundedServer(self._on_request, MAX_CONNECTIONS, _READ_SECONDS)
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

    async def stop(self) -> None:
        """Answer what is under way, then stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._readers.shutdown(wait=True, cancel_futures=True)

    async def _on_request(self, request: web.BaseRequest) -> web.Response:
        if request.path != "/":
            return web.Response(status=404)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        if "Content-Encoding" in request.headers:
            # Nothing here is worth packing, and unpacking strangers' bytes is worth avoiding.
            return web.Response(status=415, headers={"Accept-Encoding": "identity"})
        has_token = is_bearer(request.headers.get("Authorization", ""), self._token)
        if self._under_way >= MAX_CONCURRENT or (
            not has_token and self._open_under_way >= MAX_OPEN_CONCURRENT
        ):
            return _response(503, _failed(None, _too_large("too many requests are under way")))
        self._under_way += 1
        self._open_under_way += not has_token
        try:
            response = await self._answer(request, has_token)
            return await self._send(request, response)
        finally:
            self._under_way -= 1
            self._open_under_way -= not has_token

    async def _answer(self, request: web.BaseRequest, has_token: bool) -> web.Response:
        try:
            body = await _read(request, MAX_REQUEST_BYTES if has_token else MAX_OPEN_REQUEST_BYTES)
        except TimeoutError:
            return _response(408, _failed(None, _too_large("the request took too long to arrive")))
        if body is None:
            if not has_token:
                failure = RpcFailure(Code.TOKEN_MISSING, "a request of this size needs the token")
                return _response(401, _failed(None, failure))
            return _response(413, _failed(None, _too_large("the request is too large")))
        try:
            document = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            failure = RpcFailure(Code.PARSE, "the request is not JSON")
            return _response(200, _failed(None, failure))
        if isinstance(document, list):
            return await self._answer_batch(document, has_token)
        answer = await self._answer_one(document, has_token)
        if answer is None:
            return web.Response(status=204)
        return _response(401 if _lacks_token(answer) else 200, answer)

    async def _send(self, request: web.BaseRequest, response: web.Response) -> web.Response:
        """Send an answer to its last byte; drop a client that does not read it."""
        size = response.content_length or 0
        if self._sending + size > MAX_SENDING_BYTES:
            response = _response(503, _failed(None, _too_large("too much is being sent already")))
            size = response.content_length or 0
        self._sending += size
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._sending -= size
        return response

    async def _answer_batch(self, batch: list[Any], has_token: bool) -> web.Response:
        if not batch or len(batch) > MAX_BATCH:
            failure = RpcFailure(
                Code.INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} requests, not {len(batch)}"
            )
            return _response(200, _failed(None, failure))
        answers: list[str] = []
        room = MAX_ANSWER_BYTES
        for entry in batch:
            answer = await self._answer_one(entry, has_token)
            if answer is None:
                continue
            text = json.dumps(answer)
            if len(text) > room:
                failure = _too_large("the answers of this batch are too large together")
                text = json.dumps(_failed(answer["id"], failure))
            room -= len(text)
            answers.append(text)
        if not answers:
            return web.Response(status=204)
        return web.Response(text=f"[{','.join(answers)}]", content_type="application/json")

    async def _answer_one(self, entry: Any, has_token: bool) -> dict[str, Any] | None:
        """Return the response to one request object, None to a notification."""
        identity: Any = None
        try:
            method_name, params, identity = _parse(entry)
            method = ALL_METHODS.get(method_name)
            if method is None:
                raise RpcFailure(Code.METHOD_NOT_FOUND, f"there is no method '{method_name[:64]}'")
            if method.needs_token and not has_token:
                raise RpcFailure(
                    Code.TOKEN_MISSING,
                    f"{method.name} needs the token that is in the node's data folder",
                )
            result = await self._run(method, method.bind(params))
        except Exception as error:
            failure = self._judge(error)
            if identity is _ABSENT:
                return None
            return _failed(identity, failure)
        return None if identity is _ABSENT else _succeeded(identity, result)

    async def _run(self, method: Method, arguments: dict[str, Any]) -> Any:
        if method.where is Where.LOOP:
            return await method.function(self._context, **arguments)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read_state, method, arguments)

    def _read_state(self, method: Method, arguments: dict[str, Any]) -> Any:
        locked = method.where is Where.LOCKED
        with self._context.chain.lock if locked else contextlib.nullcontext():
            return method.function(self._context, **arguments)

    def _judge(self, error: Exception) -> RpcFailure:
        """Return what the client is told; what it cannot be blamed for goes to the log."""
        if isinstance(error, FATAL):
            self._context.fail(error)
        failure = failure_of(error)
        if failure is None:
            _log.error("rpc.failed", exc_info=error)
            return RpcFailure(Code.INTERNAL, "internal error; the node's log says more")
        return failure


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


def _parse(entry: Any) -> tuple[str, Any, Any]:
    """Split a request object into method, params and id; `_ABSENT` marks a notification.

    Raises RpcFailure.
    """
    if not isinstance(entry, dict):
        raise RpcFailure(Code.INVALID_REQUEST, "a request is an object")
    fields: dict[str, Any] = entry
    identity = fields.get("id", _ABSENT)
    known = identity is _ABSENT or identity is None or _is_id(identity)
    method = fields.get("method")
    if fields.get("jsonrpc") != "2.0" or not isinstance(method, str) or not known:
        raise RpcFailure(
            Code.INVALID_REQUEST, 'a request has "jsonrpc": "2.0", a method and a plain id'
        )
    return method, fields.get("params"), identity


def _is_id(identity: Any) -> bool:
    if isinstance(identity, bool):
        return False
    if isinstance(identity, str):
        return len(identity) <= _MAX_ID_CHARS
    if isinstance(identity, float):
        return math.isfinite(identity)
    return isinstance(identity, int) and identity.bit_length() <= _MAX_ID_BITS


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _too_large(message: str) -> RpcFailure:
    return RpcFailure(Code.TOO_LARGE, message)


def _succeeded(identity: Any, result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def _failed(identity: Any, failure: RpcFailure) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "error": failure.as_object()}


def _lacks_token(answer: dict[str, Any]) -> bool:
    return answer.get("error", {}).get("code") == Code.TOKEN_MISSING


def _response(status: int, answer: dict[str, Any]) -> web.Response:
    return web.Response(status=status, text=json.dumps(answer), content_type="application/json")
