"""Sums, plain and scaled, over every way to spread the second operand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply, element, shapes
from pouw.vm.check import check_program
from pouw.vm.ops.add import Add
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Operand, Shape, TensorType

DTYPES = st.sampled_from([np.int8, np.int32])


def operand(shape: Shape, constant: bool = False, dtype: DType = DType.INT32) -> Operand:
    return Operand(TensorType(dtype, shape), Interval(-3, 5), constant)


@settings(max_examples=50)
@given(st.data(), st.sampled_from([1, -1, 64, -64, 4096]), st.integers(0, 2**32), DTYPES, DTYPES)
def test_equals_python_integers(
    data: st.DataObject,
    factor: int,
    seed: int,
    x_type: type[np.signedinteger[Any]],
    y_type: type[np.signedinteger[Any]],
) -> None:
    x_shape, y_shape, constant = data.draw(shapes())
    rng = np.random.default_rng(seed)
    x = rng.integers(-64, 64, x_shape).astype(x_type)
    y = rng.integers(-64, 64, y_shape).astype(y_type)
    result = apply(Add(0, 1, factor), x, y, constants=(1,) if constant else ())
    for index in np.ndindex(x_shape):
        assert int(result[index]) == int(x[index]) + factor * element(y, index)


def test_is_exact_where_only_the_sum_fits() -> None:
    # 2·y leaves int32, x + 2·y does not.
    x, y = np.array([[-(2**31)]], np.int32), np.array([[2**31 - 1]], np.int32)
    assert apply(Add(0, 1, 2), x, y).tolist() == [[2**31 - 2]]


@pytest.mark.parametrize(("top", "factor", "fits"), [(2**30, 1, True), (2**30 - 1, 2, False)])
def test_sums_past_int32_are_refused(top: int, factor: int, fits: bool) -> None:
    source = Declaration(TensorType(DType.INT32, (2,)), Interval(0, 2**30 - 1))
    const = Declaration(TensorType(DType.INT32, (2,)), Interval(0, top))
    program = Program(1, source, (const,), (Add(0, 1, factor),))
    if fits:
        assert check_program(program).values[-1].interval == Interval(0, 2**31 - 1)
    else:
        with pytest.raises(RuleViolation) as caught:
            check_program(program)
        assert caught.value.rule == "program-overflow"


def test_range_follows_the_sign_of_the_factor() -> None:
    x, y = operand((2,)), operand((2,))
    assert Add(0, 1, 2).result_interval((x, y)) == Interval(-9, 15)
    assert Add(0, 1, -2).result_interval((x, y)) == Interval(-13, 11)


def test_work_counts_four_bytes_an_element() -> None:
    x, row = operand((6, 10), dtype=DType.INT8), operand((6, 1))
    op, const = Add(0, 1, 1), operand((10,), constant=True)
    kind = op.result_type((x, row))
    assert op.work((x, row), kind).item_bytes == 2 * 4 * (60 + 6 + 60) + 6 * 256
    work = op.work((x, const), kind)
    assert (work.item_bytes, work.fixed_bytes) == (2 * 4 * 120 + 6 * 256, 2 * 4 * 10)


@pytest.mark.parametrize(
    ("x", "y", "factor", "rule"),
    [
        (operand((2, 3), constant=True), operand((2, 3)), 1, "program-constant"),
        (operand((2, 3)), operand((3,)), 1, "program-shape"),  # computed: as many dimensions
        (operand((2, 3)), operand((2, 2)), 1, "program-shape"),
        (operand((2, 1)), operand((2, 3)), 1, "program-shape"),  # x is never spread
        (operand((2, 3)), operand((2,), constant=True), 1, "program-shape"),
        (operand((3,)), operand((1, 3), constant=True), 1, "program-shape"),
        (operand((2, 3)), operand((2, 3)), 0, "program-attribute"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, y: Operand, factor: int, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Add(0, 1, factor).result_type((x, y))
    assert caught.value.rule == rule
