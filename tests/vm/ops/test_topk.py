"""The k largest entries of a row, in order, the first of equals first."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply
from pouw.vm.limits import MAX_ROW
from pouw.vm.ops.argmax import Argmax
from pouw.vm.ops.topk import TopK
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType


def operand(shape: Shape, constant: bool = False) -> Operand:
    return Operand(TensorType(DType.INT32, shape), Interval(-3, 9), constant)


@settings(max_examples=50)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 4), min_size=0, max_size=3),
    st.integers(1, 60),
    st.sampled_from([np.int8, np.int32]),
    st.data(),
)
def test_equals_a_stable_sort(
    seed: int,
    leading: list[int],
    n: int,
    dtype: type[np.signedinteger[Any]],
    data: st.DataObject,
) -> None:
    # Few distinct values, so that ties are common; the ends of the type among them.
    ends = (-64, 63) if dtype is np.int8 else (-(2**31), 2**31 - 1)
    values = np.array([*ends, -1, 0, 1], dtype)
    x = np.random.default_rng(seed).choice(values, (2, *leading, n))
    k = data.draw(st.integers(1, n))
    result = apply(TopK(0, k), x)
    assert result.shape == (*x.shape[:-1], k)
    for row, got in zip(x.reshape(-1, n).tolist(), result.reshape(-1, k).tolist(), strict=True):
        assert got == sorted(range(n), key=lambda i, row=row: (-row[i], i))[:k]


def test_the_first_is_argmax() -> None:
    x = np.random.default_rng(1).integers(-5, 5, (4, 3, 1000)).astype(np.int8)
    assert np.array_equal(apply(TopK(0, 1), x)[..., 0], apply(Argmax(0), x))


def test_the_longest_row() -> None:
    x = np.zeros((1, MAX_ROW), np.int32)
    x[0, [3, MAX_ROW - 1]] = 7
    assert apply(TopK(0, 3), x).tolist() == [[3, MAX_ROW - 1, 0]]


def test_range_and_work() -> None:
    op, x = TopK(0, 3), operand((6, 10))
    assert op.result_interval((x,)) == Interval(0, 9)
    assert op.work((x,), op.result_type((x,))).item_bytes == 24 * 4 * (60 + 18) + 6 * 4096


@pytest.mark.parametrize(
    ("x", "k", "rule"),
    [
        (operand((4,), constant=True), 1, "program-constant"),
        (operand(()), 1, "program-shape"),
        (operand((4,)), 0, "program-attribute"),
        (operand((4,)), 5, "program-attribute"),
    ],
)
def test_refuses_what_does_not_fit(x: Operand, k: int, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        TopK(0, k).result_type((x,))
    assert caught.value.rule == rule
