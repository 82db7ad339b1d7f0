"""What the network asks of the chain: one Protocol, implemented by the node over `chain`.

Plain methods answer from indexes and must return within milliseconds: they run on the event loop
and must not wait for a validation under way. The three coroutines do the heavy work elsewhere (a
worker thread) and are serialised by the implementation; the network may call them concurrently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.block import SealedHeader
from ..core.hashing import Hash
from ..core.transaction import Bundle


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a chain."""

    id: Hash
    height: int
    work: int
    """Cumulative difficulty, in MACs."""


class Ledger(Protocol):
    """The chain and the mempool as the network sees them."""

    @property
    def chain_id(self) -> int:
        """Number of the network, as in every transaction."""
        ...

    @property
    def genesis_id(self) -> Hash:
        """Id of block 0."""
        ...

    def tip(self) -> Tip:
        """Return the best fully validated block."""
        ...

    def best_header(self) -> Tip:
        """Return the header with most work that is not known to be invalid."""
        ...

    def locator(self) -> list[Hash]:
        """Return at most MAX_LOCATOR − 1 ids, exponentially spaced, best header to genesis."""
        ...

    def headers_after(self, locator: Sequence[Hash], limit: int) -> list[SealedHeader]:
        """Return up to `limit` headers of the validated chain, ascending.

        They follow the first id of `locator` that is on that chain, or genesis if none is.
        """
        ...

    def header(self, block: Hash) -> SealedHeader | None:
        """Return a known header; None for genesis, which is never sent."""
        ...

    def knows_header(self, block: Hash) -> bool:
        """Tell whether the header is known and not refused; true for genesis."""
        ...

    def has_body(self, block: Hash) -> bool:
        """Tell whether the block's body is stored; true for genesis."""
        ...

    def body(self, block: Hash) -> bytes | None:
        """Return the canonical bytes of a BlockBody of the validated chain.

        A body that is merely stored may belong to an invalid block: whoever passes it on is blamed.
        """
        ...

    def wanted_bodies(self, limit: int) -> list[Hash]:
        """Return ids on the path from the tip to the best header without a body, lowest first."""
        ...

    def bodies_towards(self, block: Hash, limit: int) -> list[Hash]:
        """Return the lowest blocks without a body on the way to a known header, it included.

        Empty when the header is unknown, invalid, or has no more work than the tip.
        """
        ...

    def has_transaction(self, transaction: Hash) -> bool:
        """Tell whether the mempool holds it or the chain recently included it."""
        ...

    def bundle(self, transaction: Hash) -> Bundle | None:
        """Return a mempool transaction with its chunks."""
        ...

    def mempool_ids(self, limit: int) -> list[Hash]:
        """Return up to `limit` mempool ids, those most worth relaying first."""
        ...

    async def accept_headers(self, headers: Sequence[SealedHeader]) -> int:
        """Take linked headers, ascending; return how many were new.

        Raises RuleViolation (the sender is punished), MissingParent, FromFuture.
        """
        ...

    async def accept_body(self, block: Hash, body: bytes) -> None:
        """Take the body of a known header; known bodies are ignored.

        Raises BodyMismatch, RuleViolation (both charged to the sender) or MissingParent.
        """
        ...

    async def accept_bundle(self, bundle: Bundle) -> bool:
        """Offer a transaction to the mempool; True if it is new and was taken.

        Raises RuleViolation only for what *no* state could make valid (encoding, signature, chunks,
        chain id): its sender is banned. Whatever depends on this node's tip (nonce, balance,
        expiry) or taste is a PolicyRejection, which an honest peer may cause.
        """
        ...
