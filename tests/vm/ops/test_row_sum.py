"""Sums of rows: against Python integers, up to the ends of int32."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply
from pouw.vm.check import check_program
from pouw.vm.ops.row_sum import RowSum
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Operand, Shape, TensorType


def operand(shape: Shape, constant: bool = False) -> Operand:
    return Operand(TensorType(DType.INT8, shape), Interval(-3, 5), constant)


@settings(max_examples=50)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 5), min_size=0, max_size=3),
    st.integers(1, 300),
    st.sampled_from([np.int8, np.int32]),
)
def test_equals_python_integers(
    seed: int, leading: list[int], n: int, dtype: type[np.signedinteger[Any]]
) -> None:
    rng = np.random.default_rng(seed)
    top = 64 if dtype is np.int8 else 2**31 // n - 1
    x = rng.integers(-top, top, (2, *leading, n)).astype(dtype)
    result = apply(RowSum(0), x)
    assert result.shape == (*x.shape[:-1], 1)
    assert result.reshape(-1).tolist() == [sum(row) for row in x.reshape(-1, n).tolist()]


@pytest.mark.parametrize("n", [2**11 - 1, 2**11, 2**11 + 1])
def test_sums_past_int32_are_refused(n: int) -> None:
    low = -(2**20)
    source = Declaration(TensorType(DType.INT32, (n,)), Interval(low, 0))
    program = Program(1, source, (), (RowSum(0),))
    if n <= 2**11:
        assert check_program(program).values[-1].interval == Interval(n * low, 0)
        assert apply(RowSum(0), np.full((1, n), low, np.int32)).tolist() == [[n * low]]
    else:
        with pytest.raises(RuleViolation) as caught:
            check_program(program)
        assert caught.value.rule == "program-overflow"


def test_work_counts_four_bytes_an_element() -> None:
    op, x = RowSum(0), operand((6, 10))
    assert op.work((x,), op.result_type((x,))).item_bytes == 2 * 4 * (60 + 6) + 6 * 512


@pytest.mark.parametrize(
    ("x", "rule"),
    [(operand((4,), constant=True), "program-constant"), (operand(()), "program-shape")],
)
def test_refuses_operands_that_do_not_fit(x: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        RowSum(0).result_type((x,))
    assert caught.value.rule == rule
