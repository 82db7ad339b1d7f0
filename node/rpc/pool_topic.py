"""The topic "transactions": ids as the mempool takes them in.

The pool is compared with what it held at the last look, under the chain's lock, since it is rebuilt
for every new tip. It is looked at when it has changed, and before each block takes something out.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from ...core.hashing import Hash
from .context import Context
from .feeds import Backlog
from .readers import Readers, to_the_end
from .types import Answer

_GATHER_SECONDS: Final = 0.05
"""For transactions that come together to go out together."""
_LONG: Final = 3600.0
"""Seconds to wait for news, which come by themselves."""


class PoolFeed:
    """One subscriber's ids."""

    def __init__(self, audience: "set[PoolFeed]") -> None:
        self._audience: Final = audience
        self._backlog: Final = Backlog("ids")

    def put(self, ids: Iterable[str]) -> None:
        """Take new ids."""
        self._backlog.put(ids)

    async def next(self) -> Answer:
        """See Feed."""
        return await self._backlog.take()

    def close(self) -> None:
        """See Feed."""
        self._audience.discard(self)


class PoolTopic:
    """Looks at the mempool while anybody listens."""

    def __init__(self, context: Context, readers: Readers) -> None:
        self._context: Final = context
        self._readers: Final = readers
        self._feeds: Final[set[PoolFeed]] = set()
        self._known: set[Hash] | None = None
        """What the pool held at the last look; None while nobody listens."""
        self._looked_at = ""
        self._turn: Final = asyncio.Lock()
        self._opened: Final = asyncio.Event()

    async def open(self) -> PoolFeed:
        """Return a feed of what comes from now on."""
        feed = PoolFeed(self._feeds)
        try:
            await to_the_end(self._admit(feed))
        except BaseException:
            feed.close()
            raise
        return feed

    def gather(self) -> list[str]:
        """Return what is new in the pool; the caller holds the chain's lock."""
        return [] if self._known is None else self._compare(self._known)

    def publish(self, ids: list[str]) -> None:
        """Hand ids to everybody who listens."""
        for feed in self._feeds:
            feed.put(ids)

    async def step(self) -> None:
        """Wait until the pool has changed and look at it."""
        await self._opened.wait()
        await self._context.templates.wait_news(self._looked_at, _LONG)
        await asyncio.sleep(_GATHER_SECONDS)
        async with self._turn:
            if self._feeds:
                await self._look()
            else:
                self._opened.clear()
                await self._readers.read(self._forget)

    async def _admit(self, feed: PoolFeed) -> None:
        async with self._turn:
            # Else there is nothing to see, however often somebody comes.
            if self._known is None or self._looked_at != self._present():
                await self._look()
            self._feeds.add(feed)
            self._opened.set()

    async def _look(self) -> None:
        self._looked_at = self._present()  # before the look: what comes during it counts as news
        self.publish(await self._readers.read(lambda: self._compare(self._known or set())))

    def _present(self) -> str:
        """Name chain and pool as templates are named."""
        node = self._context
        return f"{node.chain.tip.id.hex()}:{node.mempool.revision}"

    def _compare(self, known: set[Hash]) -> list[str]:
        ids = [identity for identity, _ in self._context.mempool.bundles()]
        self._known = set(ids)
        return [identity.hex() for identity in ids if identity not in known]

    def _forget(self) -> None:
        self._known = None
