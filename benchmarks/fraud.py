"""Fraud proofs: their length and what judging one takes, op by op; what committing to a trace adds.

Each op stands in a program of its own at the shapes of a transformer or a network for images, ahead
of a chain of tiny ops that gives the trace a usual length. Processor time, of one thread; worst_…
is the slowest of several cells. bound_…: what is known of it at registration, for the most items
that a job may have.

commit: executing a layer of width 768 while its products are mined, beside the same with a trace of
all its values, processor time of one thread. hashing_share: committing over mined execution.
added_share: what the whole takes longer, as the trace's roots spare hashing the operands A.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..consensus.fraud.prove import Evidence, prove_cell
from ..consensus.fraud.values import FraudProof, encode_proof
from ..consensus.fraud.verify import Posted, judge
from ..consensus.ticket import Operand, Tag
from ..core.hashing import ZERO_HASH, Hash
from ..kernels.cpu import MiningPass, NoisedOperandB
from ..kernels.leaves import NativeRowHasher
from ..kernels.multiplier import CpuMultiplier
from ..vm import ops
from ..vm.check import CheckedProgram, check_program
from ..vm.executor import execute
from ..vm.frontends.builder import ProgramBuilder, Ref
from ..vm.judge.bounds import judge_cost
from ..vm.multiplier import matmul_each
from ..vm.operands import crop_result, is_mineable, pad_operand
from ..vm.products import Product, plain_products
from ..vm.trace import TraceCommitter, commit_constants
from ..vm.types import Array, Declaration, DType, Interval, Shape, TensorType

_CHAIN = 120
_CELLS = 24
_ITEMS = 8
_TOKENS, _WIDTH, _INNER, _HEADS = 128, 768, 3072, 12
_DIFFICULTY = 2**60
_I8, _I32 = DType.INT8, DType.INT32
_WORDS = Interval(-(2**20), 2**20)

Writer = Callable[[ProgramBuilder], Ref]


def run(device: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row per op, and one for committing to a layer."""
    if device != "cpu":
        raise SystemExit("fraud: proofs are judged on the CPU")
    rows = [_judged(*case, repeats) for case in _cases()]
    return [*rows, _committing(repeats)]


def _integers(shape: Shape, interval: Interval, seed: int = 1) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(interval.lo, interval.hi + 1, shape)


def _judged(
    name: str, declaration: Declaration, write: Writer, items: int, repeats: int
) -> dict[str, Any]:
    """Build proofs of some cells of an op, and time their judgement."""
    builder = ProgramBuilder(declaration)
    value = write(builder)
    judged = value.position
    value = builder.op(partial(ops.Slice, axis=0, start=0, stop=1, step=1), value)
    for _ in range(_CHAIN):
        value = builder.op(ops.Relu, value)
    program, weights = builder.finish()
    checked = check_program(program)
    data = _integers((items, *declaration.type.shape), declaration.interval)
    blob = data.astype(declaration.type.dtype.storage).tobytes()
    hasher = NativeRowHasher()
    committer = TraceCommitter(checked, items, hasher)
    execute(checked, weights, blob, plain_products(CpuMultiplier()), committer.observe)
    trace, constants = committer.trace(), commit_constants(checked, weights, hasher)
    evidence = Evidence(checked, items, trace, constants)
    posted = Posted(ZERO_HASH, checked, items, constants.root, ZERO_HASH, trace.root, ZERO_HASH)
    count = items * checked.values[program.first_result + judged].type.elements
    cells = np.random.default_rng(2).integers(0, count, _CELLS).tolist()
    proofs = [FraudProof(ZERO_HASH, prove_cell(evidence, judged, cell)) for cell in cells]
    times = [_microseconds(partial(judge, proof, posted), repeats) for proof in proofs]
    bound = judge_cost(checked, judged, checked.max_items)
    return {
        "op": name,
        "items": items,
        "proof_bytes": max(len(encode_proof(proof)) for proof in proofs),
        "judge_us": round(median(times)),
        "worst_judge_us": round(max(times)),
        "bound_bytes": bound.proof_bytes,
        "bound_us": bound.nanoseconds // 1000,
    }


