"""From a winning tile to a block: head, opening, seal, submission."""

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
from ..wallet.answers import ask
from ..wallet.client import RpcError
from .meter import Meter
from .node_link import NodeAway, NodeLink
from .templates import Template, TemplateSource

_log = structlog.get_logger(__name__)

SETTLE_SECONDS: Final = 2.0
"""How long to wait for the node to build on a block of ours."""


class _Answer(msgspec.Struct, frozen=True):
    """`submitsolution`."""

    block: str
    accepted: bool
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


class Solutions:
    """Submits winners: one per parent, since only one block can follow it."""

    def __init__(
        self, link: NodeLink, key: PrivateKey, templates: TemplateSource, meter: Meter
    ) -> None:
        """Seal with `key`, the key that the templates' headers name."""
        self._link = link
        self._key = key
        self._templates = templates
        self._meter = meter
        self._solved: Hash = ZERO_HASH

    def wanted(self, template: Template) -> bool:
        """Tell whether a winner under this template could still become the tip."""
        return template.header.parent != self._solved

    def submit(self, template: Template, work: Work, tile: tuple[int, int], lanes: bytes) -> None:
        """Make a block of a winning tile (row, column) and its transcript; hand it to the node.

        Afterwards the newest template is at hand. A refusal is logged, and so is a node that is
        away: the work of the product is not lost by either.
        """
        if not self.wanted(template):
            return
        head = make_head(work.shape, work.tag, work.roots, tile, lanes)
        sealed = seal(self._key, template.header, head)
        opening = make_opening(work.a, work.b, tile)
        try:
            answer = ask(
                self._link,
                _Answer,
                "submitsolution",
                template=template.id,
                head=encode(head).hex(),
                opening=encode(opening).hex(),
                signature=sealed.signature.hex(),
            )
            self._take(template, work.tag, answer)
            self._templates.refresh()
        except RpcError as refusal:
            _log.warning("block.refused", height=template.header.height, why=refusal.message)
            self._refresh_quietly()
        except UserError as error:
            if not isinstance(error, NodeAway):
                _log.warning("block.unsubmitted", why=str(error))
        if not self.wanted(template):
            self._templates.wait_beyond(template.header.parent, SETTLE_SECONDS)

    def _take(self, template: Template, tag: Tag, answer: _Answer) -> None:
        if not answer.accepted:
            _log.warning("block.refused", height=template.header.height, why="not accepted")
            return
        self._solved = template.header.parent
        fields = {"height": template.header.height, "block": answer.block}
        if tag.job_id != NO_JOB:
            fields |= {"job": tag.job_id.hex(), "op": tag.op}
        if not answer.active:
            _log.info("block.stale", **fields)
            return
        self._meter.add(blocks=1, job_blocks=int(tag.job_id != NO_JOB))
        _log.info("block.found", **fields)

    def _refresh_quietly(self) -> None:
        try:
            self._templates.refresh()
        except UserError as error:
            _log.debug("template.refresh", why=str(error))


def _root(operand: Operand | None) -> Hash:
    return ZERO_OPERAND_ROOT if operand is None else operand.tree.root
