"""The node behind its JSON-RPC: who is asked, and whether it is there at the moment."""

import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import structlog

from ..core.errors import UserError
from ..genesis import Params
from ..wallet.answers import Info, ask
from ..wallet.client import DEFAULT_TIMEOUT, UNAUTHORISED, RpcClient, RpcError
from ..wallet.stream import Stream, open_stream

_log = structlog.get_logger(__name__)

BACKOFF_FIRST: Final = 0.25
BACKOFF_LIMIT: Final = 5.0
"""Seconds between attempts to reach a node that is away."""


TokenSource: TypeAlias = Callable[[], str | None]


def no_token() -> None:
    """The token of a node that asks for none."""


class NodeAway(UserError):
    """The node could not be reached, or did not answer as a node does. Try again later."""


class NodeLink(RpcClient):
    """An RpcClient that says, once each time, when its node goes away and when it is back.

    A node draws its token anew at every start, so the token is read again when a call fails.
    """

    def __init__(
        self, url: str, token: TokenSource = no_token, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """See RpcClient; `token` returns the token as of now, None where there is none."""
        super().__init__(url, timeout=timeout)
        self._lock = threading.Lock()
        self._read_token = token
        self._token = token()
        self._client = RpcClient(url, self._token, timeout)
        self._trouble = ""

    @property
    def away(self) -> bool:
        """Whether the last call failed to get an answer."""
        return bool(self._trouble)

    def call(self, method: str, /, **params: Any) -> Any:
        """Return a method's result. Raises RpcError when refused, NodeAway without an answer."""
        try:
            answer = self._client.call(method, **params)
        except RpcError as refusal:
            if refusal.code == UNAUTHORISED and self._renew_token():
                return self.call(method, **params)
            self._reached()
            raise
        except UserError as error:
            if self._renew_token():
                return self.call(method, **params)
            self._failed(str(error))
            raise NodeAway(str(error)) from None
        self._reached()
        return answer

    async def subscribe(self, **params: Any) -> Stream:
        """Open a subscription. Raises RpcError when refused, StreamLost without a connection."""
        try:
            stream = await open_stream(self.url, self._token, **params)
        except RpcError as refusal:
            if refusal.code == UNAUTHORISED and self._renew_token():
                return await self.subscribe(**params)
            raise
        self._reached()
        return stream

    def require_network(self, params: Params) -> None:
        """Raise UserError when the node serves another network than `params`."""
        info = ask(self, Info, "getinfo")
        if info.chain_id != params.chain_id:
            raise UserError(
                f"the node at {self.url} serves {info.network[:64]!r}, "
                f"the wallet is for {params.name}: choose another node or wallet"
            )

    def _renew_token(self) -> bool:
        """Return whether there is another token than the last call had."""
        token = self._read_token()
        with self._lock:
            if token is None or token == self._token:
                return False
            self._token = token
            self._client = RpcClient(self.url, token, self._timeout)
            return True

    def _failed(self, why: str) -> None:
        with self._lock:
            if self._trouble != why:
                _log.warning("node.away", why=why)
            self._trouble = why

    def _reached(self) -> None:
        with self._lock:
            if self._trouble:
                _log.info("node.back", url=self.url)
            self._trouble = ""
