"""What every node can compute about a job: its cost, its shapes, and whether a result is right.

Everything here is a function of blobs that the chain holds, addressed by content; so what was
loaded or decided once may be remembered, and a node that forgets decides the same again.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.commitment import operand_root
from ...core.errors import RuleViolation
from ...core.hashing import Hash
from ...core.transaction import MAX_OUTPUT_BYTES, MAX_POSTED_PRODUCTS, SettleJob
from ...genesis import Params
from ...vm.check import CheckedProgram, check_program
from ...vm.executor import execute
from ...vm.metering import cost_of
from ...vm.multiplier import Multiplier, matmul_each
from ...vm.operands import pad_operand, padded_shape
from ...vm.products import Product
from ...vm.program import decode_program
from ...vm.tensor import decode_input, encode_output, output_bytes
from ...vm.weights import check_weights, load_weights
from .. import records as r
from ..blobs import BlobSource
from ..freivalds import (
    PlainThinProducts,
    ThinProducts,
    challenge_matrix,
    check_macs,
    is_posted,
    product_is_right,
)

_INT32_BYTES: Final = 4
_STEP_BYTES: Final = 2**18
"""Metered for each op, constant and product of a program besides the data it moves: checking and
dispatching one takes 13 to 50 µs however little it computes; a metered byte stands for 50 ps."""
_LEAF_BYTES: Final = 2**15
"""Metered for each row that is committed to: two hashes whatever its length."""
_POSTING_SHARE: Final = 2
"""A claimant is expected to get half the chunk room of a block for what it must post."""
_PROGRAMS_KEPT: Final = 64
_WEIGHTS_KEPT: Final = 4
_VERDICTS_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Workload:
    """What a job takes: `macs` to do, `check_…` to re-execute it, `window` in blocks to work."""

    items: int
    macs: int
    check_macs: int
    check_bytes: int
    window: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What every node says of a result; `reason` names the first thing found wrong."""

    accepted: bool
    reason: str = ""


class _Refused(Exception):
    """A posted product or a remembered root that does not match the execution."""


