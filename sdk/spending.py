"""Exact fees, and a session that cannot spend more than it was allowed.

Every transaction pays a fee that is known before it exists: that of its largest possible form. So
a quote names what will be paid, not about what.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from ..core.blob import Chunk
from ..core.codec import MAX_INT
from ..core.errors import UserError
from ..core.hashing import HASH_BYTES
from ..core.keys import SIGNATURE_BYTES
from ..core.transaction import Body, Bundle, Payload, SubmitJob, Transaction
from ..genesis import Params
from ..wallet.builder import DEFAULT_FEE_MULTIPLE, pack_chunks, size_in_kib, split
from ..wallet.client import RpcClient, RpcError
from ..wallet.session import Pace, Progress, Sent, Session, silent
from .amounts import pouw
from .wallet import Wallet


def exact_fee(params: Params, body: Body, chunks: Sequence[Chunk] = ()) -> int:
    """Return what this client pays for a transaction, in base units, whoever sends it and when."""
    blank = bytes(HASH_BYTES)
    widest = Payload(params.chain_id, blank, MAX_INT, MAX_INT, MAX_INT, body)
    bundle = Bundle(Transaction(widest, bytes(SIGNATURE_BYTES)), tuple(chunks))
    return DEFAULT_FEE_MULTIPLE * params.min_fee_per_kib * size_in_kib(bundle)


def upload_fee(params: Params, data: bytes, first_chunk: int = 0) -> int:
    """Return what uploading a blob costs from a chunk on, in base units. Raises UserError."""
    root, chunks = split(data)
    packed = pack_chunks(params, root, len(data), chunks, first_chunk)
    return sum(exact_fee(params, each.body, each.chunks) for each in packed)


class Allowance:
    """What may be spent in one go; asked before anything is signed."""

    def __init__(self, limit: int | None) -> None:
        """`limit` in base units, None for none."""
        self._limit: Final = limit
        self.spent = 0
        """Base units, of transactions that were dropped later, too: they may still turn up."""

    def spend(self, amount: int, what: str) -> None:
        """Take from what is left. Raises UserError when it is not enough."""
        if self._limit is not None and self.spent + amount > self._limit:
            raise UserError(
                f"{what} takes {pouw(amount)}, which with {pouw(self.spent)} spent before is more "
                f"than max_cost, {pouw(self._limit)}: nothing more was signed; allow more"
            )
        self.spent += amount

    def give_back(self, amount: int) -> None:
        """Return what was not spent after all."""
        self.spent -= amount


class SpendingSession(Session):
    """A session that pays exact fees out of an allowance, and can be stopped."""

    def __init__(
        self,
        rpc: RpcClient,
        wallet: Wallet,
        allowance: Allowance,
        pace: Pace,
        progress: Progress = silent,
        check_stop: Callable[[], None] = lambda: None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """`check_stop` is called before each transaction and raises to prevent it.

        `turn` is held from asking for a nonce until the node has the transaction, so that threads
        that share a key do not take the same one.
        """
        super().__init__(rpc, wallet.params, wallet.key, progress, pace)
        self.allowance: Final = allowance
        self._check_stop: Final = check_stop
        self._turn: Final = turn or nullcontext()

    def send(self, body: Body, chunks: Sequence[Chunk] = (), fee: int | None = None) -> Sent:
        """See Session. Raises UserError also where the allowance does not reach."""
        self._check_stop()
        paid = exact_fee(self.params, body, chunks) if fee is None else fee
        self.allowance.spend(paid, "the next transaction")
        try:
            with self._turn:
                return super().send(body, chunks, paid)
        except RpcError:  # refused; after any other error it may have arrived
            self.allowance.give_back(paid)
            raise

    def send_job(self, body: SubmitJob, escrow: int) -> Sent:
        """Send a submission that binds `escrow` base units besides its fee. Raises as `send`."""
        self.allowance.spend(escrow, "the job")
        try:
            return self.send(body)
        except RpcError:
            self.allowance.give_back(escrow)
            raise
