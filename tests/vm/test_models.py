"""Ops put together: a convolutional network, attention, and a sentence encoder of real size."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pouw.genesis.networks import MAINNET
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.builder import ProgramBuilder, Ref
from pouw.vm.limits import MAX_PROGRAM_BYTES
from pouw.vm.metering import cost_of
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.ops import (
    Add,
    BatchMatmul,
    Bias,
    Concat,
    Gather,
    Matmul,
    MaxPool,
    Op,
    Patches,
    Requantise,
    Reshape,
    Slice,
    SumPool,
    Transpose,
)
from pouw.vm.products import plain_products
from pouw.vm.program import Program, decode_program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.vm.weights import check_weights

I8, I32 = DType.INT8, DType.INT32
Wide = NDArray[np.int64]
PLAIN = plain_products(ReferenceMultiplier())
SHIFT = 30


def integers(seed: int, *shape: int, lo: int = -64, hi: int = 63) -> Wide:
    return np.random.default_rng(seed).integers(lo, hi, shape, endpoint=True)


def narrowed(x: Wide, multiplier: int, lo: int = -64) -> Wide:
    """Requantise as the protocol states it."""
    return np.clip((x * multiplier + 2 ** (SHIFT - 1)) >> SHIFT, lo, 63)


def narrowing(lo: int = -64) -> Callable[[int, int], Op]:
    return lambda x, multiplier: Requantise(x, multiplier, SHIFT, lo, 63)


def joining(axis: int) -> Callable[[int, int], Op]:
    return lambda a, b: Concat((a, b), axis)


def finish(builder: ProgramBuilder) -> tuple[CheckedProgram, bytes]:
    program, weights = builder.finish()
    assert decode_program(encode_program(program)) == program
    checked = check_program(program)
    check_weights(checked, weights)
    return checked, weights


def convolved(x: Wide, weights: Wide, stride: int) -> Wide:
    """Correlate padded images (items, h, w, c) with weights (n, kh, kw, c)."""
    n, kh, kw, _ = weights.shape
    items, h, w, _ = x.shape
    result = np.zeros((items, (h - kh) // stride + 1, (w - kw) // stride + 1, n), np.int64)
    for item, p, q, channel in np.ndindex(*result.shape):
        part = x[item, p * stride : p * stride + kh, q * stride : q * stride + kw]
        result[item, p, q, channel] = (part * weights[channel]).sum()
    return result


def test_a_convolutional_network() -> None:
    fill, first, bias, second = -5, integers(1, 6, 3, 3, 3), integers(2, 6), integers(3, 4, 2, 2, 6)
    x = integers(0, 3, 9, 8, 3)
    builder = ProgramBuilder(Declaration(TensorType(I8, (9, 8, 3)), I8.interval))
    multiplier = builder.constant(np.array([1 << 22]), I32)
    cut = builder.op(
        partial(
            Patches, kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), fill=fill
        ),
        builder.source(),
    )
    sums = builder.op(Matmul, cut, builder.constant(first.reshape(6, -1), I8))
    biased = builder.op(Bias, sums, builder.constant(bias, I32))
    narrow = builder.op(narrowing(lo=0), biased, multiplier)
    pooled = builder.op(
        partial(MaxPool, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 0)), narrow
    )
    cut = builder.op(
        partial(
            Patches, kernel=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0), dilation=(1, 1), fill=0
        ),
        pooled,
    )
    sums = builder.op(Matmul, cut, builder.constant(second.reshape(4, -1), I8))
    narrow = builder.op(narrowing(), sums, multiplier)
    total = builder.op(
        partial(SumPool, kernel=(2, 2), stride=(1, 1), padding=(0, 0, 0, 0), fill=0), narrow
    )
    builder.op(partial(Reshape, shape=(4,)), total)
    checked, weights = finish(builder)
    output = execute(checked, weights, x.astype(np.int8).tobytes(), PLAIN).output

    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill)
    hidden = narrowed(convolved(padded, first, 1) + bias, 1 << 22, lo=0)
    hidden = np.pad(hidden, ((0, 0), (1, 1), (1, 0), (0, 0)), constant_values=-100)
    pool = np.array(
        [
            [
                [item[p : p + 3, q : q + 3].max(axis=(0, 1)) for q in range(0, 7, 2)]
                for p in range(0, 9, 2)
            ]
            for item in hidden
        ]
    )
    expected = narrowed(convolved(pool, second, 2), 1 << 22).sum(axis=(1, 2))
    assert np.array_equal(output, expected)


def heads_of(builder: ProgramBuilder, x: Ref, weights: Wide, perm: tuple[int, ...]) -> Ref:
    product = builder.op(Matmul, x, builder.constant(weights, I8))
    narrow = builder.op(narrowing(), product, builder.constant(np.array([1 << 23]), I32))
    split = builder.op(partial(Reshape, shape=(6, 2, 4)), narrow)
    return builder.op(partial(Transpose, perm=perm), split)


def test_attention_over_embeddings() -> None:
    words, kinds, first = integers(1, 3, 5), integers(2, 3, 3), integers(3, 1, 8)
    projections = [integers(4 + i, 8, 8) for i in range(3)]
    x = np.stack([integers(8, 4, 6, lo=0, hi=2), integers(9, 4, 6, lo=0, hi=2)], axis=1)
    builder = ProgramBuilder(Declaration(TensorType(I32, (2, 6)), Interval(0, 2)))
    kind_row = builder.op(partial(Slice, axis=0, start=1, stop=2, step=1), builder.source())
    word_row = builder.op(partial(Slice, axis=0, start=0, stop=1, step=1), builder.source())
    embedded = [
        builder.op(
            Gather, builder.op(partial(Reshape, shape=(6,)), row), builder.constant(table, I8)
        )
        for row, table in ((word_row, words), (kind_row, kinds))
    ]
    hidden = builder.op(joining(1), *embedded)
    perms = ((1, 0, 2), (1, 0, 2), (1, 2, 0))
    q, k, v = (
        heads_of(builder, hidden, w, perm) for w, perm in zip(projections, perms, strict=True)
    )
    narrow = builder.constant(np.array([1 << 22]), I32)
    weighted = builder.op(narrowing(lo=0), builder.op(BatchMatmul, q, k), narrow)
    mixed = builder.op(narrowing(), builder.op(BatchMatmul, weighted, v), narrow)
    joined = builder.op(
        partial(Reshape, shape=(6, 8)), builder.op(partial(Transpose, perm=(1, 0, 2)), mixed)
    )
    builder.op(joining(0), builder.constant(first, I8), joined)
    checked, weights = finish(builder)
    output = execute(checked, weights, x.astype("<i4").tobytes(), PLAIN).output

    state = np.concatenate([words[x[:, 0]], kinds[x[:, 1]]], axis=2)
    wide = [narrowed(state @ w.T, 1 << 23).reshape(4, 6, 2, 4) for w in projections]
    scores = narrowed(np.einsum("ishd,ithd->ihst", wide[0], wide[1]), 1 << 22, lo=0)
    values = narrowed(np.einsum("ihst,ithd->ishd", scores, wide[2]), 1 << 22).reshape(4, 6, 8)
    expected = np.concatenate([np.broadcast_to(first, (4, 1, 8)), values], axis=1)
    assert np.array_equal(output, expected)


class Sketch:
    """A program of the right sizes, declared only: checking needs no weights."""

    def __init__(self, source: Declaration, consts: int) -> None:
        self.source = source
        self.first = 1 + consts
        self.room = consts
        self.consts: list[Declaration] = []
        self.ops: list[Op] = []

    def constant(self, dtype: DType, *shape: int, lo: int = -63, hi: int = 63) -> int:
        self.consts.append(Declaration(TensorType(dtype, shape), Interval(lo, hi)))
        return len(self.consts)

    def op(self, op: Op) -> int:
        self.ops.append(op)
        return self.first + len(self.ops) - 1

    def dense(self, x: int, n: int, k: int) -> int:
        product = self.op(Matmul(x, self.constant(I8, n, k)))
        biased = self.op(Bias(product, self.constant(I32, n, lo=-(2**20), hi=2**20)))
        return self.narrow(biased, n)

    def narrow(self, x: int, channels: int) -> int:
        multiplier = self.constant(I32, channels, lo=1, hi=2**30)
        return self.op(Requantise(x, multiplier, 40, -64, 63))

    def split(self, x: int, length: int, *perm: int) -> int:
        return self.op(Transpose(self.op(Reshape(x, (length, 12, 32))), perm))

    def layer(self, x: int, length: int) -> int:
        q, k, v = (self.dense(x, 384, 384) for _ in range(3))
        heads = [self.split(q, length, 1, 0, 2), self.split(k, length, 1, 0, 2)]
        scores = self.narrow(self.op(BatchMatmul(*heads)), 1)
        mixed = self.narrow(self.op(BatchMatmul(scores, self.split(v, length, 1, 2, 0))), 1)
        joined = self.op(Reshape(self.op(Transpose(mixed, (1, 0, 2))), (length, 384)))
        x = self.narrow(self.op(Add(self.dense(joined, 384, 384), x, 1)), 384)
        return self.narrow(self.op(Add(self.dense(self.dense(x, 1536, 384), 384, 1536), x, 1)), 384)

    def program(self) -> Program:
        assert len(self.consts) == self.room
        return Program(1, self.source, tuple(self.consts), tuple(self.ops))


def test_a_sentence_encoder_of_six_layers_can_be_registered() -> None:
    """The sizes of all-MiniLM-L6: 22.7 million weights, 128 tokens, its largest length."""
    source = Declaration(TensorType(I32, (128,)), Interval(0, 30_521))
    sketch = Sketch(source, consts=3 + 6 * 22)
    x = sketch.op(Gather(0, sketch.constant(I8, 30_522, 384)))
    x = sketch.narrow(sketch.op(Add(x, sketch.constant(I8, 128, 384), 1)), 384)
    for _ in range(6):
        x = sketch.layer(x, 128)
    program = sketch.program()
    checked = check_program(program)
    assert len(encode_program(program)) < MAX_PROGRAM_BYTES // 8
    assert 22_000_000 < checked.weight_bytes < 23_000_000
    dense = 128 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    attention = 6 * 2 * 12 * 128 * 128 * 32
    assert checked.rate.item_macs == dense + attention
    assert sum(product.macs for product in checked.item_products) == dense
    assert checked.max_items > 1000
    cost = cost_of(checked, 1)
    assert cost.macs < MAINNET.max_job_macs and cost.bytes < MAINNET.max_job_bytes
