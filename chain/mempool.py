"""Transactions that wait for a block: valid one after the other on top of the tip, bounded.

The pool keeps a pending state, the tip's plus all its transactions, so that admission is the very
function that blocks are judged by. When the tip changes, the transactions of blocks taken off come
back first, and everything is run again; what does not apply any more, or has no room, is dropped.
Whoever sent it sends it again.
"""

import threading
from collections.abc import Iterator
from typing import Final

import structlog

from ..consensus.body_rules import check_chunks
from ..consensus.budget import Budget
from ..consensus.state import State
from ..consensus.state_view import Overlay
from ..consensus.transition import apply_transaction, begin_block
from ..core.block import MAX_BLOCK_CHUNKS, MAX_BLOCK_TRANSACTIONS, BlockBody
from ..core.codec import encode
from ..core.errors import PolicyRejection, RuleViolation
from ..core.hashing import Hash
from ..core.ticket import MAX_OPENING_BYTES
from ..core.transaction import Bundle, UploadBlob
from ..genesis import Params
from .chainstate import Chain, ChainChange

_log = structlog.get_logger(__name__)

MAX_POOL_BYTES: Final = 64 << 20
MAX_POOL_TRANSACTIONS: Final = 1 << 16
"""Bounds the time that the chain waits while everything is run again on a new tip."""
MAX_PER_SENDER: Final = 256
_KIB: Final = 1024
_BODY_OVERHEAD: Final = 64
"""Array headers around a body's transactions and chunks."""


class BlockRoom:
    """What is left of a block for transactions and their chunks, in bytes and in number."""

    def __init__(self, params: Params) -> None:
        """Start with an empty block, less what the largest proof takes."""
        self._bytes = params.max_block_bytes - MAX_OPENING_BYTES - _BODY_OVERHEAD
        self._chunk_bytes = params.max_chunk_bytes
        self._transactions = MAX_BLOCK_TRANSACTIONS
        self._chunks = MAX_BLOCK_CHUNKS

    def fits(self, bundle: Bundle, size: int) -> bool:
        """Tell whether a bundle of `size` canonical bytes has room."""
        return (
            size <= self._bytes
            and _chunk_bytes(bundle) <= self._chunk_bytes
            and len(bundle.chunks) <= self._chunks
            and self._transactions > 0
        )

    def take(self, bundle: Bundle, size: int) -> None:
        """Use up room for a bundle that fits."""
        self._bytes -= size
        self._chunk_bytes -= _chunk_bytes(bundle)
        self._chunks -= len(bundle.chunks)
        self._transactions -= 1


