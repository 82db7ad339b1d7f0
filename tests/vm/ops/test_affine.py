"""Scale, offset, round, clamp: against Python integers, at the ends of int64."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply
from pouw.vm.ops.affine import Affine
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

INT32 = DType.INT32.interval


RANGE = Interval(-9, 63)


def operand(dtype: DType, shape: Shape, constant: bool, interval: Interval = RANGE) -> Operand:
    return Operand(TensorType(dtype, shape), interval, constant)


X = operand(DType.INT32, (2, 4), False)
M = operand(DType.INT32, (4,), True)
ONE = operand(DType.INT32, (1,), True)


@settings(max_examples=50)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from([np.int8, np.int32]),
    st.sampled_from(DType),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(1, 61),
    st.integers(0, 30),
)
def test_equals_python_integers(
    seed: int,
    shape: list[int],
    x_type: type[np.signedinteger[Any]],
    dtype: DType,
    per_channel: tuple[bool, bool],
    shift: int,
    up: int,
) -> None:
    rng = np.random.default_rng(seed)
    top = 64 if x_type is np.int8 else 2**30
    x = rng.integers(-top, top, (2, *shape)).astype(x_type)
    m, b = (
        rng.integers(-(2**31), 2**31, shape[-1] if wide else 1).astype(np.int32)
        for wide in per_channel
    )
    lo, hi = dtype.interval.lo // 2, dtype.interval.hi // 3
    result = apply(Affine(0, 1, 2, up, shift, dtype, lo, hi), x, m, b, constants=(1, 2))
    for index in np.ndindex(x.shape):
        scale, offset = (int(c[index[-1] if len(c) > 1 else 0]) for c in (m, b))
        exact = (int(x[index]) * scale + offset * 2**up + 2 ** (shift - 1)) // 2**shift
        assert int(result[index]) == min(max(exact, lo), hi)


def test_ties_round_towards_plus_infinity() -> None:
    x, one, zero = np.array([[-3, -1, 1, 3]], np.int32), np.ones(1, np.int32), np.zeros(1, np.int32)
    result = apply(Affine(0, 1, 2, 0, 1, DType.INT8, -64, 63), x, one, zero, constants=(1, 2))
    assert result.tolist() == [[-1, 0, 1, 2]]


def test_blocks_join_without_a_seam() -> None:
    x = np.arange(3 * 50_000, dtype=np.int32).reshape(1, 2, 25_000, 3)
    m, b = np.array([1, -2, 3], np.int32), np.array([5, 0, -7], np.int32)
    result = apply(
        Affine(0, 1, 2, 2, 3, DType.INT32, INT32.lo, INT32.hi), x, m, b, constants=(1, 2)
    )
    assert np.array_equal(result, (x.astype(np.int64) * m + b * 4 + 4) // 8)


def test_range_follows_signs_rounding_and_clamp() -> None:
    x = operand(DType.INT32, (4,), False, Interval(-10, 9))
    m = operand(DType.INT32, (4,), True, Interval(-4, 2))
    b = operand(DType.INT32, (1,), True, Interval(1, 3))
    op = Affine(0, 1, 2, 3, 3, DType.INT8, -64, 63)
    assert op.result_interval((x, m, b)) == Interval((-36 + 8 + 4) >> 3, (40 + 24 + 4) >> 3)
    clamped = Affine(0, 1, 2, 3, 3, DType.INT8, 0, 5)
    assert clamped.result_interval((x, m, b)) == Interval(0, 5)


def test_intermediates_reach_the_end_of_int64_and_no_further() -> None:
    x, m = np.array([[2**31 - 1, -(2**31) + 1]], np.int32), np.full(1, 2**31 - 1, np.int32)
    # The product is 2⁶² − 2³² + 1, the half 1, and the sum may be 2⁶³ − 1.
    op = Affine(0, 1, 2, 32, 1, DType.INT32, INT32.lo, INT32.hi)
    result = apply(op, x, m, np.full(1, -(2**30), np.int32), constants=(1, 2))
    assert result.tolist() == [[-(2**31) + 1, INT32.lo]]
    with pytest.raises(RuleViolation) as caught:
        apply(op, x, m, np.full(1, -(2**30) - 1, np.int32), constants=(1, 2))
    assert caught.value.rule == "program-overflow"


def test_work_counts_four_bytes_an_element() -> None:
    op = Affine(0, 1, 2, 0, 1, DType.INT8, 0, 63)
    work = op.work((X, M, ONE), op.result_type((X, M, ONE)))
    assert (work.item_bytes, work.fixed_bytes) == (6 * 4 * 16 + 2 * 512, 6 * 4 * 5)


@pytest.mark.parametrize(
    ("x", "m", "b", "rule"),
    [
        (operand(DType.INT32, (4,), True), M, M, "program-constant"),
        (X, operand(DType.INT32, (4,), False), M, "program-constant"),
        (X, M, operand(DType.INT32, (4,), False), "program-constant"),
        (X, operand(DType.INT8, (4,), True), M, "program-dtype"),
        (X, M, operand(DType.INT8, (4,), True), "program-dtype"),
        (operand(DType.INT32, (), False), ONE, ONE, "program-shape"),
        (X, operand(DType.INT32, (2,), True), M, "program-shape"),
        (X, M, operand(DType.INT32, (2, 4), True), "program-shape"),
        (X, operand(DType.INT32, (), True), M, "program-shape"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, m: Operand, b: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Affine(0, 1, 2, 0, 1, DType.INT8, -64, 63).result_type((x, m, b))
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("up", "shift", "dtype", "lo", "hi"),
    [
        (63, 1, DType.INT8, 0, 1),
        (0, 0, DType.INT8, 0, 1),
        (0, 63, DType.INT8, 0, 1),
        (0, 1, DType.INT8, 2, 1),
        (0, 1, DType.INT32, 2, 1),
        (0, 1, DType.INT8, -65, 0),
        (0, 1, DType.INT8, 0, 64),
    ],
)
def test_refuses_attributes_out_of_range(
    up: int, shift: int, dtype: DType, lo: int, hi: int
) -> None:
    with pytest.raises(RuleViolation) as caught:
        Affine(0, 1, 2, up, shift, dtype, lo, hi).result_type((X, M, M))
    assert caught.value.rule == "program-attribute"
