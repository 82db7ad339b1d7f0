"""Rounded division: against fractions, by zero, and at the ends of int64."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply, element, shapes
from pouw.vm.ops.divide import Divide
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

INT32 = DType.INT32.interval


RANGE = Interval(0, 63)


def operand(
    dtype: DType, shape: Shape, constant: bool = False, interval: Interval = RANGE
) -> Operand:
    return Operand(TensorType(dtype, shape), interval, constant)


X = operand(DType.INT8, (2, 4))
Y = operand(DType.INT32, (2, 1))


@settings(max_examples=50)
@given(
    st.data(),
    st.integers(0, 2**32),
    st.sampled_from([1, 63, 4095, 2**24]),
    st.integers(0, 10),
    st.sampled_from([1, 10, 2**31 - 1]),
    st.sampled_from(DType),
)
def test_equals_fractions(
    data: st.DataObject,
    seed: int,
    multiplier: int,
    shift: int,
    top: int,
    dtype: DType,
) -> None:
    x_shape, y_shape, constant = data.draw(shapes(min_dims=1))
    rng = np.random.default_rng(seed)
    x = rng.integers(-(2**31), 2**31, x_shape).astype(np.int32)
    y = rng.integers(0, top, y_shape, endpoint=True).astype(np.int32)
    lo, hi = dtype.interval.lo // 2, dtype.interval.hi // 3
    result = apply(
        Divide(0, 1, multiplier, shift, dtype, lo, hi), x, y, constants=(1,) if constant else ()
    )
    for index in np.ndindex(x_shape):
        divisor = max(element(y, index), 1) * 2**shift
        exact = floor(Fraction(int(x[index]) * multiplier, divisor) + Fraction(1, 2))
        assert int(result[index]) == min(max(exact, lo), hi)


def test_ties_round_towards_plus_infinity() -> None:
    x, y = np.array([[-3, -2, -1, 1, 2, 3]], np.int8), np.array([[2]], np.int32)
    result = apply(Divide(0, 1, 1, 0, DType.INT8, -64, 63), x, y)
    assert result.tolist() == [[-1, -1, 0, 1, 1, 2]]


def test_zero_divides_as_one() -> None:
    x, y = np.array([[5, 6], [5, 6]], np.int8), np.array([[0], [1]], np.int32)
    result = apply(Divide(0, 1, 4, 1, DType.INT8, -64, 63), x, y)
    assert result.tolist() == [[10, 12], [10, 12]]


def test_intermediates_reach_the_end_of_int64_and_no_further() -> None:
    y = np.ones((1, 1), np.int32)
    op = Divide(0, 1, 2**31 - 1, 0, DType.INT32, INT32.lo, INT32.hi)
    x = np.array([[-(2**31) + 1, 2**31 - 1]], np.int32)
    assert apply(op, x, y).tolist() == [[INT32.lo, INT32.hi]]
    # 2·x·multiplier is 2⁶³ − 2³³ + 2, so the divisor may be 2³³ − 3 at most.
    shifted = Divide(0, 1, 2**31 - 1, 30, DType.INT32, INT32.lo, INT32.hi)
    assert apply(shifted, x, 7 * y).tolist() == [[-613566756, 613566756]]
    with pytest.raises(RuleViolation) as caught:
        apply(shifted, x, 8 * y)
    assert caught.value.rule == "program-overflow"


def test_blocks_join_without_a_seam() -> None:
    x = np.arange(-150_000, 150_000, dtype=np.int32).reshape(2, 50_000, 3)
    y = np.arange(100_000, dtype=np.int32).reshape(2, 50_000, 1) + 1
    result = apply(Divide(0, 1, 100, 0, DType.INT32, INT32.lo, INT32.hi), x, y)
    wide = x.astype(np.int64)
    assert np.array_equal(result, (200 * wide + y) // (2 * y.astype(np.int64)))


def test_range_takes_in_both_ends_of_the_divisor() -> None:
    x = operand(DType.INT32, (4,), interval=Interval(-10, 20))
    y = operand(DType.INT32, (1,), interval=Interval(0, 4))
    assert Divide(0, 1, 2, 0, DType.INT8, -64, 63).result_interval((x, y)) == Interval(-20, 40)
    assert Divide(0, 1, 2, 2, DType.INT8, -3, 63).result_interval((x, y)) == Interval(-3, 10)
    positive = operand(DType.INT32, (4,), interval=Interval(10, 20))
    assert Divide(0, 1, 1, 1, DType.INT8, -64, 63).result_interval((positive, y)) == Interval(1, 10)


def test_work_counts_four_bytes_an_element() -> None:
    op = Divide(0, 1, 1, 0, DType.INT8, 0, 63)
    assert op.work((X, Y), op.result_type((X, Y))).item_bytes == 30 * 4 * 18 + 2 * 1024


@pytest.mark.parametrize(
    ("x", "y", "rule"),
    [
        (operand(DType.INT8, (2, 4), constant=True), Y, "program-constant"),
        (X, operand(DType.INT8, (2, 1)), "program-dtype"),
        (operand(DType.INT8, ()), operand(DType.INT32, ()), "program-shape"),
        (X, operand(DType.INT32, (2,)), "program-shape"),
        (X, operand(DType.INT32, (2, 1), interval=Interval(-1, 5)), "program-attribute"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, y: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Divide(0, 1, 1, 0, DType.INT8, -64, 63).result_type((x, y))
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("multiplier", "shift", "lo", "hi"),
    [(0, 0, 0, 1), (2**31, 0, 0, 1), (1, 31, 0, 1), (1, 0, 1, 0), (1, 0, -65, 0), (1, 0, 0, 64)],
)
def test_refuses_attributes_out_of_range(multiplier: int, shift: int, lo: int, hi: int) -> None:
    with pytest.raises(RuleViolation) as caught:
        Divide(0, 1, multiplier, shift, DType.INT8, lo, hi).result_type((X, Y))
    assert caught.value.rule == "program-attribute"
