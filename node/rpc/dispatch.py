"""From the text of a request to the text of its answer (https://www.jsonrpc.org/specification).

The same for every transport. Batches run in order, and their answers together are bounded.
"""

import asyncio
import json
import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from ..worker import FATAL
from .admission import too_large
from .context import Context
from .errors import Code, RpcFailure, failure_of
from .methods import ALL_METHODS
from .readers import Readers
from .registry import Method, MethodTable, Where

_log: Final = structlog.get_logger(__name__)

MAX_ANSWER_BYTES: Final = 60 << 20
MAX_OPEN_BATCH_BYTES: Final = 4 << 20
"""Of the answers of a batch without the token: they wait for each other, in the memory of as many
requests as strangers may have under way. What is larger is to be asked for by itself."""
MAX_BATCH: Final = 64
_MAX_ID_CHARS: Final = 256
_MAX_ID_BITS: Final = 256
_ABSENT: Final = object()


class Caller(Protocol):
    """Who sends a request."""

    @property
    def has_token(self) -> bool:
        """Whether it has shown the node's token."""
        ...

    @property
    def methods(self) -> MethodTable:
        """Methods of its connection beside those of the node; they take the caller first."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request gets back."""

    text: str | None
    """None where only notifications came."""
    lacks_token: bool = False
    """Whether a single request was refused for want of the token."""


class Dispatcher:
    """Answers requests with the methods of a node."""

    def __init__(self, context: Context, readers: Readers, strangers: Readers) -> None:
        """`readers` are for who has the token, `strangers` for who has not."""
        self._context: Final = context
        self._readers: Final = readers
        self._strangers: Final = strangers

    async def answer(self, body: bytes | str, caller: Caller) -> Reply:
        """Answer a request or a batch; whatever it contains, this does not raise."""
        try:
            document = _load(body)
        except RpcFailure as failure:
            return _reply(_failed(None, failure))
        if isinstance(document, list):
            return await self._answer_batch(document, caller)
        return _reply(await self._answer_one(document, caller))

    def judge(self, error: Exception) -> RpcFailure:
        """Return what a client is told; what it cannot be blamed for goes to the log."""
        if isinstance(error, FATAL):
            self._context.fail(error)
        failure = failure_of(error)
        if failure is None:
            _log.error("rpc.failed", exc_info=error)
            return RpcFailure(Code.INTERNAL, "internal error; the node's log says more")
        return failure

    async def _answer_batch(self, batch: list[Any], caller: Caller) -> Reply:
        if not batch or len(batch) > MAX_BATCH:
            failure = RpcFailure(
                Code.INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} requests, not {len(batch)}"
            )
            return _reply(_failed(None, failure))
        answers: list[str] = []
        room = MAX_ANSWER_BYTES if caller.has_token else MAX_OPEN_BATCH_BYTES
        for entry in batch:
            await asyncio.sleep(0)  # a turn for others
            answer = await self._answer_one(entry, caller)
            if answer is None:
                continue
            text = json.dumps(answer)
            if len(text) > room:
                failure = too_large("the answers of this batch are too large together")
                text = json.dumps(_failed(answer["id"], failure))
            room -= len(text)
            answers.append(text)
        return Reply(f"[{','.join(answers)}]" if answers else None)

    async def _answer_one(self, entry: Any, caller: Caller) -> dict[str, Any] | None:
        """Return the response to one request object, None to a notification."""
        identity: Any = None
        try:
            name, params, identity = _parse(entry)
            result = await self._call(name, params, caller)
        except Exception as error:
            failure = self.judge(error)
            return None if identity is _ABSENT else _failed(identity, failure)
        return None if identity is _ABSENT else _succeeded(identity, result)

    async def _call(self, name: str, params: Any, caller: Caller) -> Any:
        subject: Any = self._context
        method = ALL_METHODS.get(name)
        if method is None:
            subject, method = caller, caller.methods.get(name)
        if method is None:
            raise RpcFailure(Code.METHOD_NOT_FOUND, f"there is no method '{name[:64]}'")
        if method.needs_token:
            require_token(caller, method.name)
        readers = self._readers if caller.has_token else self._strangers
        return await _run(readers, method, subject, method.bind(params))


async def _run(readers: Readers, method: Method, subject: Any, arguments: dict[str, Any]) -> Any:
    match method.where:
        case Where.LOOP:
            return await method.function(subject, **arguments)
        case Where.LOCKED:
            return await readers.read(lambda: method.function(subject, **arguments))
        case Where.UNLOCKED:
            return await readers.scan(lambda: method.function(subject, **arguments))


def require_token(caller: Caller, what: str) -> None:
    """Raise RpcFailure unless the caller has shown the token."""
    if not caller.has_token:
        raise RpcFailure(
            Code.TOKEN_MISSING, f"{what} needs the token that is in the node's data folder"
        )


def refusal(failure: RpcFailure, body: bytes | str | None = None) -> str:
    """Return the answer to a request that is not looked into, but for its id."""
    identity: Any = None
    if body is not None:
        try:
            _, _, identity = _parse(_load(body))
        except RpcFailure:
            identity = None
    return json.dumps(_failed(None if identity is _ABSENT else identity, failure))


def _load(body: bytes | str) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RpcFailure(Code.PARSE, "the request is not JSON") from None


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


def _succeeded(identity: Any, result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def _failed(identity: Any, failure: RpcFailure) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "error": failure.as_object()}


def _reply(answer: dict[str, Any] | None) -> Reply:
    if answer is None:
        return Reply(None)
    lacks_token = answer.get("error", {}).get("code") == Code.TOKEN_MISSING
    return Reply(json.dumps(answer), lacks_token)
