"""One account at one node: sending transactions and blobs, and waiting until they are on the chain.

Clock and sleep come in as arguments. Progress is told as (stage, done, total).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..core.blob import Chunk
from ..core.codec import encode
from ..core.errors import UserError
from ..core.hashing import Hash
from ..core.keys import PrivateKey, format_address
from ..core.transaction import Body
from ..genesis import Params
from .answers import (
    AccountState,
    BlobState,
    FeeEstimate,
    Info,
    SentTransaction,
    TransactionStatus,
    ask,
    ask_optional,
)
from .builder import DEFAULT_FEE_MULTIPLE, Builder, Terms, Upload, pack_chunks, split
from .client import METHOD_NOT_FOUND, RpcClient, RpcError

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told (stage, done, total) whenever something moved; total is 0 where it is not known."""

EXPIRY_BLOCKS: Final = 60
"""Blocks a transaction may wait: long enough for full blocks, short enough to try again."""
SOON_BLOCKS: Final = 3
"""Blocks within which a transaction should be included."""
DEAREST: Final = 100
"""Of the network's least rate: no node is believed that says more is needed."""
WAVE_UPLOADS: Final = 8
"""Uploads that wait in the mempool together: two blocks' worth, not a whole blob's."""
_MISSING_POLLS: Final = 3
"""Polls in a row that must not find a transaction: one may fall between mempool and block."""


class TransactionDropped(UserError):
    """A transaction left the mempool without being included."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How waiting is done. Seconds throughout."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    poll_seconds: float = 1.0


class Patience:
    """A deadline for one flow, whatever the steps in it."""

    def __init__(self, pace: Pace, seconds: float) -> None:
        self._pace = pace
        self._seconds = seconds
        self._end = pace.now() + seconds

    def pause(self, awaited: str) -> None:
        """Sleep until the next poll. Raises UserError once the deadline has passed."""
        left = self._end - self._pace.now()
        if left <= 0:
            raise UserError(
                f"gave up after {self._seconds:g} seconds waiting for {awaited}; "
                "it may still happen: look again later, or allow more time"
            )
        self._pace.sleep(min(left, self._pace.poll_seconds))


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that a node took into its mempool."""

    id: Hash
    expiry: int
    """Last height that may include it."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class Session:
    """Spends from one key through one node."""

    def __init__(
        self,
        client: RpcClient,
        params: Params,
        key: PrivateKey,
        progress: Progress = silent,
        pace: Pace | None = None,
    ) -> None:
        self.client = client
        self.params = params
        self.progress = progress
        self.pace = pace or Pace()
        self._builder = Builder(params, key)
        self._address = format_address(key.address, params.address_prefix)

    def info(self) -> Info:
        """Return the node's tip. Raises UserError when the node serves another network."""
        info = ask(self.client, Info, "getinfo")
        if info.chain_id != self.params.chain_id:
            raise UserError(
                f"the node at {self.client.url} serves {info.network[:64]!r}, "
                f"this wallet is for {self.params.name}"
            )
        return info

    def account(self) -> AccountState:
        """Return balance and nonces of the session's account."""
        return ask(self.client, AccountState, "getaccount", address=self._address)

    def patience(self, seconds: float) -> Patience:
        """Start a deadline."""
        return Patience(self.pace, seconds)

    def send(self, body: Body, chunks: Sequence[Chunk] = (), fee: int | None = None) -> Sent:
        """Sign a transaction with the next nonce and hand it to the node.

        `fee` is in base units; without one, the node's estimate is paid, from twice up to
        DEAREST times the network's least rate.

        Raises UserError when the node cannot be reached or serves another network, RpcError when
        it refuses the transaction.
        """
        expiry = self.info().height + EXPIRY_BLOCKS
        rate = self._estimated_rate() if fee is None else None
        terms = Terms(self.account().pending_nonce, expiry, fee, rate)
        bundle = self._builder.build(body, terms, chunks)
        answer = ask(self.client, SentTransaction, "sendtransaction", bundle=encode(bundle).hex())
        if answer.id != bundle.transaction.id.hex():
            raise UserError(f"the node at {self.client.url} took another transaction than sent")
        return Sent(bundle.transaction.id, expiry)

    def wait_included(self, sent: Sent, what: str, patience: Patience) -> TransactionStatus:
        """Wait until a transaction is in a block.

        Raises TransactionDropped when the node no longer knows it, UserError at the deadline.
        """
        missing = 0
        while True:
            status = ask(self.client, TransactionStatus, "gettransaction", id=sent.id.hex())
            if status.status == "included":
                return status
            missing = missing + 1 if status.status == "unknown" else 0
            if missing >= _MISSING_POLLS:
                raise self._dropped(sent, what)
            patience.pause(what)

    def publish_blob(self, data: bytes, what: str, patience: Patience) -> Hash:
        """Put a blob on the chain, or what is still missing of it, and return its root.

        Uploads go in waves: each is sent once the one before is in blocks. A transaction that is
        dropped, or overtaken by somebody else's upload of the same blob, costs one more round.
        Raises UserError at the deadline, or when the node refuses.
        """
        root, chunks = split(data)
        refusal: RpcError | None = None
        refused_at = 0
        while True:
            blob = ask_optional(self.client, BlobState, "getblob", root=root.hex())
            done = blob.next_chunk if blob is not None else 0
            self.progress(f"uploading {what}", done, len(chunks))
            if done >= len(chunks):
                return root
            if refusal is not None and refused_at == done:
                raise refusal
            if self._has_pending():  # maybe uploads of this very blob, before an interruption
                patience.pause(f"earlier transactions, before the upload of {what}")
                continue
            wave = pack_chunks(self.params, root, len(data), chunks, done)[:WAVE_UPLOADS]
            refusal, refused_at = self._send_wave(wave, what, patience), done

    def _estimated_rate(self) -> int | None:
        """Return what the node thinks a KiB takes, within bounds; None where it has no opinion."""
        try:
            estimate = ask(self.client, FeeEstimate, "estimatefee", blocks=SOON_BLOCKS)
        except RpcError as refusal:
            if refusal.code != METHOD_NOT_FOUND:
                raise
            return None
        least = self.params.min_fee_per_kib
        return min(max(estimate.fee_per_kib, DEFAULT_FEE_MULTIPLE * least), DEAREST * least)

    def _send_wave(self, wave: Sequence[Upload], what: str, patience: Patience) -> RpcError | None:
        """Send uploads and wait for them; return the refusal that kept the wave from starting."""
        sent: list[Sent] = []
        try:
            for upload in wave:
                sent.append(self.send(upload.body, upload.chunks))
        except RpcError as refusal:
            if not sent:
                return refusal
        try:
            for each in sent:
                self.wait_included(each, f"the upload of {what}", patience)
        except TransactionDropped:
            patience.pause(what)
        return None

    def _has_pending(self) -> bool:
        account = self.account()
        return account.pending_nonce > account.nonce

    def _dropped(self, sent: Sent, what: str) -> TransactionDropped:
        if self.info().height > sent.expiry:
            reason = f"expired at height {sent.expiry} before a block had room for it"
        else:
            reason = "was dropped by the node before it was in a block"
        return TransactionDropped(f"{what}: transaction {sent.id.hex()} {reason}; send it again")
