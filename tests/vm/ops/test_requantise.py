"""Rescaling: rounding case by case, against Python integers, at the ends of int64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply
from pouw.vm.ops.requantise import Requantise
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

Evaluate = Callable[..., tuple[NDArray[Any], list[int]]]

POSITIVE = Interval(1, 63)


def operand(dtype: DType, shape: Shape, constant: bool, interval: Interval = POSITIVE) -> Operand:
    return Operand(TensorType(dtype, shape), interval, constant)


X = operand(DType.INT32, (2, 4), constant=False)
M = operand(DType.INT32, (4,), constant=True)


@given(
    st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 9), st.booleans(), st.integers(1, 62)
)
def test_equals_python_integers(
    evaluate: Evaluate, seed: int, items: int, n: int, per_channel: bool, shift: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(2**31), 2**31, (items, 2, n)).astype(np.int32)
    multiplier = rng.integers(1, 2**31, n if per_channel else 1).astype(np.int32)
    result, naive = evaluate(Requantise(0, 1, shift, -64, 63), x, [multiplier])
    assert result.shape == x.shape and result.dtype == np.int8
    assert result.reshape(-1).tolist() == naive


def test_ties_round_towards_plus_infinity(evaluate: Evaluate) -> None:
    x = np.array([[-3, -2, -1, 0, 1, 2, 3]], np.int32)
    result, _ = evaluate(Requantise(0, 1, 1, -64, 63), x, [np.ones(1, np.int32)])
    assert result.tolist() == [[-1, -1, 0, 0, 1, 1, 2]]


def test_clamps_to_its_bounds(evaluate: Evaluate) -> None:
    x = np.array([[-500, -1, 0, 9, 500]], np.int32)
    result, _ = evaluate(Requantise(0, 1, 1, -2, 3), x, [np.full(1, 2, np.int32)])
    assert result.tolist() == [[-2, -1, 0, 3, 3]]


@pytest.mark.parametrize("shift", [1, 31, 61, 62])
def test_the_extremes_stay_inside_int64(evaluate: Evaluate, shift: int) -> None:
    x = np.array([[-(2**31), 2**31 - 1]], np.int32)
    multiplier = np.full(1, 2**31 - 1, np.int32)
    result, naive = evaluate(Requantise(0, 1, shift, -64, 63), x, [multiplier])
    assert result.reshape(-1).tolist() == naive


def test_blocks_join_without_a_seam() -> None:
    x, multiplier = np.arange(3 * 50_000, dtype=np.int32).reshape(50_000, 3), np.arange(1, 4)
    result = apply(Requantise(0, 1, 12, -64, 63), x, multiplier.astype(np.int32), constants=(1,))
    assert np.array_equal(result, np.minimum((x * multiplier + 2**11) // 2**12, 63))


def test_range_follows_rounding_and_clamp() -> None:
    x = operand(DType.INT32, (4,), constant=False, interval=Interval(-10, 9))
    multiplier = operand(DType.INT32, (4,), constant=True, interval=Interval(2, 4))
    assert Requantise(0, 1, 3, -64, 63).result_interval((x, multiplier)) == Interval(-5, 5)
    assert Requantise(0, 1, 3, -2, 63).result_interval((x, multiplier)) == Interval(-2, 5)
    assert Requantise(0, 1, 3, 7, 8).result_interval((x, multiplier)) == Interval(7, 7)


def test_work_is_metered_by_bytes_and_rows() -> None:
    op = Requantise(0, 1, 1, 0, 63)
    work = op.work((X, M), op.result_type((X, M)))
    assert (work.item_bytes, work.fixed_bytes) == (6 * (32 + 8) + 2 * 256, 6 * 16)


@pytest.mark.parametrize(
    ("x", "multiplier", "rule"),
    [
        (operand(DType.INT32, (4,), constant=True), M, "program-constant"),
        (X, operand(DType.INT32, (4,), constant=False), "program-constant"),
        (operand(DType.INT8, (4,), constant=False), M, "program-dtype"),
        (X, operand(DType.INT8, (4,), constant=True), "program-dtype"),
        (operand(DType.INT32, (), constant=False), M, "program-shape"),
        (X, operand(DType.INT32, (2,), constant=True), "program-shape"),
        (X, operand(DType.INT32, (), constant=True), "program-shape"),
        (
            X,
            operand(DType.INT32, (4,), constant=True, interval=Interval(0, 9)),
            "program-attribute",
        ),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, multiplier: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Requantise(0, 1, 1, -64, 63).result_type((x, multiplier))
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("shift", "lo", "hi"), [(0, 0, 1), (63, 0, 1), (1, 2, 1), (1, -65, 0), (1, 0, 64)]
)
def test_refuses_attributes_out_of_range(shift: int, lo: int, hi: int) -> None:
    with pytest.raises(RuleViolation) as caught:
        Requantise(0, 1, shift, lo, hi).result_type((X, M))
    assert caught.value.rule == "program-attribute"
