"""Blocks of real networks out of integer ops, beside the same in floating point.

Each is built the way a front end would: scales by hand, then a program that is encoded, checked and
executed. The bounds are those of the quantisation, not of the ops.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.ops import (
    Add,
    Affine,
    Blend,
    Digit,
    Divide,
    Exp,
    Matmul,
    Multiply,
    Normalise,
    Relu,
    RowSum,
    Slice,
    TopK,
)
from pouw.vm.products import plain_products
from pouw.vm.program import decode_program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.vm.weights import check_weights

Ints = NDArray[np.signedinteger[Any]]


def declare(dtype: DType, shape: tuple[int, ...], lo: int, hi: int) -> Declaration:
    return Declaration(TensorType(dtype, shape), Interval(lo, hi))


def run(builder: ProgramBuilder, x: Ints) -> Ints:
    program, weights = builder.finish()
    checked = check_program(decode_program(encode_program(program)))
    check_weights(checked, weights)
    data = x.astype(checked.input_type.dtype.storage).tobytes()
    return execute(checked, weights, data, plain_products(ReferenceMultiplier())).output


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_masked_softmax_and_a_value_product_of_twelve_bits() -> None:
    rng = np.random.default_rng(1)
    tokens, width, scale = 24, 8, 1 / 700
    scores = rng.integers(-3000, 3000, (2, tokens, tokens))
    values = rng.integers(-64, 64, (width, tokens))
    causal = np.triu(np.full((tokens, tokens), -(2**20)), 1)

    builder = ProgramBuilder(declare(DType.INT32, (tokens, tokens), -3000, 3000))
    mask = builder.constant(causal, DType.INT32)
    v = builder.constant(values, DType.INT8)
    masked = builder.op(partial(Add, factor=1), builder.source(), mask)
    multiplier = round(scale * 2**16 / np.log(2) * 2**16)
    numerators = builder.op(partial(Exp, multiplier=multiplier, shift=16, peak=2**16), masked)
    total = builder.op(RowSum, numerators)
    shares = builder.op(
        partial(Divide, multiplier=4095, shift=0, dtype=DType.INT32, lo=0, hi=4095),
        numerators,
        total,
    )
    low, high = (builder.op(partial(Digit, shift=s), shares) for s in (0, 6))
    products = [builder.op(Matmul, digits, v) for digits in (low, high)]
    builder.op(partial(Add, factor=64), *products)

    real = softmax(scores * scale + np.where(causal < 0, -np.inf, 0)) @ values.T
    assert np.abs(run(builder, scores) / 4095 - real).max() < tokens * 64 * 0.5 / 4095


def test_layer_normalisation() -> None:
    rng = np.random.default_rng(2)
    n, scale, bits = 256, 1 / 20, 12
    gamma, beta = rng.normal(1, 0.2, n), rng.normal(0, 0.3, n)
    x = rng.integers(-64, 64, (3, 5, n))

    builder = ProgramBuilder(declare(DType.INT8, (5, n), -64, 63))
    up, shift = 4, bits + 12
    g = builder.constant(np.round(gamma / scale * 2**12).astype(np.int64), DType.INT32)
    b = builder.constant(np.round(beta / scale * 2 ** (shift - up)).astype(np.int64), DType.INT32)
    unit = builder.op(partial(Normalise, centred=True, bits=bits, epsilon=1), builder.source())
    builder.op(partial(Affine, up=up, shift=shift, dtype=DType.INT8, lo=-64, hi=63), unit, g, b)

    real = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) * gamma + beta
    expected = np.clip(real / scale, -64, 63)
    assert np.abs(run(builder, x) - expected).max() < 0.51


def test_residual_of_two_scales() -> None:
    x = np.random.default_rng(3).integers(-64, 64, (2, 40))
    x_scale, y_scale, z_scale = 0.031, 0.007, 0.0305

    builder = ProgramBuilder(declare(DType.INT8, (40,), -64, 63))
    mx, my = (
        builder.constant(np.array([round(s / z_scale * 2**24)]), DType.INT32)
        for s in (x_scale, y_scale)
    )
    zero = builder.constant(np.array([0]), DType.INT32)
    square = builder.op(Multiply, builder.source(), builder.source())
    builder.op(
        partial(Blend, up=0, shift=24, dtype=DType.INT8, lo=-64, hi=63),
        builder.source(),
        mx,
        square,
        my,
        zero,
    )

    real = np.clip((x * x_scale + x * x * y_scale) / z_scale, -64, 63)
    assert np.abs(run(builder, x) - real).max() < 0.501


def test_mean_of_the_tokens_that_count() -> None:
    """Sentence embeddings: which tokens count is data, and there may be none."""
    rng = np.random.default_rng(4)
    x = rng.integers(-64, 64, (3, 6, 10))  # channels by tokens
    counted = np.array([[1] * 10, [1] * 4 + [0] * 6, [0] * 10])

    builder = ProgramBuilder(declare(DType.INT8, (7, 10), -64, 63))
    channels = builder.op(partial(Slice, axis=0, start=0, stop=6, step=1), builder.source())
    mask = builder.op(
        Relu, builder.op(partial(Slice, axis=0, start=6, stop=7, step=1), builder.source())
    )
    kept = builder.op(Multiply, channels, mask)
    sums, count = builder.op(RowSum, kept), builder.op(RowSum, mask)
    builder.op(partial(Divide, multiplier=1, shift=0, dtype=DType.INT8, lo=-64, hi=63), sums, count)

    result = run(builder, np.concatenate([x, counted[:, None]], axis=1))
    expected = (x * counted[:, None]).sum(-1) / np.maximum(counted.sum(-1), 1)[:, None]
    assert np.abs(result[..., 0] - expected).max() <= 0.5


def test_router_takes_the_best_experts_in_order() -> None:
    x = np.array([[3, 9, 9, -1], [0, 0, 0, 1]])
    builder = ProgramBuilder(declare(DType.INT8, (4,), -64, 63))
    builder.op(partial(TopK, k=2), builder.source())
    assert run(builder, x).tolist() == [[1, 2], [3, 0]]
