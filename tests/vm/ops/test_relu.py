"""The rectifier on both element types."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.ops.relu import Relu
from pouw.vm.types import DType, Interval, Operand, TensorType

Evaluate = Callable[..., tuple[NDArray[Any], list[int]]]


@given(st.integers(0, 2**32), st.sampled_from([np.int8, np.int32]), st.integers(1, 50))
def test_equals_python_integers(
    evaluate: Evaluate, seed: int, dtype: type[np.signedinteger[Any]], n: int
) -> None:
    lo, hi = (-64, 63) if dtype is np.int8 else (-(2**31), 2**31 - 1)
    x = np.random.default_rng(seed).integers(lo, hi, (2, n), endpoint=True).astype(dtype)
    result, naive = evaluate(Relu(0), x)
    assert result.shape == x.shape and result.dtype == dtype
    assert result.reshape(-1).tolist() == naive


@pytest.mark.parametrize(
    ("before", "after"),
    [((-5, 9), (0, 9)), ((-5, -2), (0, 0)), ((3, 9), (3, 9))],
)
def test_range_is_rectified(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = Operand(TensorType(DType.INT8, (2,)), Interval(*before), constant=False)
    assert Relu(0).result_interval((x,)) == Interval(*after)


def test_work_is_metered_by_bytes() -> None:
    x = Operand(TensorType(DType.INT32, (5,)), Interval(0, 1), constant=False)
    assert Relu(0).work((x,), x.type).item_bytes == 4 * 40


def test_refuses_a_constant() -> None:
    x = Operand(TensorType(DType.INT8, (2,)), Interval(0, 1), constant=True)
    with pytest.raises(RuleViolation) as caught:
        Relu(0).result_type((x,))
    assert caught.value.rule == "program-constant"
