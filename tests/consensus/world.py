"""A chain of state transitions in memory: real rules, keys, programs and results, no storage.

Headers are signed but carry no won ticket: tickets are judged before the transition, and have
tests of their own. After every block the whole state is held to the supply invariant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.consensus import records as r
from pouw.consensus.genesis_block import EMPTY_HEAD, genesis_block
from pouw.consensus.header_rules import HEADER_VERSION
from pouw.consensus.jobs.checker import ResultChecker
from pouw.consensus.state import State
from pouw.consensus.state_view import Overlay
from pouw.consensus.supply import check_whole_supply
from pouw.consensus.transition import apply_block, genesis_diff
from pouw.core.blob import blob_root, chunk_count
from pouw.core.block import Header, SealedHeader, seal, transactions_root
from pouw.core.codec import MAX_INT, decode
from pouw.core.commitment import operand_root
from pouw.core.errors import RuleViolation
from pouw.core.hashing import ZERO_HASH, Hash, u256
from pouw.core.keys import PrivateKey
from pouw.core.ticket import Head
from pouw.core.transaction import (
    INSTANT_MODE,
    MAX_UPLOAD_CHUNKS,
    Body,
    CancelJob,
    ClaimJob,
    CommitResult,
    Payload,
    RegisterModel,
    RoyaltyShare,
    SettleJob,
    SubmitJob,
    Transaction,
    UploadBlob,
    result_commitment,
    sign_transaction,
)
from pouw.genesis import TINY, Params
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.multiplier import ReferenceMultiplier, matmul_each
from pouw.vm.operands import pad_operand, padded_shape
from pouw.vm.ops import Argmax, Matmul, Op, Requantise
from pouw.vm.products import Product
from pouw.vm.program import Program, encode_program
from pouw.vm.tensor import encode_output
from pouw.vm.types import Declaration, DType, Interval, TensorType

COIN: Final = 10**9
FUNDS: Final = 1_000_000 * COIN

OWNER, ALICE, BOB, CAROL, MINER, STRANGER = (PrivateKey(bytes([i + 1]) * 32) for i in range(6))
RICH: Final = (OWNER, ALICE, BOB, CAROL, MINER)
"""Everybody but the stranger has FUNDS at genesis."""

PARAMS: Final = replace(TINY, allocations=tuple((key.address, FUNDS) for key in RICH))
SALT: Final = bytes(range(32))


@dataclass(frozen=True)
class Kit:
    """A program, its weights and an input of two items."""

    program: Program
    weights: bytes
    data: bytes

    @property
    def checked(self) -> CheckedProgram:
        """The program with its types and costs."""
        return check_program(self.program)


def _declare(shape: int) -> Declaration:
    return Declaration(TensorType(DType.INT8, (shape,)), Interval(-64, 63))


def _operand(seed: int, *shape: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-64, 64, shape, dtype=np.int8)


def narrowing(shift: int) -> Callable[[int, int], Op]:
    """Return how to build a requantisation to all of int8's operand range."""
    return lambda x, multiplier: Requantise(x, multiplier, shift, -64, 63)


def plain_kit(seed: int = 0) -> Kit:
    """One product of k = 32, which every node recomputes."""
    builder = ProgramBuilder(_declare(32))
    builder.op(Matmul, builder.source(), builder.constant(_operand(seed, 4, 32), DType.INT8))
    return Kit(*builder.finish(), _operand(seed + 1, 2, 32).tobytes())


def layered_kit(seed: int = 0) -> Kit:
    """A product of k = 256, posted on TINY, then one of k = 16, recomputed, then the classes."""
    builder = ProgramBuilder(_declare(256))
    hidden = builder.op(
        Matmul, builder.source(), builder.constant(_operand(seed, 16, 256), DType.INT8)
    )
    scale = builder.constant(np.array([1 << 20], np.int32), DType.INT32)
    narrow = builder.op(narrowing(30), hidden, scale)
    scores = builder.op(Matmul, narrow, builder.constant(_operand(seed + 1, 3, 16), DType.INT8))
    builder.op(Argmax, scores)
    return Kit(*builder.finish(), _operand(seed + 2, 2, 256).tobytes())


