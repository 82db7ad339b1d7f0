"""A WebSocket to a node in a test: calls on it, and what arrives in between."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

PATIENCE = 20.0
"""Seconds after which a test gives up; nothing takes that long."""


class Refused(Exception):
    """The node answered a call with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]


class Line:
    """One connection; one call at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self.socket = socket
        self._news: deque[dict[str, Any]] = deque()
        self._calls = 0

    async def send(self, document: Any) -> None:
        await self.socket.send_str(document if isinstance(document, str) else json.dumps(document))

    async def receive(self) -> Any:
        """Return the next message; raises TypeError when the connection is closed."""
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.socket.receive_str())

    async def ask(self, method: str, **params: Any) -> Any:
        """Return a method's result. Raises Refused."""
        self._calls += 1
        await self.send({"jsonrpc": "2.0", "id": self._calls, "method": method, "params": params})
        while "method" in (answer := await self.receive()):
            self._news.append(answer)
        assert answer["id"] == self._calls
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    async def news(self, subscription: str) -> Any:
        """Return the next result of a subscription; those of others must not come before it."""
        message = self._news.popleft() if self._news else await self.receive()
        assert (message["jsonrpc"], message["method"]) == ("2.0", "subscription")
        assert set(message) == {"jsonrpc", "method", "params"}
        assert message["params"]["subscription"] == subscription
        return message["params"]["result"]

    async def closed(self) -> int | None:
        """Wait for the end and return the code of the node's close frame, if one came."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.socket.receive()
                if message.type is aiohttp.WSMsgType.CLOSE:
                    return message.data
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    return None


@asynccontextmanager
async def connected(rpc: Any, *, with_token: bool = True, **more: Any) -> AsyncGenerator[Line]:
    """Open a WebSocket to a caller's node."""
    headers = {"Authorization": f"Bearer {rpc.token}"} if with_token else {}
    headers |= more.pop("headers", {})
    async with rpc.session.ws_connect(f"{rpc.url}/ws", headers=headers, **more) as socket:
        yield Line(socket)
