"""Block templates: the newest one is always at hand, kept so by a thread.

The node sends each new template over a WebSocket. Where that cannot be had, behind a proxy say, the
thread asks with long polls, and tries the WebSocket again after each.
"""

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from ..core.block import MAX_SEALED_HEADER_BYTES, Header
from ..core.codec import decode
from ..core.errors import DecodeError, UserError
from ..core.hashing import Hash
from ..core.keys import format_address
from ..wallet.answers import ask, unhex
from ..wallet.client import RpcError
from ..wallet.stream import StreamLost
from .node_link import BACKOFF_FIRST, BACKOFF_LIMIT, NodeAway, NodeLink

_log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 20
"""How long the node may hold a long poll; below the client's timeout."""
_PAUSE: Final = 0.05
"""Seconds to wait after a long poll that brought nothing, in case the node does not hold it."""
_TICK: Final = 0.5
"""Seconds after which a listener looks at the stop signal again."""


class _Answer(msgspec.Struct, frozen=True):
    """`gettemplate`. Height, difficulty and parent stand in the header."""

    id: str
    longpoll: str
    header: str


@dataclass(frozen=True, slots=True)
class Template:
    """A header to mine."""

    id: str
    """The node's name for it."""
    longpoll: str
    """What the node wants to hear to tell whether it has a newer one."""
    header: Header
    sigma: Hash

    @property
    def difficulty(self) -> int:
        """Expected multiply-accumulates per block."""
        return self.header.work


class TemplateSource:
    """Holds the newest template of one miner; safe to share between threads.

    An answer is dropped when a newer template arrived while it was under way. Whatever is stale all
    the same is replaced soon: a subscription brings each new template, and a long poll names the
    one that is held.
    """

    def __init__(self, link: NodeLink, miner: Hash, payout: str) -> None:
        """Fetch for a public key and a payout address (bech32m)."""
        self._link = link
        self._miner = miner
        self._payout = payout
        self._changed = threading.Condition()
        self._latest: Template | None = None
        self._version = 0

    @property
    def latest(self) -> Template | None:
        """The newest template, None before the first."""
        with self._changed:
            return self._latest

    def refresh(self) -> Template:
        """Ask for the newest template now and return it. Raises UserError."""
        with self._changed:
            version = self._version
        return self._publish_answer(self._fetch({}), version)

    def wait_beyond(self, parent: Hash, seconds: float) -> Template | None:
        """Wait for a template on another parent, at most so long; return the newest."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._latest is not None and self._latest.header.parent != parent,
                seconds,
            )
            return self._latest

    def wait_change(self, template: Template | None, seconds: float) -> None:
        """Wait until another template than this is held, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not template, seconds)

    def follow(self, stop: threading.Event) -> None:
        """Hold the newest template until `stop` is set; the body of a thread."""
        backoff = BACKOFF_FIRST
        while not stop.is_set():
            try:
                self._follow_once(stop)
                backoff = BACKOFF_FIRST
            except UserError as error:
                if stop.is_set():
                    return
                if not isinstance(error, NodeAway):  # NodeAway has been told already
                    _log.warning("template.refused", why=str(error))
                stop.wait(backoff)
                backoff = min(2 * backoff, BACKOFF_LIMIT)

    def _follow_once(self, stop: threading.Event) -> None:
        """Listen while the node sends; where it cannot, long-poll once. Raises UserError."""
        try:
            asyncio.run(self._listen(stop))
        except (StreamLost, RpcError):
            held = self.latest
            if self._poll(held) is held:
                stop.wait(_PAUSE)
            return
        if not stop.is_set():
            self.refresh()  # shows, and tells, whether the node has gone
            stop.wait(BACKOFF_FIRST)

    async def _listen(self, stop: threading.Event) -> None:
        """Publish what the node sends, until it ends that or `stop` is set.

        Raises StreamLost or RpcError when there is no subscription, UserError for bad templates.
        """
        wish = {"topic": "templates", "miner": self._miner.hex(), "payout": self._payout}
        async with await self._link.subscribe(**wish) as stream:
            while not stop.is_set():
                try:
                    news = await stream.next(_TICK)
                except StreamLost:
                    return
                if news is not None:
                    self._publish(self._read_news(news))
                if self._link.away:
                    # A call has failed although the node is there: nobody else would try again.
                    await asyncio.to_thread(self._try_refresh)

    def _read_news(self, news: Any) -> Template:
        try:
            return self._read(msgspec.convert(news, _Answer))
        except (msgspec.ValidationError, RecursionError) as error:
            raise UserError(
                f"{self._link.url} sends templates in a form unknown here: {error}"
            ) from None

    def _try_refresh(self) -> None:
        with contextlib.suppress(UserError):
            self.refresh()

    def _poll(self, held: Template | None) -> Template:
        with self._changed:
            version = self._version
        if held is None:
            return self._publish_answer(self._fetch({}), version)
        wish = {"longpoll": held.longpoll, "timeout": POLL_SECONDS}
        return self._publish_answer(self._fetch(wish), version)

    def _fetch(self, wish: dict[str, Any]) -> Template:
        answer = ask(
            self._link,
            _Answer,
            "gettemplate",
            miner=self._miner.hex(),
            payout=self._payout,
            **wish,
        )
        return self._read(answer)

    def _read(self, answer: _Answer) -> Template:
        try:
            header = decode(Header, unhex(self._link, answer.header), MAX_SEALED_HEADER_BYTES)
        except DecodeError as error:
            raise UserError(f"{self._link.url} sent an unreadable header: {error.detail}") from None
        if header.miner != self._miner or header.work < 1:
            raise UserError(f"{self._link.url} sent a header that is not for this miner")
        prefix = self._payout.rpartition("1")[0]
        if format_address(header.payout, prefix) != self._payout:
            raise UserError(f"{self._link.url} sent a header that pays its block to somebody else")
        return Template(answer.id, answer.longpoll, header, header.sigma)

    def _publish(self, template: Template) -> Template:
        with self._changed:
            held = self._latest
            if held is not None and held == template:
                return held
            self._latest = template
            self._version += 1
            self._changed.notify_all()
            return template

    def _publish_answer(self, template: Template, version: int) -> Template:
        """Publish unless something newer came since `version`."""
        with self._changed:
            held = self._latest
            if held is not None and self._version != version:
                return held
            return self._publish(template)
