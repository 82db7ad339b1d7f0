"""Block templates handed out to miners: remembered until solved, and news for who waits for better.

Everything here runs on the event loop.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..chain.mempool import Mempool
from ..chain.template import Template
from ..core.hashing import Hash
from .ledger import NodeLedger

MAX_TEMPLATES: Final = 256
"""Remembered for solutions. They share their transactions, so each costs little beside them."""
MEMPOOL_PATIENCE: Final = 0.5
"""Seconds a miner is left in peace before new transactions alone give it another template."""


class News:
    """Wakes everybody who waits, at every publication."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def publish(self) -> None:
        """Wake who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return at the next publication, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True)
class Offer:
    """A template, and the name under which to wait for a better one."""

    template: Template
    longpoll: str


class TemplateBook:
    """Makes templates, and finds them again by σ when a solution comes."""

    def __init__(
        self, ledger: NodeLedger, mempool: Mempool, news: News, clock: Callable[[], float]
    ) -> None:
        """`clock` returns monotonic seconds; `news` is published when tip or mempool change."""
        self._ledger: Final = ledger
        self._mempool: Final = mempool
        self._news: Final = news
        self._clock: Final = clock
        self._templates: OrderedDict[Hash, Template] = OrderedDict()
        self._is_closing = False

    async def offer(self, miner: bytes, payout: bytes) -> Offer:
        """Return a template on the present tip with the present mempool."""
        template, revision = await self._ledger.build_template(miner, payout)
        self._templates[template.sigma] = template
        while len(self._templates) > MAX_TEMPLATES:
            self._templates.popitem(last=False)
        return Offer(template, _longpoll_id(template.header.parent, revision))

    def find(self, sigma: Hash) -> Template | None:
        """Return a template handed out lately."""
        return self._templates.get(sigma)

    async def wait_news(self, longpoll: str, seconds: float) -> None:
        """Wait until a template named by `longpoll` is out of date, at most so many seconds.

        Another tip counts at once, another mempool only after MEMPOOL_PATIENCE. A name that is not
        one of ours is out of date.
        """
        began = self._clock()
        held_tip, _, held_revision = longpoll.partition(":")
        while not self._is_closing:
            waited = self._clock() - began
            tip, _, revision = self._present().partition(":")
            if tip != held_tip or waited >= seconds:
                return
            patience = seconds
            if revision != held_revision:
                if waited >= MEMPOOL_PATIENCE:
                    return
                patience = min(seconds, MEMPOOL_PATIENCE)
            await self._news.wait(patience - waited)

    def close(self) -> None:
        """Let everybody go who waits."""
        self._is_closing = True
        self._news.publish()

    def _present(self) -> str:
        return _longpoll_id(self._ledger.tip().id, self._mempool.revision)


def _longpoll_id(tip: Hash, revision: int) -> str:
    return f"{tip.hex()}:{revision}"
