"""Re-checking a settled job from its data alone, step by step, as a node and beyond it.

A node multiplies what is cheap and checks the rest by Freivalds; here everything is multiplied
again as well. A step either says what holds, or raises `Wrong`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..consensus import prices
from ..consensus import records as r
from ..consensus.freivalds import ThinProducts
from ..consensus.genesis_block import genesis_block
from ..consensus.header_rules import MEDIAN_SPAN, HeaderContext, check_header
from ..consensus.jobs.checker import ResultChecker
from ..consensus.ticket import check_opening
from ..core.blob import blob_root
from ..core.block import SealedHeader
from ..core.codec import encode
from ..core.commitment import operand_root, verify_item
from ..core.errors import BodyMismatch, FromFuture, RuleViolation
from ..core.hashing import Hash, read_u256
from ..core.stateproof import StateProof, verify_state_proof
from ..core.transaction import RegisterModel, SettleJob, SubmitJob, result_commitment
from ..genesis import Params
from ..vm.executor import execute
from ..vm.multiplier import Multiplier, matmul_each
from ..vm.operands import pad_operand
from ..vm.products import Product
from ..vm.tensor import encode_output
from .evidence import Evidence, IncludedTransaction, heights_mined_by, read_record

T = TypeVar("T")

TRUSTED: Final = (
    "that this chain of headers is the one that most work is done on: compare the id of its last "
    "block with a node you trust (of other blocks, only the hashes of their tickets were checked)",
    "that the nodes followed the rules of payment: the job's record, price and worker are proven "
    "to be in the state, not recomputed from all blocks before",
    "this program, and the machine it runs on",
)
"""What no step can show; the result itself is not among it."""


class Wrong(Exception):
    """A check that failed."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"{check}: {reason}")
        self.check: Final = check
        self.reason: Final = reason


@dataclass(frozen=True, slots=True)
class Check:
    """A check that held."""

    name: str
    seconds: float
    said: str


@dataclass(slots=True)
class _Source:
    """The blobs at hand, by root."""

    blobs: dict[Hash, bytes]

    def blob(self, root: bytes) -> bytes:
        if root not in self.blobs:
            raise RuleViolation("blob-missing", f"blob {root.hex()}")
        return self.blobs[root]


def audit(
    evidence: Evidence, params: Params, multiplier: Multiplier, thin: ThinProducts
) -> Iterator[Check]:
    """Yield every check as it passes. Raises Wrong at the first that does not."""
    job = _record(r.Job, evidence.job_proof, "job")
    model = _record(r.Model, evidence.model_proof, "model")
    auditor = _Auditor(evidence, (job, model), params, multiplier, thin)
    steps: tuple[tuple[str, Callable[[], str]], ...] = (
        ("headers", auditor.check_headers),
        ("state", auditor.check_state),
        ("transactions", auditor.check_transactions),
        ("data", auditor.check_data),
        ("price", auditor.check_price),
        ("verdict", auditor.check_verdict),
        ("recomputation", auditor.check_recomputation),
        ("tickets", auditor.check_tickets),
    )
    for name, step in steps:
        started = time.perf_counter()
        try:
            said = step()
        except (RuleViolation, BodyMismatch, FromFuture, ValueError) as error:
            raise Wrong(name, str(error)) from None
        yield Check(name, time.perf_counter() - started, said)


