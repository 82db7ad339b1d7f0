"""JSON-RPC 2.0 to a node over HTTP, one request at a time (https://www.jsonrpc.org/specification).

Parameters travel by name, hashes and binary data as lowercase hex, amounts as integers of base
units, addresses as bech32m text. The node is believed only as far as its answers are well formed:
whatever it sends, the caller sees a value or a one-line UserError.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

import msgspec

from ..core.errors import UserError

MAX_RESPONSE_BYTES: Final = 64 << 20
DEFAULT_TIMEOUT: Final = 30.0
"""Seconds a node may stay silent."""

UNAUTHORISED: Final = -32001
"""Code of a refusal for want of the node's token."""
METHOD_NOT_FOUND: Final = -32601
"""Code of JSON-RPC 2.0 for a method that this node does not have."""

_MAX_MESSAGE_CHARS: Final = 500
_READ_BYTES: Final = 1 << 20
_SLOWEST_BYTES_PER_SECOND: Final = 16 * 1024
"""An answer may take this long beyond the timeout."""
_REQUEST_ID: Final = 1  # one request per connection, so one id is enough
_NOT_ALLOWED: Final = (401, 403)

_Connect = Callable[[], http.client.HTTPConnection]


class RpcError(UserError):
    """The node understood the request and refused it: JSON-RPC code, message and details."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class RpcClient:
    """Calls the methods of one node. Safe to share: every call has a connection of its own."""

    def __init__(
        self, url: str, token: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """Prepare for the node at `url` ("http://127.0.0.1:9332"); nothing is sent yet.

        `token` opens the methods that spend or change. Raises UserError when URL or token cannot
        be used.
        """
        parts = _split_url(url)
        self.url = url
        self._connect = _connector(parts, timeout)
        self._timeout = timeout
        self._path = parts.path or "/"
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if token is not None:
            if not token.isascii() or not token.isprintable() or " " in token or not token:
                raise UserError("the node's token is not usable: copy it again from its file")
            self._headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, /, **params: Any) -> Any:
        """Return the result of a method, as JSON values.

        Raises RpcError when the node refuses, UserError when it cannot be reached, takes too long
        or answers with something that is not a JSON-RPC response of at most MAX_RESPONSE_BYTES.
        """
        request = {"jsonrpc": "2.0", "id": _REQUEST_ID, "method": method, "params": params}
        status, body = self._exchange(json.dumps(request).encode())
        if status in _NOT_ALLOWED:
            raise RpcError(
                UNAUTHORISED,
                f"the node at {self.url} refuses '{method}' without its token: "
                "pass the one in its data folder",
            )
        try:
            response: Any = msgspec.json.decode(body)  # refuses lone surrogates, unlike json
        except (ValueError, RecursionError):
            raise self._foreign(status, "not JSON") from None
        return self._result(status, response)

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        connection = self._connect()
        try:
            connection.request("POST", self._path, request, self._headers)
            response = connection.getresponse()
            return response.status, self._read(response)
        except TimeoutError:
            raise UserError(
                f"the node at {self.url} did not answer within {self._timeout:g} seconds"
            ) from None
        except ssl.SSLError as error:
            raise UserError(f"no secure connection to {self.url}: {error.reason}") from None
        except (OSError, UnicodeError):  # UnicodeError: a host name that no resolver can take
            raise UserError(
                f"no node answers at {self.url}: start one with `pouw node run`"
            ) from None
        except (http.client.HTTPException, ValueError):
            raise UserError(f"{self.url} does not speak HTTP as a node does") from None
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """Read in pieces, so that an announced length is not allocated before it arrives.

        Raises TimeoutError for a node that keeps the line busy with next to nothing.
        """
        pieces: list[bytes] = []
        total = 0
        started = time.monotonic()
        while piece := response.read1(_READ_BYTES):
            total += len(piece)
            if time.monotonic() - started > self._timeout + total / _SLOWEST_BYTES_PER_SECOND:
                raise TimeoutError
            if total > MAX_RESPONSE_BYTES:
                raise UserError(f"{self.url} answers with more than {MAX_RESPONSE_BYTES} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _result(self, status: int, response: Any) -> Any:
        if not isinstance(response, dict):
            raise self._foreign(status, "not a JSON-RPC response")
        fields = cast(dict[str, Any], response)
        if fields.get("jsonrpc") != "2.0" or ("result" in fields) == ("error" in fields):
            raise self._foreign(status, "not a JSON-RPC response")
        if "error" in fields:
            raise self._error(status, fields["error"])
        if fields.get("id") != _REQUEST_ID:
            raise self._foreign(status, "the response to another request")
        return fields["result"]

    def _error(self, status: int, error: Any) -> UserError:
        if not isinstance(error, dict):
            return self._foreign(status, "a malformed error")
        fields = cast(dict[str, Any], error)
        code, message = fields.get("code"), fields.get("message")
        if not isinstance(code, int) or not isinstance(message, str):
            return self._foreign(status, "a malformed error")
        return RpcError(code, one_line(message), fields.get("data"))

    def _foreign(self, status: int, what: str) -> UserError:
        return UserError(f"{self.url} is not a node of this network: HTTP {status}, {what}")


def _split_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url(url) from None
    plain = url.isascii() and url.isprintable() and " " not in url
    extras = parts.username is not None or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or extras:
        raise _bad_url(url)
    if port == 0:
        raise _bad_url(url)
    return parts


def _connector(parts: SplitResult, timeout: float) -> _Connect:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    host, port = parts.hostname or "", parts.port

    def connect() -> http.client.HTTPConnection:
        return kind(host, port, timeout=timeout)

    return connect


def _bad_url(url: str) -> UserError:
    return UserError(f"'{one_line(url)}' is not a node's address: write http://127.0.0.1:PORT")


def one_line(text: str) -> str:
    """What a node wrote, made fit to show: printable, on one line, of bounded length."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in words)[:_MAX_MESSAGE_CHARS]
