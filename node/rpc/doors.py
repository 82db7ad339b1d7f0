"""aiohttp's low-level server with a bound on its TCP connections that idle ones cannot use up.

Anybody may open connections and ask for nothing. Were newcomers turned away while all places are
taken, whoever does that would keep the node's owner and his miner out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

_log: Final = structlog.get_logger(__name__)


class Doors(web.Server):
    """Holds a bounded number of connections; a newcomer takes the place of the oldest idle one."""

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        most: int,
        idle_seconds: float,
    ) -> None:
        """`answer` serves requests; who sends none for `idle_seconds` is dropped."""
        super().__init__(self._serve, access_log=None, keepalive_timeout=idle_seconds)
        self._answer: Final = answer
        self._most: Final = most
        self._busy: Final[set[RequestHandler]] = set()
        """Connections on which a request is being answered."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection in, and another out where there are too many."""
        super().connection_made(handler, transport)
        if len(self.connections) <= self._most:
            return
        # In the order in which they came; of those lost, some end what they were doing.
        others = [
            (each, each.transport)
            for each in self.connections
            if each is not handler and each.transport and not each.transport.is_closing()
        ]
        if len(others) < self._most:
            return
        for each, held in others:
            if each not in self._busy:
                held.abort()
                return
        # Not at once: aiohttp has yet to start the task that serves the newcomer.
        asyncio.get_running_loop().call_soon(transport.abort)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        self._busy.add(connection)
        try:
            return await self._answer(request)
        except ConnectionError:
            raise  # the client's doing
        except Exception:
            _log.exception("rpc.failed")  # aiohttp's own log is turned off
            return web.Response(status=500)
        finally:
            self._busy.discard(connection)
