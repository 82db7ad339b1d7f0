"""Answering a peer's questions: headers, bodies, transactions.

Requests wait in a short queue and one task per peer answers them, at the pace at which the peer
reads. The reading loop never waits for a reply to be sent.
"""

import asyncio
from typing import Final, TypeAlias

from .errors import Misbehaviour
from .ledger import Ledger
from .limits import MAX_HEADERS, Limits, Offence
from .messages import (
    BodiesMissing,
    Body,
    GetBodies,
    GetHeaders,
    GetTransactions,
    Headers,
    TransactionReply,
    TransactionsMissing,
)
from .peers import Peer

Request: TypeAlias = GetHeaders | GetBodies | GetTransactions


class Server:
    """The answering side of one conversation."""

    def __init__(self, peer: Peer, ledger: Ledger, limits: Limits) -> None:
        self._peer: Final = peer
        self._ledger: Final = ledger
        self._requests: asyncio.Queue[Request] = asyncio.Queue(limits.max_serve_queue)

    def submit(self, request: Request) -> None:
        """Queue a request. Raises Misbehaviour when too many wait already."""
        try:
            self._requests.put_nowait(request)
        except asyncio.QueueFull:
            raise Misbehaviour(
                Offence.FLOOD, f"{self._requests.qsize()} requests wait for their answers"
            ) from None

    async def run(self) -> None:
        """Answer requests in order, for ever."""
        while True:
            await asyncio.sleep(0)  # answers from memory must not starve the other peers
            match await self._requests.get():
                case GetHeaders(locator=locator):
                    headers = self._ledger.headers_after(locator, MAX_HEADERS)
                    await self._peer.connection.send_reply(Headers(tuple(headers)))
                case GetBodies() as request:
                    await self._serve_bodies(request)
                case GetTransactions() as request:
                    await self._serve_transactions(request)

    async def _serve_bodies(self, request: GetBodies) -> None:
        missing: list[bytes] = []
        for block in request.ids:
            body = self._ledger.body(block)
            if body is None:
                missing.append(block)
            else:
                await self._peer.connection.send_reply(Body(block, body))
        if missing:
            await self._peer.connection.send_reply(BodiesMissing(tuple(missing)))

    async def _serve_transactions(self, request: GetTransactions) -> None:
        missing: list[bytes] = []
        for transaction in request.ids:
            bundle = self._ledger.bundle(transaction)
            if bundle is None:
                missing.append(transaction)
            else:
                self._peer.known_transactions.add(transaction)
                await self._peer.connection.send_reply(TransactionReply(bundle))
        if missing:
            await self._peer.connection.send_reply(TransactionsMissing(tuple(missing)))
