"""From a winning tile to a block: head, opening, seal, submission."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from ..consensus.ticket import Operand, Shape, Tag
from ..consensus.ticket.proof import NO_JOB, make_head, make_opening
from ..core.block import seal
from ..core.codec import encode
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.errors import UserError
from ..core.hashing import ZERO_HASH, Hash
from ..core.keys import PrivateKey
from ..wallet.answers import HexHash, ask
from ..wallet.client import RpcError
from .meter import Meter
from .node_link import NodeAway, NodeLink
from .templates import Template, TemplateSource

_log = structlog.get_logger(__name__)

SETTLE_SECONDS: Final = 2.0
"""How long to wait for the node to build on a block of ours."""
EARLY_SECONDS: Final = 1.0
"""Between attempts to submit a block whose time the node's clock has not reached."""
QUIET_FIRST: Final = 0.1
QUIET_LIMIT: Final = 5.0
"""Pause after a refusal, doubled with each that follows, in seconds."""
_FROM_FUTURE: Final = {"reason": "from-future"}


class _Answer(msgspec.Struct, frozen=True):
    """`submitsolution`."""

    block: HexHash
    active: bool
    """Whether the block is the tip now."""


class Work:
    """What was multiplied: shape, tag and both operands, None for zero."""

    __slots__ = ("a", "b", "shape", "tag")

    def __init__(self, shape: Shape, tag: Tag, a: Operand | None, b: Operand | None) -> None:
        self.shape = shape
        self.tag = tag
        self.a = a
        self.b = b

    @property
    def roots(self) -> tuple[Hash, Hash]:
        """Commitments of both operands."""
        return _root(self.a), _root(self.b)


@dataclass(frozen=True, slots=True)
class _Block:
    """A winner ready to be sent, as often as it takes."""

    template: Template
    tag: Tag
    request: dict[str, str]
    meter: Meter


class Solutions:
    """Submits winners: one per parent, since only one block can follow it.

    Safe to share between threads.
    """

    def __init__(
        self,
        link: NodeLink,
        key: PrivateKey,
        templates: TemplateSource,
        meter: Meter,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Seal with `key`, the key that the templates' headers name. `now` is in seconds."""
        self._link = link
        self._key = key
        self._templates = templates
        self._meter = meter
        self._now = now
        self._sending = threading.Lock()
        self._solved: Hash = ZERO_HASH
        self._early: _Block | None = None
        self._refusals = 0
        self._quiet_until = 0.0

    def wanted(self, template: Template) -> bool:
        """Tell whether a winner under this template could still become the tip.

        After refusals the answer is no for a while, so that a miner and a node that disagree do
        not shout at each other.
        """
        parent, early = template.header.parent, self._early
        if early is not None and early.template.header.parent == parent:
            return False
        return parent != self._solved and self._now() >= self._quiet_until

    def solved(self, template: Template) -> bool:
        """Tell whether a winner of this miner follows the template's parent already."""
        return template.header.parent == self._solved

    def submit(
        self,
        template: Template,
        work: Work,
        tile: tuple[int, int],
        lanes: bytes,
        meter: Meter | None = None,
    ) -> None:
        """Make a block of a winning tile (row, column) and its transcript; hand it to the node.

        Afterwards the newest template is at hand. A refusal is logged, and so is a node that is
        away: the work of the product is not lost by either. `meter` is that of the device.
        """
        if not self.wanted(template):
            return
        head = make_head(work.shape, work.tag, work.roots, tile, lanes)
        request = {
            "template": template.id,
            "head": encode(head).hex(),
            "opening": encode(make_opening(work.a, work.b, tile)).hex(),
            "signature": seal(self._key, template.header, head).signature.hex(),
        }
        block = _Block(template, work.tag, request, meter or self._meter)
        with self._sending:
            if not self.wanted(template):  # another device was faster
                return
            answered = self._send(block)
        if answered:
            self._follow(template)

    def retry(self) -> None:
        """Send a block again that came too early for the node's clock, once it is time."""
        block, latest = self._early, self._templates.latest
        if block is None or self._now() < self._quiet_until:
            return
        if not self._sending.acquire(blocking=False):
            return  # another thread is at it
        try:
            if self._early is not block:
                return
            if latest is not None and latest.header.parent != block.template.header.parent:
                self._early = None  # another block was faster
                return
            answered = self._send(block)
        finally:
            self._sending.release()
        if answered:
            self._follow(block.template)

    def _send(self, block: _Block) -> bool:
        """Return whether the node said anything about the block."""
        try:
            answer = ask(self._link, _Answer, "submitsolution", **block.request)
        except RpcError as refusal:
            self._refused(block, refusal)
        except NodeAway:
            return False
        except UserError as error:
            _log.warning("block.unsubmitted", why=str(error))
            self._be_quiet()
            return False
        else:
            self._taken(block, answer)
        return True

    def _follow(self, template: Template) -> None:
        """Wait until the newest template is at hand."""
        self._refresh_quietly()
        parent = template.header.parent
        if parent == self._solved:
            self._templates.wait_beyond(parent, SETTLE_SECONDS)

    def _refused(self, block: _Block, refusal: RpcError) -> None:
        height = block.template.header.height
        if refusal.data == _FROM_FUTURE:
            if self._early is not block:
                _log.info("block.early", height=height, why=refusal.message)
            self._early = block
            self._quiet_until = self._now() + EARLY_SECONDS
            return
        _log.warning("block.refused", height=height, why=refusal.message)
        self._early = None
        self._be_quiet()

    def _be_quiet(self) -> None:
        self._quiet_until = self._now() + min(QUIET_LIMIT, QUIET_FIRST * 2**self._refusals)
        self._refusals = min(self._refusals + 1, 16)

    def _taken(self, block: _Block, answer: _Answer) -> None:
        header, tag = block.template.header, block.tag
        self._solved, self._early, self._refusals = header.parent, None, 0
        fields: dict[str, str | int] = {"height": header.height, "block": answer.block}
        if tag.job_id != NO_JOB:
            fields |= {"job": tag.job_id.hex(), "op": tag.op}
        if not answer.active:
            _log.info("block.stale", **fields)
            return
        block.meter.add(blocks=1, job_blocks=int(tag.job_id != NO_JOB))
        _log.info("block.found", **fields)

    def _refresh_quietly(self) -> None:
        try:
            self._templates.refresh()
        except UserError as error:
            _log.debug("template.refresh", why=str(error))


def _root(operand: Operand | None) -> Hash:
    return ZERO_OPERAND_ROOT if operand is None else operand.tree.root
