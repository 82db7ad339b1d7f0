"""What clients may subscribe to: heads, transactions, jobs and templates.

The chain tells of its changes in its own thread, under its lock. What is done there is little, and
for transactions and jobs it is done only while somebody listens.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ...chain.blockindex import Entry
from ...chain.chainstate import ChainChange
from ...core.hashing import Hash, read_u256
from .context import Context
from .feeds import Feed, Latest
from .job_topic import JobTopic
from .job_watch import named_jobs
from .mining import describe_offer
from .pool_topic import PoolTopic
from .readers import Readers
from .types import Answer

RENEW_SECONDS: Final = 30.0
"""After so long a template is made anew although nothing has happened: its time grows old."""


class Topics:
    """Feeds subscriptions with what happens in a node."""

    def __init__(
        self, context: Context, readers: Readers, judge: Callable[[Exception], object]
    ) -> None:
        """`judge` is told of errors that are no client's fault."""
        self._context: Final = context
        self._judge: Final = judge
        self._heads: Final[set[HeadFeed]] = set()
        self._pool: Final = PoolTopic(context, readers)
        self._jobs: Final = JobTopic(context.chain, readers)
        self._duties: Final[list[asyncio.Task[None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to follow the chain."""
        self._loop = asyncio.get_running_loop()
        # Before the mempool's own listener: what a block takes out of it has been in it.
        self._context.chain.listeners.insert(0, self._on_change)
        for step in (self._pool.step, self._jobs.step):
            self._duties.append(asyncio.create_task(self._repeat(step)))

    async def stop(self) -> None:
        """Stop following the chain."""
        self._context.chain.listeners.remove(self._on_change)
        for duty in self._duties:
            duty.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)

    def heads(self) -> Feed:
        """Feed each new tip, or the newest where several came."""
        feed = HeadFeed(self._context, self._heads.discard)
        self._heads.add(feed)
        return feed

    async def transactions(self) -> Feed:
        """Feed the ids of transactions that the mempool takes in."""
        return await self._pool.open()

    async def jobs(self, job: Hash | None) -> Feed:
        """Feed changes of status, of one job or of all."""
        return await self._jobs.open(job)

    def templates(self, miner: Hash, payout: str) -> Feed:
        """Feed block templates for a miner's key and a payout address. Raises UserError."""
        return TemplateFeed(self._context, miner, self._context.read_address(payout))

    def _on_change(self, change: ChainChange) -> None:
        """Runs in the chain's thread."""
        taken_in = self._pool.gather()
        named = named_jobs(change) if self._jobs.is_open else set[Hash]()
        head: tuple[Entry, int] | None = None
        if change.connected:
            entry, body = change.connected[-1]
            head = entry, len(body.transactions)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._moved, head, taken_in, named)

    def _moved(self, head: tuple[Entry, int] | None, taken_in: list[str], named: set[Hash]) -> None:
        self._pool.publish(taken_in)
        self._jobs.wake(named)
        if head is not None:
            for feed in self._heads:
                feed.put(*head)

    async def _repeat(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await step()
            except Exception as error:
                self._judge(error)


class HeadFeed:
    """The newest tip that one subscriber has not heard of."""

    def __init__(self, context: Context, on_close: Callable[["HeadFeed"], None]) -> None:
        self._context: Final = context
        self._on_close: Final = on_close
        self._latest: Final[Latest[tuple[Entry, int]]] = Latest()

    def put(self, entry: Entry, transactions: int) -> None:
        """Take a new tip and the number of its transactions."""
        self._latest.put((entry, transactions))

    async def next(self) -> Answer:
        """See Feed. `useful_macs` are those of the jobs that the block settled."""
        entry, transactions = await self._latest.take()
        return {
            "height": entry.height,
            "id": entry.id.hex(),
            "parent": entry.sealed.header.parent.hex(),
            "time": entry.time,
            "difficulty": entry.sealed.header.work,
            "transactions": transactions,
            "useful_macs": self._useful_macs(entry.height),
        }

    def close(self) -> None:
        """See Feed."""
        self._on_close(self)

    def _useful_macs(self, height: int) -> int | None:
        chain = self._context.chain
        before, after = chain.totals_at(height - 1), chain.totals_at(height)
        if before is None or after is None:
            return None  # taken off again meanwhile
        return read_u256(after.useful_macs) - read_u256(before.useful_macs)


class TemplateFeed:
    """Templates of one miner, each made when it can be sent, so none is made in vain."""

    def __init__(self, context: Context, miner: Hash, payout: Hash) -> None:
        self._templates: Final = context.templates
        self._miner: Final = miner
        self._payout: Final = payout
        self._held: str | None = None

    async def next(self) -> Answer:
        """See Feed; under the rules of the long poll."""
        if self._held is not None:
            await self._templates.wait_news(self._held, RENEW_SECONDS)
        offer = await self._templates.offer(self._miner, self._payout)
        self._held = offer.longpoll
        return describe_offer(offer)

    def close(self) -> None:
        """See Feed: there is nothing to let go of."""
