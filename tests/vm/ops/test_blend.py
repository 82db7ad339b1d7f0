"""Residual sums: every shape of y, both signs, an encoding with a zero, the ends of int64."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply, element, shapes
from pouw.vm.ops.blend import Blend
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

DTYPES = st.sampled_from([np.int8, np.int32])


RANGE = Interval(-9, 63)


def operand(dtype: DType, shape: Shape, constant: bool, interval: Interval = RANGE) -> Operand:
    return Operand(TensorType(dtype, shape), interval, constant)


X = operand(DType.INT8, (2, 4), False)
M = operand(DType.INT32, (4,), True)
ONE = operand(DType.INT32, (1,), True)
PLAIN = Blend(0, 1, 2, 3, 4, 0, 1, DType.INT8, -64, 63)


@settings(max_examples=50)
@given(st.data(), st.integers(0, 2**32), DTYPES, DTYPES, st.sampled_from(DType))
def test_equals_python_integers(
    data: st.DataObject,
    seed: int,
    x_type: type[np.signedinteger[Any]],
    y_type: type[np.signedinteger[Any]],
    dtype: DType,
) -> None:
    x_shape, y_shape, constant = data.draw(shapes(min_dims=1))
    rng = np.random.default_rng(seed)
    x, y = (
        rng.integers(-64, 64, shape).astype(kind) if kind is np.int8
        else rng.integers(-(2**30), 2**30, shape).astype(kind)
        for shape, kind in ((x_shape, x_type), (y_shape, y_type))
    )  # fmt: skip
    mx, my, b = (
        rng.integers(-(2**31), 2**31, data.draw(st.sampled_from([1, x_shape[-1]]))).astype(np.int32)
        for _ in range(3)
    )
    up, shift = data.draw(st.integers(0, 30)), data.draw(st.integers(1, 60))
    lo, hi = dtype.interval.lo // 2, dtype.interval.hi // 3
    op = Blend(0, 1, 2, 3, 4, up, shift, dtype, lo, hi)
    result = apply(op, x, mx, y, my, b, constants=(1, 2, 3, 4) if constant else (1, 3, 4))
    for index in np.ndindex(x_shape):
        total = int(x[index]) * element(mx, index) + element(y, index) * element(my, index)
        exact = (total + element(b, index) * 2**up + 2 ** (shift - 1)) // 2**shift
        assert int(result[index]) == min(max(exact, lo), hi)


def test_encodings_with_a_zero_are_blended_exactly() -> None:
    # Real values 2·(x + 64) and 4·(y + 64), stored anew as 8·(z + 64): z = x/4 + y/2 − 16.
    x, y = np.array([[-64, -60, 0]], np.int8), np.array([[-64, -62, 10]], np.int8)
    quarter, half, offset = (np.array([v], np.int32) for v in (1, 2, -64))
    op = Blend(0, 1, 2, 3, 4, 0, 2, DType.INT8, -64, 63)
    result = apply(op, x, quarter, y, half, offset, constants=(1, 3, 4))
    # (0, 0) stays 0, stored as −64; (8, 8) is 16; (128, 296) is 424.
    assert result.tolist() == [[-64, -62, -11]]


@pytest.mark.parametrize("shape", [(1, 2, 25_000, 3), (3, 1, 1, 70_000), (70_000, 1, 2, 1)])
@pytest.mark.parametrize("spread", [(0, 1), (1,), (2,), (3,), (1, 2, 3), ()])
def test_blocks_join_without_a_seam(shape: tuple[int, ...], spread: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-64, 64, shape).astype(np.int8)
    lengths = [1 if axis in spread and axis else n for axis, n in enumerate(shape)]
    y = rng.integers(-(2**20), 2**20, lengths).astype(np.int32)
    mx, my, b = (np.array([v], np.int32) for v in (1000, -3, 77))
    op = Blend(0, 1, 2, 3, 4, 2, 5, DType.INT32, -(2**31), 2**31 - 1)
    result = apply(op, x, mx, y, my, b, constants=(1, 3, 4))
    assert np.array_equal(result, (x.astype(np.int64) * 1000 - y.astype(np.int64) * 3 + 324) // 32)


def test_range_adds_all_three_terms() -> None:
    x = operand(DType.INT8, (4,), False, Interval(-10, 9))
    y = operand(DType.INT32, (4,), False, Interval(0, 100))
    mx, my, b = (
        operand(DType.INT32, (1,), True, Interval(*ends)) for ends in ((2, 3), (-1, 0), (4, 5))
    )
    op = Blend(0, 1, 2, 3, 4, 1, 2, DType.INT8, -64, 63)
    assert op.result_interval((x, mx, y, my, b)) == Interval((-122 + 2) >> 2, (37 + 2) >> 2)


def test_work_counts_four_bytes_an_element() -> None:
    work = PLAIN.work((X, M, X, ONE, ONE), PLAIN.result_type((X, M, X, ONE, ONE)))
    assert (work.item_bytes, work.fixed_bytes) == (8 * 4 * 24 + 2 * 1024, 8 * 4 * 6)


WIDE = operand(DType.INT32, (2, 4), False, DType.INT32.interval)
WIDE_M = operand(DType.INT32, (1,), True, DType.INT32.interval)


@pytest.mark.parametrize(
    ("operands", "rule"),
    [
        ((M, M, X, M, M), "program-constant"),
        ((X, X, X, M, M), "program-constant"),
        ((X, M, X, X, M), "program-constant"),
        ((X, M, X, M, X), "program-constant"),
        ((X, operand(DType.INT8, (4,), True), X, M, M), "program-dtype"),
        ((X, M, X, operand(DType.INT8, (4,), True), M), "program-dtype"),
        ((X, M, X, M, operand(DType.INT8, (4,), True)), "program-dtype"),
        ((operand(DType.INT8, (), False), ONE, ONE, ONE, ONE), "program-shape"),
        ((X, M, operand(DType.INT8, (4,), False), M, M), "program-shape"),
        ((X, operand(DType.INT32, (2,), True), X, M, M), "program-shape"),
        ((X, M, X, operand(DType.INT32, (2,), True), M), "program-shape"),
        ((X, M, X, M, operand(DType.INT32, (2,), True)), "program-shape"),
        ((WIDE, WIDE_M, WIDE, WIDE_M, ONE), "program-overflow"),
    ],
)
def test_refuses_operands_that_do_not_fit(operands: tuple[Operand, ...], rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        PLAIN.result_type(operands)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("up", "shift", "lo", "hi"),
    [(63, 1, 0, 1), (0, 0, 0, 1), (0, 63, 0, 1), (0, 1, 1, 0), (0, 1, -65, 0), (0, 1, 0, 64)],
)
def test_refuses_attributes_out_of_range(up: int, shift: int, lo: int, hi: int) -> None:
    with pytest.raises(RuleViolation) as caught:
        Blend(0, 1, 2, 3, 4, up, shift, DType.INT8, lo, hi).result_type((X, M, X, M, M))
    assert caught.value.rule == "program-attribute"
