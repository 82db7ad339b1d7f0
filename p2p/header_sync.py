"""Headers first, in linked batches: whoever claims more work than we have is asked in turn.

One peer at a time, unless it keeps us waiting: then another is asked beside it. Claims cost
nothing, so they decide neither who is asked before the others nor for how long.
"""

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
    """A GetHeaders under way."""

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
        self._asked_at: dict[Peer, float] = {}
        """When each peer was asked last, or joined: coming back gives no precedence."""
        self._questions: dict[Peer, _Question] = {}
        self._last_news = clock()

    def joined(self, peer: Peer) -> None:
        """Take a new peer into account."""
        self._asked_at[peer] = self._clock()
        self._consider(peer)

    def left(self, peer: Peer) -> None:
        """Forget a peer; what it was asked for is asked elsewhere."""
        self._ahead.pop(peer, None)
        self._resume.pop(peer, None)
        self._asked_at.pop(peer, None)
        self._questions.pop(peer, None)

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
        question = self._questions.get(peer)
        if question is None or question.answered:
            raise Misbehaviour(Offence.UNREQUESTED, "headers")
        question.answered = True
        resume = self._resume.pop(peer, None)
        self._ahead.pop(peer, None)
        try:
            return await self._judge(peer, reply.headers, question.locator, resume)
        finally:
            self._questions.pop(peer, None)

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
        """Give up on silent peers and ask the next one."""
        now = self._clock()
        for peer, question in list(self._questions.items()):
            waited = now - question.asked_at
            if not question.answered and waited > self._limits.headers_timeout:
                self.left(peer)
                peer.connection.end(CloseCode.SLOW, f"no headers within {waited:.0f} s")
        if any(self._is_promising(question, now) for question in self._questions.values()):
            return
        if now - self._last_news > self._limits.stale_tip:
            self._ask_anybody(now)
        ready = [
            peer
            for peer, since in self._ahead.items()
            if since <= now and peer.is_live and peer not in self._questions
        ]
        if ready:
            self._ask(min(ready, key=self._turn), now)

    def _is_promising(self, question: _Question, now: float) -> bool:
        return question.answered or now - question.asked_at <= self._limits.headers_patience

    def _turn(self, peer: Peer) -> tuple[float, int]:
        """Order peers: first who was not asked for longest, then who claims most work."""
        return self._asked_at.get(peer, 0.0), -peer.tip.work

    def waiting_for(self) -> str | None:
        """Return what is waited for, or None."""
        if not self._questions:
            return None
        peer, question = next(reversed(self._questions.items()))
        height = self._ledger.best_header().height
        if question.answered:
            return f"checking headers after height {height} from {peer}"
        waited = self._clock() - question.asked_at
        return (
            f"headers after height {height} from {peer}, which claims height"
            f" {peer.tip.height} (asked {waited:.1f} s ago)"
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
        self._asked_at[peer] = now
        self._questions[peer] = _Question(asked, now)
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
