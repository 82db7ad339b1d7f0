"""What a header must satisfy in its place: version, height, time, difficulty, seal, ticket.

Ordered from cheap to dear. The clock comes in as an argument, and only to tell "wait" from "no".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..core.block import SealedHeader
from ..core.errors import FromFuture, RuleViolation
from ..core.hashing import u256
from ..genesis import Params
from .difficulty import next_difficulty
from .ticket import check_head

HEADER_VERSION: Final = 1
MEDIAN_SPAN: Final = 11
"""Blocks whose median time a new block must exceed (as in Bitcoin)."""


@dataclass(frozen=True, slots=True)
class HeaderContext:
    """What a header's rules need of the chain it extends."""

    parent: bytes
    parent_height: int
    parent_time: int
    recent_times: Sequence[int]
    """Times of the last blocks up to the parent, at most MEDIAN_SPAN of them, UTC seconds."""
    anchor_time: int
    """Time of block 1 of this chain; ignored below it."""

    @property
    def earliest_time(self) -> int:
        """The first second a child may carry."""
        return sorted(self.recent_times)[len(self.recent_times) // 2] + 1

    def difficulty(self, params: Params) -> int:
        """The difficulty a child must have."""
        return next_difficulty(params, self.parent_height, self.anchor_time, self.parent_time)


def check_header(sealed: SealedHeader, context: HeaderContext, params: Params, now: int) -> None:
    """Judge a header and its head against the chain before it.

    Raises RuleViolation "header-…" or "ticket-…", or FromFuture when it should be tried again
    later. The ticket's opening is in the body and is judged there.
    """
    header = sealed.header
    if header.version != HEADER_VERSION:
        raise RuleViolation("header-version", f"version {header.version} is unknown")
    if header.parent != context.parent:
        raise RuleViolation("header-parent", "does not extend the block it is judged against")
    if header.height != context.parent_height + 1:
        raise RuleViolation("header-height", f"height {header.height} is not the next")
    if header.time < context.earliest_time:
        raise RuleViolation("header-time", f"time {header.time} is before {context.earliest_time}")
    difficulty = context.difficulty(params)
    if header.difficulty != u256(difficulty):
        raise RuleViolation("header-difficulty", f"{header.work} MACs, {difficulty} expected")
    if header.time > now + params.max_future_seconds:
        raise FromFuture(f"header time {header.time} is ahead of our clock {now}")
    check_head(header.sigma, sealed.head, difficulty)
    if not sealed.signature_is_valid():
        raise RuleViolation("header-signature", "not signed by the header's miner")