def _microseconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of a call: others may be using the machine."""
    call()
    times: list[float] = []
    for _ in range(repeats):
        start = time.process_time_ns()
        call()
        times.append((time.process_time_ns() - start) / 1000)
    return median(times)


def _input(dtype: DType, shape: Shape, interval: Interval | None = None) -> Declaration:
    return Declaration(TensorType(dtype, shape), interval or dtype.interval)


def _of_source(build: Callable[[int], ops.Op]) -> Writer:
    return lambda b: b.op(build, b.source())


def _with_constant(
    build: Callable[[int, int], ops.Op], shape: Shape, dtype: DType, interval: Interval
) -> Writer:
    def write(builder: ProgramBuilder) -> Ref:
        constant = builder.constant(_integers(shape, interval), dtype)
        return builder.op(build, builder.source(), constant)

    return write


def _blend(builder: ProgramBuilder) -> Ref:
    scales = [builder.constant(_integers((_WIDTH,), Interval(1, 2**20)), _I32) for _ in range(3)]
    source = builder.source()

    def build(x: int, a: int, y: int, b: int, c: int) -> ops.Op:
        return ops.Blend(x, a, y, b, c, 8, 30, _I8, -64, 63)

    return builder.op(build, source, scales[0], source, scales[1], scales[2])


def _affine(builder: ProgramBuilder) -> Ref:
    scales = [builder.constant(_integers((_WIDTH,), Interval(1, 2**20)), _I32) for _ in range(2)]

    def build(x: int, multiplier: int, offset: int) -> ops.Op:
        return ops.Affine(x, multiplier, offset, 8, 30, _I8, -64, 63)

    return builder.op(build, builder.source(), *scales)


def _cases() -> list[tuple[str, Declaration, Writer, int]]:
    """Return name, input, op and items of each measurement."""
    wide = _input(_I32, (_TOKENS, _WIDTH), _WORDS)
    narrow = _input(_I8, (_TOKENS, _WIDTH))
    heads = _input(_I8, (_HEADS, _TOKENS, 64))
    scores = _input(_I32, (_HEADS, _TOKENS, _TOKENS), Interval(0, 2**20))
    image = _input(_I8, (56, 56, 64))
    channel = Interval(1, 2**20)
    largest = Interval(-64, 63)
    kernel, once = (3, 3), (1, 1)
    around = (1, 1, 1, 1)
    return [
        ("matmul k=4096", _input(_I8, (_TOKENS, 4096)),
         _with_constant(ops.Matmul, (4096, 4096), _I8, largest), _ITEMS),
        ("matmul k=768", narrow,
         _with_constant(ops.Matmul, (_INNER, _WIDTH), _I8, largest), _ITEMS),
        ("matmul k=16384", _input(_I8, (16, 16_384)),
         _with_constant(ops.Matmul, (64, 16_384), _I8, largest), _ITEMS),
        ("batch_matmul", heads, _of_source(lambda x: ops.BatchMatmul(x, x)), _ITEMS),
        ("bias", wide, _with_constant(ops.Bias, (_WIDTH,), _I32, _WORDS), _ITEMS),
        ("requantise", wide, _with_constant(
            lambda x, m: ops.Requantise(x, m, 40, -64, 63), (_WIDTH,), _I32, channel), _ITEMS),
        ("relu", wide, _of_source(ops.Relu), _ITEMS),
        ("lookup", narrow, _with_constant(ops.Lookup, (128,), _I32, _WORDS), _ITEMS),
        ("argmax", wide, _of_source(ops.Argmax), _ITEMS),
        ("patches", image, _of_source(
            lambda x: ops.Patches(x, kernel, once, around, once, 0)), 2),
        ("max_pool 3×3", image, _of_source(lambda x: ops.MaxPool(x, kernel, once, around)), 2),
        ("sum_pool 7×7", image, _of_source(
            lambda x: ops.SumPool(x, (7, 7), (7, 7), (0, 0, 0, 0), 0)), 2),
        ("sum_pool 28×28", image, _of_source(
            lambda x: ops.SumPool(x, (28, 28), (28, 28), (0, 0, 0, 0), 0)), 2),
        ("max_pool 40×40", _input(_I32, (64, 64, 1)), _of_source(
            lambda x: ops.MaxPool(x, (40, 40), once, (0, 0, 0, 0))), 2),
        ("transpose", heads, _of_source(lambda x: ops.Transpose(x, (1, 0, 2))), _ITEMS),
        ("reshape", narrow, _of_source(
            lambda x: ops.Reshape(x, (_TOKENS, _HEADS, 64))), _ITEMS),
        ("concat", narrow, _of_source(lambda x: ops.Concat((x, x), 0)), _ITEMS),
        ("slice", narrow, _of_source(lambda x: ops.Slice(x, 1, 0, 384, 1)), _ITEMS),
        ("gather", _input(_I32, (_TOKENS,), Interval(0, 30_521)),
         _with_constant(ops.Gather, (30_522, _WIDTH), _I8, largest), _ITEMS),
        ("add", wide, _of_source(lambda x: ops.Add(x, x, 1)), _ITEMS),
        ("blend", narrow, _blend, _ITEMS),
        ("multiply", narrow, _of_source(lambda x: ops.Multiply(x, x)), _ITEMS),
        ("exp", scores, _of_source(lambda x: ops.Exp(x, 2**20, 20, 2**15)), 2),
        ("exp n=4096", _input(_I32, (_TOKENS, 4096), Interval(0, 2**20)),
         _of_source(lambda x: ops.Exp(x, 2**20, 20, 2**15)), _ITEMS),
        ("row_sum", scores, _of_source(ops.RowSum), 2),
        ("digit", wide, _of_source(lambda x: ops.Digit(x, 6)), _ITEMS),
        ("divide", scores, _of_source(
            lambda x: ops.Divide(x, x, 64, 0, _I8, -64, 63)), 2),
        ("normalise", narrow, _of_source(
            lambda x: ops.Normalise(x, True, 8, 1)), _ITEMS),
        ("normalise n=4096", _input(_I32, (_TOKENS, 4096), Interval(-2000, 2000)),
         _of_source(lambda x: ops.Normalise(x, True, 8, 1)), _ITEMS),
        ("affine", wide, _affine, _ITEMS),
        ("top_k", wide, _of_source(lambda x: ops.TopK(x, 8)), _ITEMS),
        ("top_k n=50257", _input(_I32, (50_257,), _WORDS),
         _of_source(lambda x: ops.TopK(x, 8)), _ITEMS),
    ]  # fmt: skip


class _MinedProducts:
    """Mines what is long enough under one header, as a worker does; B is noised beforehand."""

    def __init__(self) -> None:
        self._multiplier = CpuMultiplier()
        self._noised: dict[int, NoisedOperandB] = {}

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        if not is_mineable(product):
            return self._multiplier.matmul(a, b_t)
        left = pad_operand(a)
        if product.index not in self._noised:
            right = Operand.commit(pad_operand(b_t))
            n, k = right.values.shape
            noised = NoisedOperandB(ZERO_HASH, right.values, right.tree.root, n, k)
            self._noised[product.index] = noised
        root, tag = self.left_root(product, left), Tag(op=product.index)
        mining = MiningPass(self._noised[product.index], len(left), root, tag, _DIFFICULTY)
        mined = mining.mine_rows(left, 0, len(left)).product
        if mined is None:
            raise ValueError("a product of given operands was not returned")
        return np.ascontiguousarray(crop_result(mined, product))

    def left_root(self, product: Product, left: NDArray[np.int8]) -> Hash:
        """Commit to A as a worker does that keeps no trace."""
        return Operand.commit(left).tree.root

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        return matmul_each(self._multiplier, a, b_t)


class _TracedProducts(_MinedProducts):
    """Takes the roots of left operands from the trace."""

    def __init__(self, checked: CheckedProgram) -> None:
        super().__init__()
        self._checked = checked
        self.committer = self.begin()

    def begin(self) -> TraceCommitter:
        """Begin a new trace."""
        self.committer = TraceCommitter(self._checked, _ITEMS, NativeRowHasher())
        return self.committer

    def left_root(self, product: Product, left: NDArray[np.int8]) -> Hash:
        return self.committer.root_of(self._checked.program.ops[product.op].reads[0])


def _committing(repeats: int) -> dict[str, Any]:
    """Compare executing a layer while mining with doing so and committing to all its values."""
    checked, weights = _layer()
    data = _integers((_ITEMS, _TOKENS, _WIDTH), _I8.interval).astype(np.int8).tobytes()
    mined, traced = _MinedProducts(), _TracedProducts(checked)
    alone: list[float] = []
    both: list[float] = []
    hashing: list[float] = []
    for turn in range(repeats + 1):
        committer, spent = traced.begin(), list[float]()

        def observe(
            array: Array,
            committer: TraceCommitter = committer,
            spent: list[float] = spent,
        ) -> None:
            before = time.process_time()
            committer.observe(array)
            spent.append(time.process_time() - before)

        start = time.process_time()
        execute(checked, weights, data, mined)
        middle = time.process_time()
        execute(checked, weights, data, traced, observe)
        end = time.process_time()
        if turn:
            alone.append(middle - start)
            both.append(end - middle)
            hashing.append(sum(spent))
    size = sum(tensor.layout.hashed_bytes for tensor in traced.committer.trace().tensors)
    return {
        "commit": f"layer of {_WIDTH}, {_ITEMS}·{_TOKENS} tokens",
        "trace_mb": round(size / 1e6, 1),
        "mined_ms": round(1000 * median(alone), 1),
        "hashing_ms": round(1000 * median(hashing), 1),
        "hashing_share": round(median(hashing) / median(alone), 3),
        "added_share": round(median(both) / median(alone) - 1, 3),
    }


def _layer() -> tuple[CheckedProgram, bytes]:
    """Return an encoder layer: attention and a feed-forward network, each added and normalised."""
    builder = ProgramBuilder(_input(_I8, (_TOKENS, _WIDTH)))
    layer = _Layer(builder)
    hidden = layer.attention(builder.source())
    inner = layer.linear(hidden, _INNER, _WIDTH)
    table = builder.constant(_integers((128,), _I8.interval), _I8)
    inner = builder.op(ops.Lookup, inner, table)
    layer.normalised(hidden, layer.linear(inner, _WIDTH, _INNER))
    program, weights = builder.finish()
    return check_program(program), weights


class _Layer:
    """Writes parts of a layer."""

    def __init__(self, builder: ProgramBuilder) -> None:
        self._builder = builder
        self._half = builder.constant(np.array([1 << 29]), _I32)
        self._seed = 0

    def linear(self, x: Ref, n: int, k: int) -> Ref:
        """Multiply, add a bias, requantise."""
        builder = self._builder
        self._seed += 1
        weights = builder.constant(_integers((n, k), _I8.interval, self._seed), _I8)
        bias = builder.constant(_integers((n,), Interval(-9999, 9999)), _I32)
        biased = builder.op(ops.Bias, builder.op(ops.Matmul, x, weights), bias)
        return self._narrowed(biased, self._scales(n), 30)

    def attention(self, x: Ref) -> Ref:
        """Attend, project, add and normalise."""
        builder = self._builder
        query, key, value = (self._heads(self.linear(x, _WIDTH, _WIDTH)) for _ in range(3))
        scores = builder.op(ops.BatchMatmul, query, key)
        powers = self._one(lambda v: ops.Exp(v, 2**20, 20, 2**15), scores)
        total = builder.op(ops.RowSum, powers)
        shares = self._two(lambda v, t: ops.Divide(v, t, 63, 0, _I8, 0, 63), powers, total)
        across = self._one(lambda v: ops.Transpose(v, (0, 2, 1)), value)
        mixed = builder.op(ops.BatchMatmul, shares, across)
        turned = self._one(
            lambda v: ops.Transpose(v, (1, 0, 2)), self._narrowed(mixed, self._half, 36)
        )
        joined = self._one(lambda v: ops.Reshape(v, (_TOKENS, _WIDTH)), turned)
        return self.normalised(x, self.linear(joined, _WIDTH, _WIDTH))

    def normalised(self, x: Ref, y: Ref) -> Ref:
        """Add, normalise, scale and shift."""
        added = self._two(lambda a, b: ops.Add(a, b, 1), x, y)
        unit = self._one(lambda v: ops.Normalise(v, True, 8, 1), added)

        def affine(v: int, scale: int, shift: int) -> ops.Op:
            return ops.Affine(v, scale, shift, 8, 24, _I8, -64, 63)

        return self._builder.op(affine, unit, self._scales(_WIDTH), self._scales(_WIDTH))

    def _heads(self, x: Ref) -> Ref:
        parts = self._one(lambda v: ops.Reshape(v, (_TOKENS, _HEADS, 64)), x)
        return self._one(lambda v: ops.Transpose(v, (1, 0, 2)), parts)

    def _narrowed(self, x: Ref, scale: Ref, shift: int) -> Ref:
        return self._two(lambda v, m: ops.Requantise(v, m, shift, -64, 63), x, scale)

    def _scales(self, n: int) -> Ref:
        return self._builder.constant(_integers((n,), Interval(1, 2**20)), _I32)

    def _one(self, build: Callable[[int], ops.Op], x: Ref) -> Ref:
        return self._builder.op(build, x)

    def _two(self, build: Callable[[int, int], ops.Op], x: Ref, y: Ref) -> Ref:
        return self._builder.op(build, x, y)
