"""The chain and the mempool as the network and the miners' RPC see them.

Reading answers from what is in memory, or from single keys of the database, without the chain's
lock: a validation under way holds that for seconds, and the event loop must not wait for it.
Whatever takes something in runs in the worker thread.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from ..chain.blockindex import Entry
from ..chain.chainstate import Chain
from ..chain.mempool import Mempool
from ..chain.template import Template, build_template
from ..consensus.body_rules import check_body
from ..consensus.ticket import check_head
from ..core.block import BlockBody, SealedHeader
from ..core.codec import decode
from ..core.errors import BodyMismatch, DecodeError, PolicyRejection, RuleViolation
from ..core.hashing import Hash
from ..core.ticket import Head, Opening
from ..core.transaction import Bundle
from ..p2p.ledger import Tip
from ..p2p.limits import MAX_BODY_BYTES
from .worker import Worker

_STATELESS_RULES: Final = frozenset({"tx-chain", "tx-signature"})
"""Rules that no later state can make a transaction satisfy."""


class NodeLedger:
    """Implements `p2p.ledger.Ledger` over one chain and its mempool."""

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        worker: Worker,
        now: Callable[[], int],
        on_waiting: Callable[[], None],
    ) -> None:
        """`now` returns UTC seconds; `on_waiting` is told of every transaction taken in."""
        self._chain: Final = chain
        self._mempool: Final = mempool
        self._worker: Final = worker
        self._now: Final = now
        self._on_waiting: Final = on_waiting

    # Reading, on the event loop --------------------------------------------------------------

    @property
    def chain_id(self) -> int:
        """Number of the network."""
        return self._chain.params.chain_id

    @property
    def genesis_id(self) -> Hash:
        """Id of block 0."""
        return self._chain.index.genesis.id

    def tip(self) -> Tip:
        """Return the best fully validated block."""
        return _tip(self._chain.tip)

    def best_header(self) -> Tip:
        """Return the header with most work that is not known to be invalid."""
        return _tip(self._chain.index.best_header)

    def locator(self) -> list[Hash]:
        """Return ids from the best header back to genesis, ever further apart."""
        return self._chain.locator()

    def headers_after(self, locator: Sequence[Hash], limit: int) -> list[SealedHeader]:
        """Return up to `limit` linked headers of the validated chain, ascending."""
        return self._chain.headers_after(locator, limit)

    def header(self, block: Hash) -> SealedHeader | None:
        """Return a known header; None for genesis, which is never sent."""
        entry = self._chain.index.get(block)
        return None if entry is None or entry.height == 0 else entry.sealed

    def knows_header(self, block: Hash) -> bool:
        """Tell whether the header is known and not refused."""
        entry = self._chain.index.get(block)
        return entry is not None and not entry.invalid

    def has_body(self, block: Hash) -> bool:
        """Tell whether the block's body is stored; true for genesis."""
        entry = self._chain.index.get(block)
        return entry is not None and entry.has_body

    def body(self, block: Hash) -> bytes | None:
        """Return the canonical bytes of a body of the validated chain."""
        entry = self._chain.index.get(block)
        if entry is None or not self._chain.is_active(entry):
            return None
        return self._chain.body_bytes(block)

    def wanted_bodies(self, limit: int) -> list[Hash]:
        """Return the lowest blocks on the way to the best header whose bodies are missing."""
        return self._chain.wanted_bodies(limit)

    def bodies_towards(self, block: Hash, limit: int) -> list[Hash]:
        """Return the lowest blocks without a body on the way to a header of more work than the tip.

        Walks from the header down to the first block that is complete.
        """
        entry = self._chain.index.get(block)
        if entry is None or entry.invalid or entry.work <= self._chain.tip.work:
            return []
        missing: deque[Hash] = deque(maxlen=limit)
        for ancestor in entry.ancestors():
            if ancestor.ready:
                break
            if not ancestor.has_body:
                missing.appendleft(ancestor.id)
        return list(missing)

    def has_transaction(self, transaction: Hash) -> bool:
        """Tell whether the mempool or the active chain has it."""
        if transaction in self._mempool:
            return True
        return self._chain.height_of_transaction(transaction) is not None

    def bundle(self, transaction: Hash) -> Bundle | None:
        """Return a mempool transaction with its chunks."""
        return self._mempool.get(transaction)

    def mempool_ids(self, limit: int) -> list[Hash]:
        """Return up to `limit` mempool ids in an order in which they apply."""
        return [identity for identity, _ in islice(self._mempool.bundles(), limit)]

    # Taking in, in the worker thread -----------------------------------------------------------

    async def accept_headers(self, headers: Sequence[SealedHeader]) -> int:
        """Take linked headers; return how many were new. Raises as `Chain.accept_header`."""
        return await self._worker.run(self._take_headers, headers)

    async def accept_body(self, block: Hash, body: bytes) -> None:
        """Take the body of a known header.

        Raises BodyMismatch, RuleViolation or MissingParent. Bytes that are no body at all are a
        mismatch: they say nothing against the block.
        """
        await self._worker.run(self._take_body, block, body)

    async def accept_bundle(self, bundle: Bundle) -> bool:
        """Offer a peer's transaction to the mempool; True if it is new and was taken.

        Raises RuleViolation for what no state could make valid, else PolicyRejection.
        """
        try:
            await self.add_bundle(bundle)
        except PolicyRejection as rejection:
            if rejection.reason in ("known", "included"):
                return False
            raise
        except BodyMismatch as mismatch:
            raise RuleViolation("tx-chunks", str(mismatch)) from None
        except RuleViolation as violation:
            if violation.rule in _STATELESS_RULES:
                raise
            raise PolicyRejection(violation.rule, violation.detail) from None
        return True

    async def add_bundle(self, bundle: Bundle) -> Hash:
        """Put a transaction into the mempool and return its id. Raises as `Mempool.add`."""
        identity = await self._worker.run(self._mempool.add, bundle)
        self._on_waiting()
        return identity

    async def build_template(self, miner: bytes, payout: bytes) -> tuple[Template, int]:
        """Return a block to mine on the tip, and the mempool's revision that it was made from."""
        return await self._worker.run(self._make_template, miner, payout)

    async def accept_solution(
        self, template: Template, head: Head, opening: Opening, signature: bytes
    ) -> tuple[Hash, bool]:
        """Take a block mined on a template; return its id and whether it is in the active chain.

        Raises RuleViolation, BodyMismatch or FromFuture.
        """
        sealed = SealedHeader(template.header, head, signature)
        return await self._worker.run(self._take_solution, sealed, template.body(opening))

    def _take_headers(self, headers: Sequence[SealedHeader]) -> int:
        now = self._now()
        return sum(self._chain.accept_header(sealed, now) for sealed in headers)

    def _take_body(self, block: Hash, data: bytes) -> None:
        try:
            body = decode(BlockBody, data, MAX_BODY_BYTES)
        except DecodeError as error:
            raise BodyMismatch(error.detail) from None
        self._chain.accept_body(block, body)

    def _make_template(self, miner: bytes, payout: bytes) -> tuple[Template, int]:
        with self._chain.lock:
            revision = self._mempool.revision
            template = build_template(self._chain, self._mempool, miner, payout, self._now())
            return template, revision

    def _take_solution(self, sealed: SealedHeader, body: BlockBody) -> tuple[Hash, bool]:
        chain = self._chain
        # The proof first, as a whole: a header whose body never comes would hold up everybody.
        check_head(sealed.header.sigma, sealed.head, sealed.header.work)
        check_body(sealed, body, chain.params)
        chain.accept_header(sealed, self._now())
        chain.accept_body(sealed.id, body)
        entry = chain.index.get(sealed.id)
        return sealed.id, entry is not None and chain.is_active(entry)


def _tip(entry: Entry) -> Tip:
    return Tip(entry.id, entry.height, entry.work)
