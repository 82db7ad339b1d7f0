"""Adding a vector: against Python integers, at the ends of int32, and what does not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.ops.bias import Bias
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

Evaluate = Callable[..., tuple[NDArray[Any], list[int]]]


def operand(dtype: DType, shape: Shape, constant: bool) -> Operand:
    return Operand(TensorType(dtype, shape), Interval(-64, 63), constant)


X = operand(DType.INT32, (2, 4), constant=False)
B = operand(DType.INT32, (4,), constant=True)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 9))
def test_equals_python_integers(evaluate: Evaluate, seed: int, items: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(2**30), 2**30, (items, 3, n)).astype(np.int32)
    bias = rng.integers(-(2**30), 2**30, n).astype(np.int32)
    result, naive = evaluate(Bias(0, 1), x, [bias])
    assert result.shape == x.shape and result.dtype == np.int32
    assert result.reshape(-1).tolist() == naive


def test_reaches_both_ends_of_int32(evaluate: Evaluate) -> None:
    x = np.array([[2**31 - 1, -(2**31)]], np.int32)
    result, _ = evaluate(Bias(0, 1), x, [np.zeros(2, np.int32)])
    assert result.tolist() == x.tolist()


def test_one_past_int32_is_refused(evaluate: Evaluate) -> None:
    with pytest.raises(RuleViolation) as caught:
        evaluate(Bias(0, 1), np.array([[2**31 - 1]], np.int32), [np.ones(1, np.int32)])
    assert caught.value.rule == "program-overflow"


def test_work_is_metered_by_bytes_and_rows() -> None:
    op = Bias(0, 1)
    work = op.work((X, B), op.result_type((X, B)))
    assert (work.products, work.item_bytes, work.fixed_bytes) == ((), 2 * 32 + 2 * 256, 16)


@pytest.mark.parametrize(
    ("x", "bias", "rule"),
    [
        (operand(DType.INT32, (4,), constant=True), B, "program-constant"),
        (X, operand(DType.INT32, (4,), constant=False), "program-constant"),
        (operand(DType.INT8, (4,), constant=False), B, "program-dtype"),
        (X, operand(DType.INT8, (4,), constant=True), "program-dtype"),
        (operand(DType.INT32, (), constant=False), B, "program-shape"),
        (X, operand(DType.INT32, (1,), constant=True), "program-shape"),
        (X, operand(DType.INT32, (2, 4), constant=True), "program-shape"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, bias: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Bias(0, 1).result_type((x, bias))
    assert caught.value.rule == rule