class _Auditor:
    """The steps; later ones rely on what earlier ones have shown."""

    def __init__(
        self,
        evidence: Evidence,
        records: tuple[r.Job, r.Model],
        params: Params,
        multiplier: Multiplier,
        thin: ThinProducts,
    ) -> None:
        self._evidence: Final = evidence
        self._params: Final = params
        self._multiplier: Final = multiplier
        self._source: Final = _Source({})
        self._checker: Final = ResultChecker(params, self._source, multiplier, thin)
        self._job, self._model = records
        self._roots: dict[int, tuple[Hash, Hash]] = {}

    def check_headers(self) -> str:
        headers, params = self._evidence.headers, self._params
        if not headers:
            raise Wrong("headers", "there are none")
        parent, times, work = genesis_block(params), [params.genesis_time], 0
        for number, sealed in enumerate(headers, start=1):
            anchor = headers[0].header.time
            header = parent.header
            context = HeaderContext(parent.id, header.height, header.time, times, anchor)
            try:
                check_header(sealed, context, params, sealed.header.time)
            except RuleViolation as violation:
                raise Wrong("headers", f"headers.bin: block {number}: {violation}") from None
            times = [*times, sealed.header.time][-MEDIAN_SPAN:]
            parent, work = sealed, work + sealed.header.work
        return (
            f"{len(headers)} headers from block 0 of {params.name} to block {parent.id.hex()} "
            f"follow the rules and are signed; their tickets stand for {work:,} MACs"
        )

    def check_state(self) -> str:
        job = self._job
        root = self._evidence.headers[-1].header.state_root
        proofs: tuple[tuple[str, bytes, StateProof], ...] = (
            ("job", r.job_key(self._evidence.job), self._evidence.job_proof),
            ("model", r.model_key(job.model), self._evidence.model_proof),
        )
        for name, key, proof in proofs:
            try:
                verify_state_proof(root, key, proof)
            except RuleViolation as violation:
                raise Wrong("state", f"{name}.proof: {violation}") from None
        _require(job.status == r.JobStatus.SETTLED, "state", f"the job is {job.status.name}")
        _require(job.ended <= len(self._evidence.headers), "state", "it ends after the last header")
        return (
            f"the records of job and model are in the state of block {len(self._evidence.headers)}"
        )

    def check_transactions(self) -> str:
        evidence, job, model = self._evidence, self._job, self._model
        for name, included in (
            ("registration", evidence.registration),
            ("submission", evidence.submission),
            ("settlement", evidence.settlement),
        ):
            self._check_inclusion(f"{name}.tx", included)
        for name, included, identity in (
            ("registration", evidence.registration, job.model),
            ("submission", evidence.submission, evidence.job),
        ):
            _require(included.transaction.id == identity, "transactions", f"{name}.tx is another")
        registered = evidence.registration.transaction.payload.body
        _require(
            isinstance(registered, RegisterModel)
            and (registered.program, registered.weights) == (model.program, model.weights),
            "transactions",
            "registration.tx does not register this model",
        )
        asked = evidence.submission.transaction.payload.body
        _require(
            isinstance(asked, SubmitJob)
            and evidence.submission.height == job.submitted
            and (asked.model, asked.input, asked.mode, asked.bounty)
            == (job.model, job.input, job.mode, job.bounty),
            "transactions",
            "submission.tx does not ask for this job",
        )
        return f"registration, submission and settlement are in blocks {self._settled_in()}"

    def _settled_in(self) -> str:
        evidence, job = self._evidence, self._job
        sender = evidence.settlement.transaction.payload.sender_address
        body = self._settlement()
        _require(
            body.job == evidence.job
            and sender == job.worker
            and evidence.settlement.height == job.ended,
            "transactions",
            "settlement.tx does not settle this job",
        )
        root = blob_root(body.output)
        _require(root == job.output, "transactions", "settlement.tx has another output")
        commitment = result_commitment(job.worker, evidence.job, root, body.salt)
        _require(commitment == job.commitment, "transactions", "the commitment does not open")
        heights = (evidence.registration.height, evidence.submission.height, job.ended)
        return "{}, {} and {}".format(*heights)

    def _settlement(self) -> SettleJob:
        body = self._evidence.settlement.transaction.payload.body
        if not isinstance(body, SettleJob):
            raise Wrong("transactions", "settlement.tx is no settlement")
        return body

    def _check_inclusion(self, name: str, included: IncludedTransaction) -> None:
        headers = self._evidence.headers
        _require(1 <= included.height <= len(headers), "transactions", f"{name}: no such block")
        root = headers[included.height - 1].header.transactions_root
        data = encode(included.transaction)
        try:
            verify_item(root, included.count, included.index, data, included.siblings)
        except RuleViolation as violation:
            raise Wrong("transactions", f"{name}: {violation}") from None
        _require(
            included.transaction.signature_is_valid(), "transactions", f"{name}: bad signature"
        )

    def check_data(self) -> str:
        evidence, model = self._evidence, self._model
        posted = self._settlement().products
        _require(len(posted) == len(evidence.products), "data", "products are missing")
        blobs = (
            ("program.bin", model.program, evidence.program),
            ("weights.bin", model.weights, evidence.weights),
            ("input.bin", self._job.input, evidence.input),
            *(
                (f"product-{index}.bin", root, data)
                for index, (root, data) in enumerate(zip(posted, evidence.products, strict=True))
            ),
        )
        for name, root, data in blobs:
            right = bool(data) and blob_root(data) == root
            _require(right, "data", f"{name} is not the blob {root.hex()}")
            self._source.blobs[root] = data
        roots = self._checker.register(model.program, model.weights)
        _require(roots == model.weight_roots, "data", "the weights have other commitments")
        return (
            f"program, weights, input and {len(posted)} posted products hash to their roots; "
            "the weights fit the program and have the commitments that tickets were held to"
        )

    def check_price(self) -> str:
        job, params = self._job, self._params
        work = self._checker.measure(self._model, job.input)
        difficulty = self._evidence.headers[job.submitted - 1].header.work
        found = (
            *(work.items, work.macs, work.check_macs, work.check_bytes, work.window),
            prices.check_fee(params, work.check_macs, work.check_bytes),
            prices.job_burn(params, work.macs, job.submitted, difficulty),
        )
        noted = (
            *(job.items, job.macs, job.check_macs, job.check_bytes, job.window),
            *(job.check_fee, job.burn),
        )
        _require(found == noted, "price", f"the job takes {found}, its record has {noted}")
        return f"{work.items} items, {work.macs:,} MACs; {work.check_macs:,} to check"

    def check_verdict(self) -> str:
        settlement = self._settlement()
        products = self._checker.posted_products(self._model, self._job.items)
        sizes = [4 * product.m * product.n for product in products]
        _require(
            sizes == [len(data) for data in self._evidence.products],
            "verdict",
            "the settlement posts other products than it must",
        )
        verdict = self._checker.check(self._job, self._model, settlement)
        _require(verdict.accepted, "verdict", verdict.reason)
        return f"right as every node judges it, with {len(products)} products checked by Freivalds"

    def check_recomputation(self) -> str:
        evidence, job = self._evidence, self._job
        posted = self._checker.posted_products(self._model, job.items)
        handler = _Recomputing(
            self._multiplier,
            {product.index: data for product, data in zip(posted, evidence.products, strict=True)},
            {entry.op for entry in job.provenance},
        )
        checked = self._checker.program(self._model)
        execution = execute(checked, evidence.weights, evidence.input, handler)
        same = encode_output(checked, execution.output) == self._settlement().output
        _require(same, "recomputation", "the output is another")
        self._roots = handler.roots
        return (
            f"{handler.macs:,} MACs multiplied again: the output and {len(posted)} posted products "
            "are the same to the byte"
        )

    def check_tickets(self) -> str:
        evidence, job = self._evidence, self._job
        heights = list(heights_mined_by(evidence.job, job, evidence.headers))
        _require(heights == sorted(evidence.openings), "tickets", "openings are missing")
        work: dict[tuple[int, Hash, Hash], tuple[int, int]] = {}
        for height in heights:
            sealed = evidence.headers[height - 1]
            self._check_block(height, sealed)
            head = sealed.head
            total, blocks = work.get((head.op, head.root_a, head.root_b), (0, 0))
            key = head.op, head.root_a, head.root_b
            work[key] = total + sealed.header.work, blocks + 1
        noted = {
            (entry.op, entry.root_a, entry.root_b): (read_u256(entry.work), entry.blocks)
            for entry in job.provenance
        }
        _require(noted == work, "tickets", "the record of mined blocks is another")
        return f"{len(heights)} blocks were mined with this job's own operands, by its worker"

    def _check_block(self, height: int, sealed: SealedHeader) -> None:
        head = sealed.head
        try:
            check_opening(sealed.header.sigma, head, self._evidence.openings[height])
        except (RuleViolation, BodyMismatch) as error:
            raise Wrong("tickets", f"opening-{height}.bin: {error}") from None
        operands = self._roots.get(head.op)
        _require(operands is not None, "tickets", f"block {height} names an op that was not mined")
        _require(
            (head.root_a, head.root_b) == operands, "tickets", f"block {height} lies about A·B"
        )
        right = sealed.header.miner_address == self._job.worker
        _require(right, "tickets", f"block {height} is not the worker's")


@dataclass
class _Recomputing:
    """Multiplies every product and compares those that were posted."""

    multiplier: Multiplier
    posted: dict[int, bytes]
    mined: set[int]
    macs: int = 0
    roots: dict[int, tuple[Hash, Hash]] = field(default_factory=dict[int, tuple[Hash, Hash]])

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        c = self.multiplier.matmul(a, b_t)
        self.macs += product.macs
        expected = self.posted.get(product.index)
        if expected is not None and c.astype("<i4", copy=False).tobytes() != expected:
            raise Wrong("recomputation", f"posted product {product.index} is another")
        if product.index in self.mined:
            self.roots[product.index] = (
                operand_root(pad_operand(a)),
                operand_root(pad_operand(b_t)),
            )
        return c

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        result = matmul_each(self.multiplier, a, b_t)
        self.macs += result.size * a.shape[-1]
        return result


def _record(kind: type[T], proof: StateProof, name: str) -> T:
    try:
        return read_record(kind, proof, f"the {name}")
    except RuleViolation as violation:
        raise Wrong("state", f"{name}.proof: {violation}") from None


def _require(holds: bool, check: str, reason: str) -> None:
    if not holds:
        raise Wrong(check, reason)