class ResultChecker:
    """Judges models, inputs and results with the blobs and the exact products it is given."""

    def __init__(
        self,
        params: Params,
        blobs: BlobSource,
        multiplier: Multiplier,
        thin: ThinProducts | None = None,
    ) -> None:
        """Recompute with `multiplier`, check posted products with `thin` or plain integers."""
        self._params: Final = params
        self._blobs: Final = blobs
        self._multiplier: Final = multiplier
        self._thin: Final = thin or PlainThinProducts()
        self._program = lru_cache(_PROGRAMS_KEPT)(self._load_program)
        self._weights = lru_cache(_WEIGHTS_KEPT)(blobs.blob)
        self._input_is_good = lru_cache(_VERDICTS_KEPT)(self._check_input)
        self._verdict = lru_cache(_VERDICTS_KEPT)(self._execute_and_compare)

    def program(self, model: r.Model) -> CheckedProgram:
        """Return a registered model's program."""
        return self._program(model.program)

    def loading_bytes(self, program_root: Hash) -> int:
        """Return what decoding and checking a program counts for in a block's budget.

        Raises RuleViolation when it is no valid program.
        """
        checked = self._program(program_root)
        program = checked.program
        steps = len(program.ops) + len(program.consts) + len(checked.item_products)
        return _STEP_BYTES * steps

    def commitment_bytes(self, program_root: Hash) -> int:
        """Return what committing to a program's weights counts for in a block's budget."""
        shapes = {
            (product.weight, product.start): padded_shape(product)
            for product in self._program(program_root).item_products
        }
        return sum(n * (k + _LEAF_BYTES) for _, n, k in shapes.values())

    def register(self, program_root: Hash, weights_root: Hash) -> tuple[Hash, ...]:
        """Check a program and its weights; return the ticket commitment of each product's weight.

        Raises RuleViolation naming what is wrong with either.
        """
        checked = self._program(program_root)
        data = self._weights(weights_root)
        check_weights(checked, data)
        roots: dict[tuple[int, int], Hash] = {}
        for product in checked.item_products:
            key = product.weight, product.start
            if key not in roots:
                roots[key] = operand_root(pad_operand(_weight_operand(checked, data, product)))
        return tuple(roots[product.weight, product.start] for product in checked.item_products)

    def measure(self, model: r.Model, input_root: Hash) -> Workload:
        """Return what a job takes. Raises RuleViolation as `workload`, and "input-…"."""
        return self.workload(model, self._input_is_good(model.program, input_root))

    def workload(self, model: r.Model, items: int) -> Workload:
        """Return what a job of `items` takes.

        Raises RuleViolation "job-too-large" where no settlement could carry the result.
        """
        self._check_settlement_size(model, items)
        checked = self.program(model)
        cost = cost_of(checked, items)
        macs, posted = cost.macs, self.posted_bytes(model, items)
        for product in self.posted_products(model, items):
            macs += check_macs(product.m, product.n, product.k) - product.macs
        size = cost.bytes + posted + self.loading_bytes(model.program)
        params = self._params
        window = (
            params.claim_window_base
            + -(-cost.macs // params.window_macs_per_block)
            + -(-size // params.window_bytes_per_block)
            + -(-cost.depth // params.window_depth_per_block)
            + -(-posted * _POSTING_SHARE // params.max_chunk_bytes)
        )
        return Workload(items, cost.macs, macs, size, window)

    def posted_products(self, model: r.Model, items: int) -> tuple[Product, ...]:
        """Return the products whose result a settlement must post, in product order."""
        products = self.program(model).products(items)
        return tuple(product for product in products if is_posted(product, self._params))

    def posted_bytes(self, model: r.Model, items: int) -> int:
        """Return how long the results are that a settlement posts."""
        products = self.posted_products(model, items)
        return sum(product.m * product.n * _INT32_BYTES for product in products)

    def ticket_shape(self, model: r.Model, items: int, op: int) -> tuple[int, int, int]:
        """Return (m, n, k) of product `op` on the ticket's grid. Raises "head-op"."""
        products = self.program(model).products(items)
        if op >= len(products):
            raise RuleViolation("head-op", f"the job has {len(products)} products, no number {op}")
        return padded_shape(products[op])

    def check(self, job: r.Job, model: r.Model, settlement: SettleJob) -> Verdict:
        """Re-execute a job and compare its output, posted products and mined operand roots."""
        return self._verdict(
            (model.program, model.weights, job.input, model.weight_roots),
            job.worker,
            tuple((entry.op, entry.root_a, entry.root_b) for entry in job.provenance),
            settlement,
        )

    def _check_settlement_size(self, model: r.Model, items: int) -> None:
        size = output_bytes(self.program(model), items)
        posted = len(self.posted_products(model, items))
        if size > MAX_OUTPUT_BYTES or posted > MAX_POSTED_PRODUCTS:
            raise RuleViolation(
                "job-too-large",
                f"an output of {size} bytes and {posted} products to post; "
                f"a settlement holds {MAX_OUTPUT_BYTES} and {MAX_POSTED_PRODUCTS}",
            )

    def _load_program(self, root: Hash) -> CheckedProgram:
        return check_program(decode_program(self._blobs.blob(root)))

    def _check_input(self, program_root: Hash, input_root: Hash) -> int:
        checked = self._program(program_root)
        return decode_input(checked, self._blobs.blob(input_root)).shape[0]

    def _execute_and_compare(
        self,
        sources: tuple[Hash, Hash, Hash, tuple[Hash, ...]],
        worker: bytes,
        mined: tuple[tuple[int, Hash, Hash], ...],
        settlement: SettleJob,
    ) -> Verdict:
        program_root, weights_root, input_root, weight_roots = sources
        checked = self._program(program_root)
        products = _CheckedProducts(self, worker, mined, weight_roots, settlement)
        weights, data = self._weights(weights_root), self._blobs.blob(input_root)
        try:
            execution = execute(checked, weights, data, products)
        except _Refused as refusal:
            return Verdict(False, str(refusal))
        if encode_output(checked, execution.output) != settlement.output:
            return Verdict(False, "the output is not the program's")
        return Verdict(True)


class _CheckedProducts:
    """Multiplies or checks each product, and compares the roots that blocks were mined with."""

    def __init__(
        self,
        checker: ResultChecker,
        worker: bytes,
        mined: tuple[tuple[int, Hash, Hash], ...],
        weight_roots: tuple[Hash, ...],
        settlement: SettleJob,
    ) -> None:
        self._checker = checker
        self._worker = worker
        self._mined = mined
        self._weight_roots = weight_roots
        self._job = settlement.job
        self._posted = iter(settlement.products)

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        posted = is_posted(product, self._checker._params)
        mined = [(root_a, root_b) for op, root_a, root_b in self._mined if op == product.index]
        if posted or mined:
            roots = operand_root(pad_operand(a)), self._weight_roots[product.index]
            if any(claimed != roots for claimed in mined):
                raise _Refused(
                    f"a block was mined with other operands than product {product.index}"
                )
            if posted:
                return self._posted_product(product, a, b_t, roots)
        return self._checker._multiplier.matmul(a, b_t)

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        return matmul_each(self._checker._multiplier, a, b_t)

    def _posted_product(
        self,
        product: Product,
        a: NDArray[np.int8],
        b_t: NDArray[np.int8],
        roots: tuple[Hash, Hash],
    ) -> NDArray[np.int32]:
        data = self._checker._blobs.blob(next(self._posted))
        c = np.frombuffer(data, "<i4").reshape(product.m, product.n)
        shape = (product.m, product.n, product.k)
        matrix = challenge_matrix(
            self._job, product.index, (*roots, operand_root(c)), shape, self._worker
        )
        if not product_is_right(self._checker._thin, a, b_t, c, matrix):
            raise _Refused(f"posted product {product.index} is wrong")
        return c


def _weight_operand(checked: CheckedProgram, data: bytes, product: Product) -> NDArray[np.int8]:
    weight = load_weights(checked, data)[product.weight - 1]
    return np.ascontiguousarray(weight[:, product.start : product.start + product.k])