@dataclass
class Trace:
    """Multiplies, and keeps every product with its operands."""

    products: list[tuple[Product, NDArray[np.int8], NDArray[np.int8], NDArray[np.int32]]] = field(
        default_factory=list[tuple[Product, NDArray[np.int8], NDArray[np.int8], NDArray[np.int32]]]
    )

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        """See `ProductHandler.product`."""
        c = ReferenceMultiplier().matmul(a, b_t)
        self.products.append((product, a.copy(), b_t.copy(), c))
        return c

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """See `ProductHandler.batch`."""
        return matmul_each(ReferenceMultiplier(), a, b_t)


class World:
    """One chain. Its source of blobs refuses what the state does not record as complete."""

    def __init__(self, params: Params = PARAMS) -> None:
        self.params = params
        self.difficulty = params.initial_difficulty
        self.state: dict[bytes, bytes] = {}
        self.data: dict[Hash, bytes] = {}
        self.checker = ResultChecker(params, self, ReferenceMultiplier())
        self.tip: SealedHeader = genesis_block(params)
        self._apply(genesis_diff(params))

    # Reading -------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Height of the last block."""
        return self.tip.header.height

    def blob(self, root: bytes) -> bytes:
        """Serve a blob as `BlobSource`; KeyError for one that is not complete in the state."""
        record = decode(r.BlobRecord, self.state[r.blob_key(root)], r.RECORD_LIMIT)
        if not record.completed:
            raise KeyError(root.hex())
        return self.data[root]

    def scratch(self, height: int | None = None) -> State:
        """Return the state on an overlay of its own, at the next height or the one given."""
        at = self.height + 1 if height is None else height
        return State(Overlay(self.state), self.params, at)

    def job(self, job: Hash) -> r.Job:
        """Return a job's record."""
        return self.scratch().job(job)

    def balance(self, key: PrivateKey) -> int:
        """Return what a key owns."""
        return self.scratch().account(key.address).balance

    def totals(self) -> r.Totals:
        """Return the chain's sums."""
        return self.scratch().totals()

    def work_record(self, key: PrivateKey) -> r.WorkRecord:
        """Return a worker's record."""
        return self.scratch().work_record(key.address)

    # Blocks --------------------------------------------------------------------------------

    def sign(
        self, key: PrivateKey, body: Body, *, fee: int = 0, ahead: int = 0, expiry: int = MAX_INT
    ) -> Transaction:
        """Sign the sender's next transaction, or the one `ahead` of it."""
        nonce = self.scratch().account(key.address).nonce + ahead
        payload = Payload(self.params.chain_id, key.public, nonce, fee, expiry, body)
        return sign_transaction(key, payload)

    def seal(
        self,
        transactions: Sequence[Transaction],
        miner: PrivateKey = MINER,
        head: Head = EMPTY_HEAD,
    ) -> SealedHeader:
        """Return the sealed header of a block on the tip."""
        header = Header(
            version=HEADER_VERSION,
            parent=self.tip.id,
            height=self.height + 1,
            time=self.tip.header.time + self.params.target_spacing,
            difficulty=u256(self.difficulty),
            miner=miner.public,
            payout=miner.address,
            transactions_root=transactions_root(tuple(transactions)),
            state_root=ZERO_HASH,
        )
        return seal(miner, header, head)

    def mine(
        self, *transactions: Transaction, miner: PrivateKey = MINER, head: Head = EMPTY_HEAD
    ) -> SealedHeader:
        """Apply a block of these transactions and check what it leaves behind."""
        block = self.seal(transactions, miner, head)
        before = dict(self.state)
        try:
            diff = apply_block(self.state, self.params, self.tip, block, transactions, self.checker)
        finally:
            assert self.state == before
        self._apply(diff)
        self.tip = block
        return block

    def mine_to(self, height: int) -> None:
        """Mine empty blocks up to a height."""
        while self.height < height:
            self.mine()

    def refuse(
        self,
        rule: str,
        *transactions: Transaction,
        miner: PrivateKey = MINER,
        head: Head = EMPTY_HEAD,
    ) -> RuleViolation:
        """Check that a block is refused by this rule, and changes nothing."""
        tip = self.tip
        with pytest.raises(RuleViolation) as caught:
            self.mine(*transactions, miner=miner, head=head)
        assert caught.value.rule == rule, caught.value
        assert self.tip is tip
        return caught.value

    def _apply(self, diff: dict[bytes, bytes | None]) -> None:
        for key, value in diff.items():
            if value is None:
                del self.state[key]
            else:
                self.state[key] = value
        check_whole_supply(self.state.items())

    # Ways of a job -------------------------------------------------------------------------

    def publish(self, data: bytes, key: PrivateKey = CAROL) -> Hash:
        """Upload a blob, in as many blocks as it takes, unless it is there; return its root."""
        root, count = blob_root(data), chunk_count(len(data))
        self.data[root] = data
        if r.blob_key(root) not in self.state:
            for first in range(0, count, MAX_UPLOAD_CHUNKS):
                part = min(MAX_UPLOAD_CHUNKS, count - first)
                self.mine(self.sign(key, UploadBlob(root, len(data), first, part)))
        return root

    def register(
        self, kit: Kit, royalties: tuple[RoyaltyShare, ...] = (), key: PrivateKey = CAROL
    ) -> Hash:
        """Put a model on the chain and return its id."""
        program, weights = self.publish(encode_program(kit.program)), self.publish(kit.weights)
        signed = self.sign(key, RegisterModel("model", program, weights, "MIT", royalties))
        self.mine(signed)
        return signed.id

    def submission(
        self, model: Hash, data: bytes, *, bounty: int = 10 * COIN, blocks: int = 50
    ) -> SubmitJob:
        """Return a submission whose deadline is `blocks` after the next block."""
        root = blob_root(data)
        return SubmitJob(model, root, INSTANT_MODE, bounty, self.height + 1 + blocks)

    def submit(
        self,
        model: Hash,
        data: bytes,
        *,
        bounty: int = 10 * COIN,
        fee: int = 0,
        blocks: int = 50,
        key: PrivateKey = OWNER,
    ) -> Hash:
        """Upload an input, submit a job on it and return its id."""
        self.publish(data)
        signed = self.sign(key, self.submission(model, data, bounty=bounty, blocks=blocks), fee=fee)
        self.mine(signed)
        return signed.id

    def claim(self, job: Hash, *keys: PrivateKey) -> PrivateKey:
        """Let these claim in one block, wait for the decision and return the winner."""
        self.mine(*(self.sign(key, ClaimJob(job)) for key in keys))
        self.mine()
        self.mine()
        worker = self.job(job).worker
        return next(key for key in keys if key.address == worker)

    def trace(self, job: Hash) -> tuple[bytes, Trace]:
        """Execute a job; return its output and the trace of its products."""
        record = self.job(job)
        model = self.scratch().model(record.model)
        trace = Trace()
        checked = self.checker.program(model)
        weights, data = self.data[model.weights], self.data[record.input]
        execution = execute(checked, weights, data, trace)
        return encode_output(checked, execution.output), trace

    def posted(self, job: Hash) -> tuple[NDArray[np.int32], ...]:
        """Return the right products that the job's settlement has to post."""
        return tuple(
            c
            for product, _, _, c in self.trace(job)[1].products
            if product.k >= self.params.posted_product_min_k
        )

    def commitment(self, job: Hash, key: PrivateKey, output: bytes | None = None) -> CommitResult:
        """Return the commitment to an output, by default the right one."""
        result = self.trace(job)[0] if output is None else output
        return CommitResult(job, result_commitment(key.address, job, blob_root(result), SALT))

    def commit(self, job: Hash, key: PrivateKey, output: bytes | None = None) -> None:
        """Commit a claimant to an output, by default the right one."""
        self.mine(self.sign(key, self.commitment(job, key, output)))

    def settlement(
        self,
        job: Hash,
        output: bytes | None = None,
        products: Sequence[NDArray[np.int32]] | None = None,
    ) -> SettleJob:
        """Publish the posted products and return the settlement; all right ones by default."""
        posted = self.posted(job) if products is None else products
        roots = tuple(self.publish(c.astype("<i4").tobytes()) for c in posted)
        return SettleJob(job, self.trace(job)[0] if output is None else output, SALT, roots)

    def settle(self, job: Hash, key: PrivateKey, fee: int = 0) -> None:
        """Commit to the right result and reveal it."""
        settlement = self.settlement(job)
        self.commit(job, key)
        self.mine(self.sign(key, settlement, fee=fee))

    def cancel(self, job: Hash, key: PrivateKey = OWNER) -> None:
        """Cancel a job."""
        self.mine(self.sign(key, CancelJob(job)))

    def head(self, job: Hash, op: int = 0) -> Head:
        """Return an honest head of a block mined with one product of a job."""
        product, a, b_t, _ = self.trace(job)[1].products[op]
        m, n, k = padded_shape(product)
        roots = operand_root(pad_operand(a)), operand_root(pad_operand(b_t))
        return Head(m, n, k, bytes(8), job, op, 0, 0, *roots, bytes(128))
