"""Headers first: from one peer at a time, the one that claims most work, in linked batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import structlog

from ..core.block import SealedHeader
from ..core.errors import FromFuture, MissingParent, RuleViolation
from ..core.hashing import Hash
from .connection import CloseCode
from .errors import Misbehaviour
from .ledger import Ledger
from .limits import MAX_HEADERS, MAX_LOCATOR, Limits, Offence
from .messages import Announcement, GetHeaders, Headers, claimed_tip
from .peers import Peer, PeerTable

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Question:
    """The GetHeaders under way."""

    peer: Peer
    locator: tuple[Hash, ...]
    asked_at: float
    answered: bool = False
    """Its reply is being judged."""


class HeaderSync:
    """Learns header chains that claim more work than the validated tip."""

    def __init__(
        self, ledger: Ledger, peers: PeerTable, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._ledger: Final = ledger
        self._peers: Final = peers
        self._limits: Final = limits
        self._clock: Final = clock
        self._ahead: dict[Peer, float] = {}
        """Peers with headers we lack → not to be asked before."""
        self._resume: dict[Peer, Hash] = {}
        """Where a peer's last full batch ended: its branch may not be our best yet, so our own
        locator would make it repeat itself."""
        self._question: _Question | None = None
        self._last_news = clock()

    @property
    def is_asking(self) -> bool:
        """Whether a request is under way."""
        return self._question is not None

    def joined(self, peer: Peer) -> None:
        """Take a new peer into account."""
        self._consider(peer)

    def left(self, peer: Peer) -> None:
        """Forget a peer; what it was asked for is asked elsewhere."""
        self._ahead.pop(peer, None)
        self._resume.pop(peer, None)
        if self._question is not None and self._question.peer is peer:
            self._question = None

    async def announced(self, peer: Peer, announcement: Announcement) -> int:
        """Take a peer's new tip; return how many headers were new. Raises Misbehaviour."""
        headers = announcement.headers
        _check_linked(headers)
        if headers[-1].id != announcement.tip.id:
            raise Misbehaviour(Offence.MALFORMED, "the last header is not the announced tip's")
        peer.tip = claimed_tip(announcement.tip)
        peer.known_blocks.update(sealed.id for sealed in headers)
        if all(self._ledger.knows_header(sealed.id) for sealed in headers):
            return 0
        try:
            return self._note_news(await self._ledger.accept_headers(headers))
        except MissingParent:
            self._consider(peer)
        except FromFuture:
            self._consider(peer, self._clock() + self._limits.retry_after)
        except RuleViolation as error:
            raise Misbehaviour(Offence.INVALID_HEADER, str(error)) from None
        return 0

    async def received(self, peer: Peer, reply: Headers) -> int:
        """Take the answer to our request; return how many headers were new. Raises Misbehaviour."""
        question = self._question
        if question is None or question.peer is not peer or question.answered:
            raise Misbehaviour(Offence.UNREQUESTED, "headers")
        question.answered = True
        resume = self._resume.pop(peer, None)
        self._ahead.pop(peer, None)
        try:
            return await self._judge(peer, reply.headers, question.locator, resume)
        finally:
            if self._question is question:
                self._question = None

    async def _judge(
        self,
        peer: Peer,
        headers: Sequence[SealedHeader],
        locator: Sequence[Hash],
        resume: Hash | None,
    ) -> int:
        if not headers:
            return 0
        _check_linked(headers)
        start = headers[0].header.parent
        # Strictly onward from the last batch, or a peer could feed us one stretch for ever.
        if start not in locator or (resume is not None and start != resume):
            peer.charge(Offence.DETACHED_HEADERS, f"headers follow {start.hex()[:16]}")
            return 0
        try:
            fresh = self._note_news(await self._ledger.accept_headers(headers))
        except MissingParent:
            peer.charge(Offence.DETACHED_HEADERS, f"headers follow {start.hex()[:16]}")
            return 0
        except FromFuture:
            self._consider(peer, self._clock() + self._limits.retry_after)
            return 0
        except RuleViolation as error:
            raise Misbehaviour(Offence.INVALID_HEADER, str(error)) from None
        last, best = headers[-1].id, self._ledger.best_header()
        peer.known_blocks.add(last)
        if last == best.id and best.work > peer.tip.work:
            peer.tip = best  # it moved on without a word; now it can be asked for the bodies
        if len(headers) == MAX_HEADERS and peer.is_live:
            self._ahead[peer] = 0.0
            self._resume[peer] = last
        _log.info("sync.headers", peer=str(peer), new=fresh, best_height=best.height)
        return fresh

    def step(self) -> None:
        """Give up on a silent peer and ask the next one."""
        now = self._clock()
        question = self._question
        if question is not None:
            waited = now - question.asked_at
            if question.answered or waited <= self._limits.headers_timeout:
                return
            self.left(question.peer)
            question.peer.connection.end(CloseCode.SLOW, f"no headers within {waited:.0f} s")
        if now - self._last_news > self._limits.stale_tip:
            self._ask_anybody(now)
        ready = [peer for peer, since in self._ahead.items() if since <= now and peer.is_live]
        if ready:
            self._ask(max(ready, key=lambda peer: peer.tip.work), now)

    def waiting_for(self) -> str | None:
        """Return what is waited for, or None."""
        question = self._question
        if question is None:
            return None
        height = self._ledger.best_header().height
        if question.answered:
            return f"checking headers after height {height} from {question.peer}"
        waited = self._clock() - question.asked_at
        return (
            f"headers after height {height} from {question.peer}, which claims height"
            f" {question.peer.tip.height} (asked {waited:.1f} s ago)"
        )

    def _consider(self, peer: Peer, not_before: float = 0.0) -> None:
        """Plan to ask a peer that claims more work than we have validated."""
        if peer.tip.work > self._ledger.tip().work and not self._ledger.knows_header(peer.tip.id):
            self._ahead[peer] = not_before

    def _ask(self, peer: Peer, now: float) -> None:
        resume = self._resume.get(peer)
        locator = self._ledger.locator()
        if resume is not None:
            locator.insert(0, resume)
        asked = tuple(locator[:MAX_LOCATOR])
        self._question = _Question(peer, asked, now)
        peer.send(GetHeaders(asked))

    def _ask_anybody(self, now: float) -> None:
        live = list(self._peers)
        if live:
            # The table keeps peers in order of arrival: turn through them, one each time.
            turn = int(now / self._limits.stale_tip) % len(live)
            self._ahead.setdefault(live[turn], 0.0)
            self._last_news = now

    def _note_news(self, fresh: int) -> int:
        if fresh:
            self._last_news = self._clock()
        return fresh


def _check_linked(headers: Sequence[SealedHeader]) -> None:
    for below, above in pairwise(headers):
        if above.header.parent != below.id:
            raise Misbehaviour(Offence.MALFORMED, "headers are not linked")
