"""Bodies after headers: a window of requests spread over the peers, delivered in order.

Three sources say what is missing: the ledger's path from its tip to the best header, the paths to
the tips that peers say they validated, and blocks just announced on top of a block we have. The
last two keep whoever publishes headers but withholds their bodies from hiding everybody else's
blocks: a header costs far less than a block.
"""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from ..core.block import SealedHeader
from ..core.errors import BodyMismatch, MissingParent, RuleViolation
from ..core.hashing import Hash
from .bounded import BoundedSet
from .connection import CloseCode
from .errors import Misbehaviour
from .ledger import Ledger
from .limits import MAX_BODIES, Limits, Offence
from .messages import BodiesMissing, Body, GetBodies
from .peers import Peer

_MAX_REMEMBERED: Final = 1_024

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Supplier:
    """What one peer owes us and what it cannot give."""

    asked: dict[Hash, float] = field(default_factory=dict[Hash, float])
    """Block → when it was asked for."""
    deadline: float = 0.0
    stalls: int = 0
    expired: BoundedSet[Hash] = field(default_factory=lambda: BoundedSet[Hash](_MAX_REMEMBERED))
    """Asked for too long ago: an answer may still come and is no offence."""
    lacks: dict[Hash, float] = field(default_factory=dict[Hash, float])
    """Block → not to be asked for before."""


