"""Products: against Python integers, and every operand that does not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.ops.matmul import Matmul
from pouw.vm.products import ProductShape
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

Evaluate = Callable[..., tuple[NDArray[Any], list[int]]]


def operand(dtype: DType, shape: Shape, constant: bool) -> Operand:
    return Operand(TensorType(dtype, shape), Interval(-64, 63), constant)


X = operand(DType.INT8, (4,), constant=False)
W = operand(DType.INT8, (3, 4), constant=True)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 40), st.integers(1, 9))
def test_equals_python_integers(evaluate: Evaluate, seed: int, items: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-64, 64, (items, 2, k)).astype(np.int8)
    weights = rng.integers(-64, 64, (n, k)).astype(np.int8)
    result, naive = evaluate(Matmul(0, 1), x, [weights])
    assert result.shape == (items, 2, n) and result.dtype == np.int32
    assert result.reshape(-1).tolist() == naive


def test_the_extreme_product_is_exact(evaluate: Evaluate) -> None:
    x = np.full((1, 300), -64, np.int8)
    weights = np.full((1, 300), -64, np.int8)
    result, _ = evaluate(Matmul(0, 1), x, [weights])
    assert result.tolist() == [[300 * 4096]]


def test_range_is_k_times_one_multiply() -> None:
    assert Matmul(0, 1).result_interval((X, W)) == Interval(4 * -64 * 63, 4 * 64 * 64)


def test_work_is_one_product_of_all_leading_rows() -> None:
    x = operand(DType.INT8, (5, 7, 4), constant=False)
    op = Matmul(0, 1)
    work = op.work((x, W), op.result_type((x, W)))
    assert work.products == (ProductShape(35, 3, 4, 1, Interval(-64 * 63, 4096)),)
    assert work.products[0].macs == 35 * 3 * 4
    assert (work.item_bytes, work.fixed_bytes) == (2 * (140 + 4 * 105) + 256 * 35, 2 * 12)


def test_a_sliced_product_moves_its_result_once_per_slice() -> None:
    x = operand(DType.INT8, (16_385,), constant=False)
    weights = operand(DType.INT8, (3, 16_385), constant=True)
    op = Matmul(0, 1)
    work = op.work((x, weights), op.result_type((x, weights)))
    assert work.item_bytes == 2 * (16_385 + 2 * 12) + 256


@pytest.mark.parametrize(
    ("x", "weights", "rule"),
    [
        (operand(DType.INT8, (4,), constant=True), W, "program-constant"),
        (X, operand(DType.INT8, (3, 4), constant=False), "program-constant"),
        (operand(DType.INT32, (4,), constant=False), W, "program-dtype"),
        (X, operand(DType.INT32, (3, 4), constant=True), "program-dtype"),
        (operand(DType.INT8, (), constant=False), W, "program-shape"),
        (operand(DType.INT8, (5,), constant=False), W, "program-shape"),
        (X, operand(DType.INT8, (4,), constant=True), "program-shape"),
        (X, operand(DType.INT8, (1, 3, 4), constant=True), "program-shape"),
        (X, operand(DType.INT8, (4, 3), constant=True), "program-shape"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, weights: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Matmul(0, 1).result_type((x, weights))
    assert caught.value.rule == rule
