"""aiohttp's low-level server with a bound on its TCP connections.

A connection that never sends a request costs its owner nothing and us a file descriptor; without a
bound a stranger could leave none for the database.
"""

import asyncio
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class BoundedServer(web.Server):
    """Drops whatever connects while `most` connections are open."""

    def __init__(self, handler: Any, most: int, keepalive_timeout: float) -> None:
        """`handler` answers requests; who sends none for `keepalive_timeout` seconds is dropped."""
        super().__init__(handler, access_log=None, keepalive_timeout=keepalive_timeout)
        self._most: Final = most

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection in, or abort it."""
        super().connection_made(handler, transport)
        if len(self.connections) > self._most:
            # Not at once: aiohttp has yet to start the task that serves the connection.
            asyncio.get_running_loop().call_soon(transport.abort)
