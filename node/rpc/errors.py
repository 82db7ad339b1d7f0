"""Errors as clients see them: a code each, a one-line message, and data a program can act on.

−32700 … −32600   as JSON-RPC 2.0 has them
−32001            the method needs the token
−32004            no such thing
−32010            RuleViolation, data {"rule": …}
−32011            PolicyRejection, data {"reason": …}; "from-future" for a block too early
−32012            BodyMismatch
−32013            UserError
"""

from enum import IntEnum
from typing import Any, Final

from ...core.errors import (
    BodyMismatch,
    FromFuture,
    MissingParent,
    PolicyRejection,
    PouwError,
    RuleViolation,
    UserError,
)
from ..worker import FATAL

_MAX_MESSAGE_CHARS: Final = 500


class Code(IntEnum):
    """JSON-RPC error codes."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    TOO_LARGE = -32000
    TOKEN_MISSING = -32001
    NOT_FOUND = -32004
    RULE = -32010
    POLICY = -32011
    BODY = -32012
    USER = -32013


class RpcFailure(PouwError):
    """A request that gets an error for an answer."""

    def __init__(self, code: Code, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.data: Final = data

    def as_object(self) -> dict[str, Any]:
        """Return the `error` member of a response."""
        answer: dict[str, Any] = {
            "code": int(self.code),
            "message": self.message[:_MAX_MESSAGE_CHARS],
        }
        if self.data is not None:
            answer["data"] = self.data
        return answer


class NotFound(RpcFailure):
    """What was asked for does not exist here."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.NOT_FOUND, message)


def failure_of(error: Exception) -> RpcFailure | None:
    """Return how a client is told of an error, or None when the error is a bug of ours."""
    match error:
        case RpcFailure():
            return error
        case RuleViolation():
            return RpcFailure(Code.RULE, str(error), {"rule": error.rule})
        case PolicyRejection():
            return RpcFailure(Code.POLICY, str(error), {"reason": error.reason})
        case FromFuture():
            return RpcFailure(Code.POLICY, str(error), {"reason": "from-future"})
        case BodyMismatch():
            return RpcFailure(Code.BODY, str(error))
        case MissingParent():
            return NotFound(str(error))
        case UserError():
            return RpcFailure(Code.USER, str(error))
        case _ if isinstance(error, FATAL):
            return RpcFailure(Code.INTERNAL, f"the node stops: {error}")
        case _:
            return None
