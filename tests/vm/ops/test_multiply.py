"""Products element by element, over every way to spread the second operand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply, element, shapes
from pouw.vm.check import check_program
from pouw.vm.ops.multiply import Multiply
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Operand, Shape, TensorType

DTYPES = st.sampled_from([np.int8, np.int32])


def operand(shape: Shape, constant: bool = False) -> Operand:
    return Operand(TensorType(DType.INT8, shape), Interval(-3, 5), constant)


@settings(max_examples=50)
@given(st.data(), st.integers(0, 2**32), DTYPES, DTYPES)
def test_equals_python_integers(
    data: st.DataObject,
    seed: int,
    x_type: type[np.signedinteger[Any]],
    y_type: type[np.signedinteger[Any]],
) -> None:
    x_shape, y_shape, constant = data.draw(shapes())
    rng = np.random.default_rng(seed)
    x = rng.integers(-64, 64, x_shape).astype(x_type)
    y = rng.integers(-64, 64, y_shape).astype(y_type)
    result = apply(Multiply(0, 1), x, y, constants=(1,) if constant else ())
    for index in np.ndindex(x_shape):
        assert int(result[index]) == int(x[index]) * element(y, index)


@pytest.mark.parametrize("top", [2**25 - 1, 2**25])
def test_products_past_int32_are_refused(top: int) -> None:
    source = Declaration(TensorType(DType.INT32, (2,)), Interval(-top, top))
    const = Declaration(TensorType(DType.INT8, (2,)), Interval(-64, 63))
    program = Program(1, source, (const,), (Multiply(0, 1),))
    if top < 2**25:
        check_program(program)
    else:
        with pytest.raises(RuleViolation) as caught:
            check_program(program)
        assert caught.value.rule == "program-overflow"


def test_range_and_work() -> None:
    op, x, y = Multiply(0, 1), operand((2, 4)), operand((2, 1))
    assert op.result_interval((x, y)) == Interval(-15, 25)
    assert op.work((x, y), op.result_type((x, y))).item_bytes == 2 * 4 * (8 + 2 + 8) + 2 * 256


@pytest.mark.parametrize(
    ("x", "y", "rule"),
    [
        (operand((2,), constant=True), operand((2,)), "program-constant"),
        (operand((2, 3)), operand((3,)), "program-shape"),
        (operand((3,)), operand((2,), constant=True), "program-shape"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, y: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Multiply(0, 1).result_type((x, y))
    assert caught.value.rule == rule
