"""The topic "jobs": what `JobWatch` finds after each change of the chain, for who listens."""

import asyncio
from collections.abc import Iterable
from typing import Final

from ...chain.chainstate import Chain
from ...core.hashing import Hash
from .feeds import Backlog
from .job_watch import JobWatch
from .readers import Readers, to_the_end
from .types import Answer


class JobFeed:
    """One subscriber's events."""

    def __init__(self, audience: "set[JobFeed]", job: Hash | None) -> None:
        """Pass on the events of one job, or of all."""
        self._audience: Final = audience
        self._wanted: Final = None if job is None else job.hex()
        self._backlog: Final = Backlog("events")

    def put(self, events: Iterable[Answer]) -> None:
        """Take new events."""
        wanted = self._wanted
        self._backlog.put(each for each in events if wanted is None or each["job"] == wanted)

    async def next(self) -> Answer:
        """See Feed."""
        return await self._backlog.take()

    def close(self) -> None:
        """See Feed."""
        self._audience.discard(self)


class JobTopic:
    """Looks at the jobs while anybody listens."""

    def __init__(self, chain: Chain, readers: Readers) -> None:
        self._readers: Final = readers
        self._watch: Final = JobWatch(chain)
        self._feeds: Final[set[JobFeed]] = set()
        self._named: set[Hash] = set()
        self._is_stale = False
        """Whether the chain has changed since the last look."""
        self._changed: Final = asyncio.Event()
        self._turn: Final = asyncio.Lock()
        self.is_open = False
        """Whether changes of the chain are to be told; written only by the holder of `_turn`."""

    async def open(self, job: Hash | None) -> JobFeed:
        """Return a feed of what changes from now on."""
        feed = JobFeed(self._feeds, job)
        try:
            await to_the_end(self._admit(feed))
        except BaseException:
            feed.close()
            raise
        return feed

    def wake(self, named: set[Hash]) -> None:
        """Note that the chain has changed, and the jobs that the transactions named."""
        if self.is_open:
            self._named |= named
            self._is_stale = True
            self._changed.set()

    async def step(self) -> None:
        """Wait until the chain has changed and look at the jobs."""
        await self._changed.wait()
        self._changed.clear()
        async with self._turn:
            if self._feeds:
                await self._look()
            else:
                self.is_open = False

    async def _admit(self, feed: JobFeed) -> None:
        async with self._turn:
            if not self.is_open:
                await self._begin()
            elif self._is_stale:  # else there is nothing to see, however often somebody comes
                await self._look()
            self._feeds.add(feed)

    async def _begin(self) -> None:
        self._named, self._is_stale = set(), False
        self.is_open = True  # before the look: what changes during it is told
        try:
            await self._readers.scan(self._watch.begin)
        except BaseException:
            self.is_open = False
            raise

    async def _look(self) -> None:
        named, self._named, self._is_stale = self._named, set(), False
        events = await self._readers.read(lambda: self._watch.changes(named))
        for feed in self._feeds:
            feed.put(events)
