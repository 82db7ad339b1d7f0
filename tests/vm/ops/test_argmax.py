"""The largest entry of a row, the first of equals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.ops.argmax import Argmax
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

Evaluate = Callable[..., tuple[NDArray[Any], list[int]]]


def operand(shape: Shape, constant: bool = False) -> Operand:
    return Operand(TensorType(DType.INT32, shape), Interval(-3, 9), constant)


@given(st.integers(0, 2**32), st.sampled_from([np.int8, np.int32]), st.integers(1, 40))
def test_equals_python_integers(
    evaluate: Evaluate, seed: int, dtype: type[np.signedinteger[Any]], n: int
) -> None:
    # Few distinct values, so that ties are common.
    x = np.random.default_rng(seed).integers(-3, 3, (2, 3, n)).astype(dtype)
    result, naive = evaluate(Argmax(0), x)
    assert result.shape == (2, 3) and result.dtype == np.int32
    assert result.reshape(-1).tolist() == naive


def test_ties_go_to_the_lowest_index_however_long_the_row(evaluate: Evaluate) -> None:
    x = np.zeros((1, 1000), np.int8)
    x[0, [137, 138, 500, 999]] = 7
    result, _ = evaluate(Argmax(0), x)
    assert result.tolist() == [137]


def test_range_and_type_of_one_row() -> None:
    op, x = Argmax(0), operand((10,))
    assert op.result_type((x,)) == TensorType(DType.INT32, ())
    assert op.result_interval((x,)) == Interval(0, 9)


def test_work_is_metered_by_bytes_and_rows() -> None:
    op, x = Argmax(0), operand((6, 10))
    assert op.work((x,), op.result_type((x,))).item_bytes == 12 * (240 + 24) + 6 * 640


@pytest.mark.parametrize(
    ("x", "rule"),
    [(operand((4,), constant=True), "program-constant"), (operand(()), "program-shape")],
)
def test_refuses_operands_that_do_not_fit(x: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Argmax(0).result_type((x,))
    assert caught.value.rule == rule