class BodySync:
    """Fetches missing bodies and hands them to the ledger, lowest first."""

    def __init__(
        self,
        ledger: Ledger,
        limits: Limits,
        clock: Callable[[], float],
        on_accepted: Callable[[Hash], None],
    ) -> None:
        self._ledger: Final = ledger
        self._limits: Final = limits
        self._clock: Final = clock
        self._on_accepted: Final = on_accepted
        self._suppliers: dict[Peer, _Supplier] = {}
        self._plan: deque[Hash] = deque()
        self._paths: dict[Hash, deque[Hash]] = {}
        """Tip of a peer, if it beats ours → the next missing bodies on the way there."""
        self._vouchers: dict[Hash, set[Peer]] = {}
        """Who has a block of these paths, by its own word."""
        self._plan_is_stale = True
        self._plan_was_cut = False
        self._replan_at = 0.0
        self._announced: OrderedDict[Hash, set[Peer]] = OrderedDict()
        self._in_flight: dict[Hash, Peer] = {}
        self._buffer: dict[Hash, tuple[Peer, bytes]] = {}
        self._buffered_bytes = 0
        self._verifying: Hash | None = None
        self._refused: BoundedSet[Hash] = BoundedSet(_MAX_REMEMBERED)
        """Blocks the ledger called invalid: never fetched again, even if it still wants them."""
        self._deferred: dict[Hash, float] = {}
        self._arrived = asyncio.Event()
        self.advanced_at = -math.inf
        """When a body on the way to the best header was taken last."""

    def joined(self, peer: Peer) -> None:
        """Take a new peer into account."""
        self._suppliers[peer] = _Supplier()

    def left(self, peer: Peer) -> None:
        """Forget a peer; what it owed is asked elsewhere."""
        supplier = self._suppliers.pop(peer, None)
        if supplier is not None:
            self._release(peer, supplier)
        for holders in (*self._announced.values(), *self._vouchers.values()):
            holders.discard(peer)

    def headers_changed(self) -> None:
        """Look again at what is missing."""
        self._plan_is_stale = True

    def announced(self, peer: Peer, headers: Sequence[SealedHeader]) -> None:
        """Note that `peer` has these blocks."""
        supplier = self._suppliers.get(peer)
        lowest = self._ledger.tip().height - self._limits.max_announced
        for sealed in headers:
            block = sealed.id
            if supplier is not None:
                supplier.lacks.pop(block, None)
            is_late = sealed.header.height < lowest
            if is_late or self._ledger.has_body(block):
                continue
            if self._ledger.knows_header(block):
                self._announced.setdefault(block, set()).add(peer)
        while len(self._announced) > self._limits.max_announced:
            self._announced.popitem(last=False)

    def received(self, peer: Peer, reply: Body) -> None:
        """Take a body. Raises Misbehaviour when this peer was not asked for it."""
        block = reply.id
        supplier = self._answered(peer, block)
        supplier.stalls = 0
        if not self._is_wanted(block) or block in self._buffer or self._ledger.has_body(block):
            return
        self._buffer[block] = (peer, reply.body)
        self._buffered_bytes += len(reply.body)
        self._arrived.set()

    def missing(self, peer: Peer, reply: BodiesMissing) -> None:
        """Take a refusal. Raises Misbehaviour when this peer was not asked."""
        for block in reply.ids:
            supplier = self._answered(peer, block)
            self._note_lacking(supplier, block, self._clock() + self._limits.retry_after)
            self._announced.get(block, set[Peer]()).discard(peer)

    def _answered(self, peer: Peer, block: Hash) -> _Supplier:
        supplier = self._suppliers[peer]
        if block in supplier.asked:
            del supplier.asked[block]
            if self._in_flight.get(block) is peer:
                del self._in_flight[block]
        elif block in supplier.expired:
            supplier.expired.discard(block)
        else:
            raise Misbehaviour(Offence.UNREQUESTED, f"an answer about block {block.hex()[:16]}")
        supplier.deadline = self._clock() + self._limits.body_timeout
        return supplier

    def step(self) -> None:
        """Reassign what is overdue and fill the window."""
        now = self._clock()
        for peer, supplier in list(self._suppliers.items()):
            if supplier.asked and now > supplier.deadline:
                self._stalled(peer, supplier, now)
        ran_short = self._plan_was_cut and len(self._plan) < self._limits.body_window
        if self._plan_is_stale or ran_short or now >= self._replan_at:
            self._refresh_plan(now)
        self._request(now)

    def _stalled(self, peer: Peer, supplier: _Supplier, now: float) -> None:
        supplier.stalls += 1
        _log.info("sync.stalled", peer=str(peer), bodies=len(supplier.asked))
        for block in supplier.asked:
            supplier.expired.add(block)
            self._note_lacking(supplier, block, now + self._limits.body_timeout)
        self._release(peer, supplier)
        if supplier.stalls >= self._limits.max_stalls:
            peer.connection.end(CloseCode.SLOW, "owes bodies and sends none")

    def _release(self, peer: Peer, supplier: _Supplier) -> None:
        for block in supplier.asked:
            if self._in_flight.get(block) is peer:
                del self._in_flight[block]
        supplier.asked.clear()

    def _note_lacking(self, supplier: _Supplier, block: Hash, until: float) -> None:
        supplier.lacks[block] = until
        if len(supplier.lacks) > _MAX_REMEMBERED:
            del supplier.lacks[next(iter(supplier.lacks))]

    def _refresh_plan(self, now: float) -> None:
        self._plan_is_stale = False
        self._replan_at = now + self._limits.retry_after
        self._plan.clear()
        wanted = self._ledger.wanted_bodies(self._limits.body_plan)
        self._plan_was_cut = len(wanted) == self._limits.body_plan
        for block in wanted:
            if block in self._refused:
                break  # whatever stands on it is as invalid
            self._plan.append(block)
        self._follow_peers(now)
        self._deferred = {block: at for block, at in self._deferred.items() if at > now}
        for block in [b for b in self._announced if self._ledger.has_body(b)]:
            del self._announced[block]
        for block in [b for b in self._buffer if not self._is_wanted(b)]:
            self._take_buffered(block)

    def _follow_peers(self, now: float) -> None:
        """Unless the plan advances, look up what is missing on the way to the peers' own tips."""
        self._paths.clear()
        self._vouchers.clear()
        if now - self.advanced_at < self._limits.body_patience:
            return
        for peer in self._suppliers:
            self._paths.setdefault(peer.tip.id, deque())
        for tip, path in list(self._paths.items()):
            path.extend(self._ledger.bodies_towards(tip, self._limits.body_window))
            if not path or path[0] in self._refused:
                del self._paths[tip]
        for peer in self._suppliers:
            for block in self._paths.get(peer.tip.id, ()):
                self._vouchers.setdefault(block, set()).add(peer)

    def _is_wanted(self, block: Hash) -> bool:
        return block in self._announced or block in self._vouchers or block in self._plan

    def _request(self, now: float) -> None:
        batches: dict[Peer, list[Hash]] = {}
        tip_work = self._ledger.tip().work
        free = self._limits.body_window - len(self._in_flight) - len(self._buffer)
        ready = [
            (peer, supplier)
            for peer, supplier in self._suppliers.items()
            # Refilling from half empty makes one message of many ids.
            if peer.is_live and 2 * len(supplier.asked) <= self._limits.bodies_per_peer
        ]
        for block, is_next in self._missing(now):
            if (free <= 0 and not is_next) or not ready:
                break
            holders = self._holders(block)
            able = [
                (peer, supplier)
                for peer, supplier in ready
                if (peer in holders or peer.tip.work > tip_work)
                and block not in supplier.asked
                and supplier.lacks.get(block, 0.0) <= now
                and len(supplier.asked) < self._limits.bodies_per_peer
            ]
            if not able:
                continue
            peer, supplier = min(
                able, key=lambda pair: (pair[0] not in holders, pair[1].stalls, len(pair[1].asked))
            )
            if not supplier.asked:
                supplier.deadline = now + self._limits.body_timeout
            supplier.asked[block] = now
            self._in_flight[block] = peer
            batches.setdefault(peer, []).append(block)
            free -= 1
        for peer, blocks in batches.items():
            for start in range(0, len(blocks), MAX_BODIES):
                peer.send(GetBodies(tuple(blocks[start : start + MAX_BODIES])))

    def _missing(self, now: float) -> Iterator[tuple[Hash, bool]]:
        """Yield blocks to ask for, and whether a path waits for just this one.

        Those come first and need no room in the window, which others may have filled and hold.
        """
        paths = [path for path in (self._plan, *self._paths.values()) if path]
        for path in paths:
            if self._is_open(path[0], now) and not self._is_promised(path[0], now):
                yield path[0], True
        if self._buffered_bytes >= self._limits.max_buffered_bytes:
            return  # only what comes next can make room
        for path in reversed(paths):  # what peers vouch for before what headers promise
            for block in path:
                if self._is_open(block, now) and block not in self._in_flight:
                    yield block, False
        for block in list(self._announced):
            if (
                self._is_open(block, now)
                and block not in self._in_flight
                and self._stands_on_stored(block)
            ):
                yield block, False

    def _holders(self, block: Hash) -> set[Peer]:
        return self._announced.get(block, set[Peer]()) | self._vouchers.get(block, set[Peer]())

    def _is_promised(self, block: Hash, now: float) -> bool:
        """Tell whether a block is in flight from a peer that may still be about to send it."""
        peer = self._in_flight.get(block)
        if peer is None:
            return False
        return now - self._suppliers[peer].asked[block] <= self._limits.body_patience

    def _is_open(self, block: Hash, now: float) -> bool:
        return not (
            block in self._buffer
            or block == self._verifying
            or block in self._refused
            or self._deferred.get(block, 0.0) > now
            or self._ledger.has_body(block)
        )

    def _stands_on_stored(self, block: Hash) -> bool:
        sealed = self._ledger.header(block)
        return sealed is not None and self._ledger.has_body(sealed.header.parent)

    async def deliver(self) -> None:
        """Hand arrived bodies to the ledger, one at a time, for ever."""
        while True:
            block = self._next_deliverable()
            if block is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            peer, body = self._take_buffered(block)
            self._verifying = block
            try:
                await self._deliver_one(peer, block, body)
            finally:
                self._verifying = None
            self.step()

    def _next_deliverable(self) -> Hash | None:
        for path in (self._plan, *self._paths.values()):
            while path and self._ledger.has_body(path[0]):
                path.popleft()
                self._plan_is_stale |= not path
            if path and path[0] in self._buffer:
                return path[0]
        for block in self._announced:
            if block in self._buffer and self._stands_on_stored(block):
                return block
        return None

    async def _deliver_one(self, peer: Peer, block: Hash, body: bytes) -> None:
        try:
            await self._ledger.accept_body(block, body)
        except BodyMismatch as error:
            supplier = self._suppliers.get(peer)
            if supplier is not None:
                self._note_lacking(supplier, block, self._clock() + self._limits.body_timeout)
            peer.charge(Offence.BODY_MISMATCH, f"block {block.hex()[:16]}: {error}")
        except MissingParent as error:
            self._deferred[block] = self._clock() + self._limits.retry_after
            self._plan_is_stale = True
            _log.info("sync.parent_missing", block=block.hex(), parent=error.parent.hex())
        except RuleViolation as error:
            self._refused.add(block)
            self._announced.pop(block, None)
            self._plan_is_stale = True
            peer.charge(Offence.INVALID_BLOCK, f"block {block.hex()[:16]}: {error}")
        else:
            self._announced.pop(block, None)
            if self._plan and self._plan[0] == block:
                self.advanced_at = self._clock()
            self._on_accepted(block)

    def _take_buffered(self, block: Hash) -> tuple[Peer, bytes]:
        peer, body = self._buffer.pop(block)
        self._buffered_bytes -= len(body)
        return peer, body

    def waiting_for(self) -> str | None:
        """Return what is waited for and from whom, or None."""
        if self._verifying is not None:
            return (
                f"checking block {self._verifying.hex()[:16]},"
                f" {len(self._buffer)} bodies wait behind it"
            )
        if not self._plan:
            return None
        now = self._clock()
        block = self._plan[0]
        behind = f"{len(self._plan)} missing, {len(self._buffer)} waiting for it"
        peer = self._in_flight.get(block)
        if peer is not None:
            asked = self._suppliers[peer].asked[block]
            return (
                f"body of {block.hex()[:16]} from {peer} (asked {now - asked:.1f} s ago; {behind})"
            )
        return f"body of {block.hex()[:16]}: no connected peer has it so far ({behind})"
