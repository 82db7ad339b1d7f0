"""How much may be under way at once, over HTTP and WebSockets together."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from .errors import Code, RpcFailure

MAX_CONCURRENT: Final = 256
"""Requests under way, their answers' sending included; most of them are miners' long polls."""
MAX_OPEN_CONCURRENT: Final = 64
"""Of those, requests without the token: nobody shall keep the node's owner out."""
MAX_SENDING_BYTES: Final = 256 << 20
"""Of answers that clients have not read yet, all together."""
MAX_OPEN_SENDING_BYTES: Final = 128 << 20
"""Of those, answers to requests without the token."""


class Admission:
    """Counts what is under way and refuses what would be too much."""

    def __init__(self) -> None:
        self._under_way = 0
        self._open_under_way = 0
        self._sending = 0
        self._open_sending = 0

    @contextmanager
    def request(self, has_token: bool) -> Generator[None]:
        """Count one request while it is under way. Raises RpcFailure."""
        if self._under_way >= MAX_CONCURRENT or (
            not has_token and self._open_under_way >= MAX_OPEN_CONCURRENT
        ):
            raise too_large("too many requests are under way")
        self._under_way += 1
        self._open_under_way += not has_token
        try:
            yield
        finally:
            self._under_way -= 1
            self._open_under_way -= not has_token

    @contextmanager
    def answer(self, size: int, has_token: bool) -> Generator[None]:
        """Count an answer's bytes while it is being sent. Raises RpcFailure."""
        open_size = 0 if has_token else size
        if (
            self._sending + size > MAX_SENDING_BYTES
            or self._open_sending + open_size > MAX_OPEN_SENDING_BYTES
        ):
            raise too_large("too much is being sent already")
        self._sending += size
        self._open_sending += open_size
        try:
            yield
        finally:
            self._sending -= size
            self._open_sending -= open_size


def too_large(message: str) -> RpcFailure:
    """Return the failure of a request that exceeds a bound."""
    return RpcFailure(Code.TOO_LARGE, message)