class Mempool:
    """Pending transactions of one chain; callable from several threads.

    What changes the pool or reads its pending state takes the chain's lock; look-ups take none.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain: Final = chain
        self._lock: Final[threading.RLock] = chain.lock
        self._empty_block: Final = BlockRoom(chain.params)
        self._clear()
        self.revision = 0
        """Grows with every change, so that block templates know when they are stale."""
        chain.listeners.append(self._follow)

    def __len__(self) -> int:
        return len(self._bundles)

    def __contains__(self, transaction: Hash) -> bool:
        return transaction in self._bundles

    @property
    def size(self) -> int:
        """Canonical bytes of everything pending, chunks included."""
        return self._size

    def get(self, transaction: Hash) -> Bundle | None:
        """Return a pending transaction with its chunks."""
        return self._bundles.get(transaction)

    def bundles(self) -> Iterator[tuple[Hash, Bundle]]:
        """Yield what is pending, in an order in which it applies."""
        return iter(list(self._bundles.items()))

    def pending_nonce(self, address: bytes) -> int:
        """Return the nonce of an account's next transaction."""
        with self._lock:
            return self._pending.account(address).nonce

    def add(self, bundle: Bundle) -> Hash:
        """Take in a transaction and return its id.

        Raises RuleViolation when it can not be valid next, BodyMismatch when its chunks are not
        those it announces, PolicyRejection when this node declines it.
        """
        transaction = bundle.transaction
        identity = transaction.id
        with self._lock:
            if identity in self._bundles:
                raise PolicyRejection("known", "this transaction is already waiting")
            if self._chain.height_of_transaction(identity) is not None:
                raise PolicyRejection("included", "this transaction is already in the chain")
            size = len(encode(bundle))
            self._check_policy(bundle, size)
            if not transaction.signature_is_valid():
                raise RuleViolation("tx-signature", f"transaction {identity.hex()}")
            check_chunks((transaction,), bundle.chunks)
            self._apply(bundle)
            self._insert(identity, bundle, size)
            return identity

    def _check_policy(self, bundle: Bundle, size: int) -> None:
        payload = bundle.transaction.payload
        needed = -(-size * self._chain.params.min_fee_per_kib // _KIB)
        if payload.fee < needed:
            raise PolicyRejection("fee", f"fee {payload.fee}, at least {needed} for {size} bytes")
        if not self._empty_block.fits(bundle, size):
            raise PolicyRejection("size", f"{size} bytes fit into no block")
        if self._size + size > MAX_POOL_BYTES or len(self._bundles) >= MAX_POOL_TRANSACTIONS:
            raise PolicyRejection("full", "too many transactions are waiting; try again later")
        if self._per_sender.get(payload.sender, 0) >= MAX_PER_SENDER:
            raise PolicyRejection("sender", f"this sender has {MAX_PER_SENDER} waiting already")

    def _apply(self, bundle: Bundle) -> None:
        state = self._pending
        scratch = State(Overlay(state.overlay), state.params, state.height)
        budget = Budget(state.params)
        checker = self._chain.checker
        apply_transaction(scratch, bundle.transaction, self._difficulty, checker, budget)
        scratch.overlay.commit_into_parent()

    def _insert(self, identity: Hash, bundle: Bundle, size: int) -> None:
        sender = bundle.transaction.payload.sender
        self._bundles[identity] = bundle
        self._size += size
        self._per_sender[sender] = self._per_sender.get(sender, 0) + 1
        self.revision += 1

    def _follow(self, change: ChainChange) -> None:
        included = {
            transaction.id for _, body in change.connected for transaction in body.transactions
        }
        resurrected = [
            (bundle.transaction.id, bundle)
            for _, body in reversed(change.disconnected)
            for bundle in bundles_of(body)
        ]
        waiting = list(self._bundles.items())
        self._clear()
        self.revision += 1
        for identity, bundle in (*resurrected, *waiting):
            if identity not in included:
                self._take_back(identity, bundle)

    def _take_back(self, identity: Hash, bundle: Bundle) -> None:
        size = len(encode(bundle))
        try:
            self._check_policy(bundle, size)
            self._apply(bundle)
        except (RuleViolation, PolicyRejection) as refusal:
            _log.debug("mempool.dropped", transaction=identity.hex(), why=str(refusal))
        else:
            self._insert(identity, bundle, size)

    def _clear(self) -> None:
        """Start anew on the chain's tip, with nothing pending."""
        chain, tip = self._chain, self._chain.tip
        self._difficulty = chain.index.context(tip).difficulty(chain.params)
        self._pending = State(Overlay(chain.state), chain.params, tip.height + 1)
        begin_block(self._pending, tip.sealed, self._difficulty)
        self._bundles: dict[Hash, Bundle] = {}
        self._per_sender: dict[bytes, int] = {}
        self._size = 0


def bundles_of(body: BlockBody) -> Iterator[Bundle]:
    """Yield a body's transactions, each with its own chunks again."""
    chunks = iter(body.chunks)
    for transaction in body.transactions:
        upload = transaction.payload.body
        count = upload.chunk_count if isinstance(upload, UploadBlob) else 0
        yield Bundle(transaction, tuple(next(chunks) for _ in range(count)))


def _chunk_bytes(bundle: Bundle) -> int:
    return sum(len(chunk.data) for chunk in bundle.chunks)
