"""Keeping the outbound slots filled: whom to dial, when, without redialling in circles."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import structlog

from .address import Address
from .addressbook import AddressBook
from .bans import BanList
from .connection import Connection, Direction
from .limits import MAX_FRAME_BYTES, Limits
from .peers import PeerTable

WEBSOCKET_PATH: Final = "/p2p"

_log: Final = structlog.get_logger(__name__)


class _Redirected(aiohttp.ClientError):
    """An HTTP redirect in answer to a dial; followed, it would let strangers steer our requests."""


class Dialer:
    """Opens outbound connections and hands each to `converse`, which returns when it is over."""

    def __init__(
        self,
        book: AddressBook,
        peers: PeerTable,
        bans: BanList,
        limits: Limits,
        clock: Callable[[], float],
        converse: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self._book: Final = book
        self._peers: Final = peers
        self._bans: Final = bans
        self._limits: Final = limits
        self._clock: Final = clock
        self._converse: Final = converse
        self._dialling: dict[Address, asyncio.Task[None]] = {}
        """Outbound connections, from the first packet to the last."""

    async def run(self) -> None:
        """Dial whenever a slot is free and an address due, for ever; ends all calls at the end."""
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
        )
        async with http, asyncio.TaskGroup() as group:
            while True:
                self._fill_slots(http, group)
                await asyncio.sleep(self._limits.tick)

    def _fill_slots(self, http: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        free = self._limits.target_outbound - len(self._dialling)
        if free <= 0:
            return
        busy = self._peers.addresses() | self._dialling.keys()
        due = self._book.candidates(busy, self._peers.nodes())
        for address in [a for a in due if not self._bans.is_banned(a)][:free]:
            task = group.create_task(self._call(http, address))
            self._dialling[address] = task
            task.add_done_callback(lambda _, address=address: self._dialling.pop(address, None))

    async def _call(self, http: aiohttp.ClientSession, address: Address) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                socket = await http.ws_connect(
                    f"http://{address}{WEBSOCKET_PATH}",
                    max_msg_size=MAX_FRAME_BYTES,
                    autoping=False,
                    compress=0,
                    timeout=aiohttp.ClientWSTimeout(
                        ws_close=self._limits.close_timeout  # pyright: ignore[reportCallIssue]
                    ),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._book.failed(address)
            _log.debug("dial.failed", address=str(address), error=str(error) or "timeout")
            return
        await self._converse(
            Connection(socket, address, Direction.OUTBOUND, self._limits, self._clock)
        )


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: object, params: aiohttp.TraceRequestRedirectParams
) -> None:
    raise _Redirected("redirected")
