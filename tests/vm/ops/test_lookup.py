"""Tables: every entry once, both element types, and what does not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.ops.lookup import Lookup
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

Evaluate = Callable[..., tuple[NDArray[Any], list[int]]]


def operand(dtype: DType, shape: Shape, constant: bool) -> Operand:
    return Operand(TensorType(dtype, shape), Interval(-3, 9), constant)


X = operand(DType.INT8, (2, 4), constant=False)
T = operand(DType.INT32, (128,), constant=True)


def test_every_operand_finds_its_own_entry(evaluate: Evaluate) -> None:
    x = np.arange(-64, 64, dtype=np.int8).reshape(1, 128)
    table = np.arange(1000, 1128, dtype=np.int32)
    result, _ = evaluate(Lookup(0, 1), x, [table])
    assert result.dtype == np.int32 and result.tolist() == [table.tolist()]


@given(st.integers(0, 2**32), st.sampled_from([np.int8, np.int32]))
def test_equals_python_integers(
    evaluate: Evaluate, seed: int, dtype: type[np.signedinteger[Any]]
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-64, 64, (3, 2, 5)).astype(np.int8)
    table = rng.integers(-64, 64, 128).astype(dtype)
    result, naive = evaluate(Lookup(0, 1), x, [table])
    assert result.shape == x.shape and result.dtype == dtype
    assert result.reshape(-1).tolist() == naive


def test_blocks_join_without_a_seam(evaluate: Evaluate) -> None:
    x = np.random.default_rng(0).integers(-64, 64, (3, 50_000)).astype(np.int8)
    result, naive = evaluate(Lookup(0, 1), x, [np.arange(-64, 64, dtype=np.int8)[::-1].copy()])
    assert result.reshape(-1).tolist() == naive


def test_range_is_what_the_table_declares() -> None:
    assert Lookup(0, 1).result_interval((X, T)) == Interval(-3, 9)


def test_work_is_metered_by_bytes() -> None:
    op = Lookup(0, 1)
    work = op.work((X, T), op.result_type((X, T)))
    assert (work.item_bytes, work.fixed_bytes) == (12 * (8 + 32), 12 * 512)


@pytest.mark.parametrize(
    ("x", "table", "rule"),
    [
        (operand(DType.INT8, (4,), constant=True), T, "program-constant"),
        (X, operand(DType.INT8, (128,), constant=False), "program-constant"),
        (operand(DType.INT32, (4,), constant=False), T, "program-dtype"),
        (X, operand(DType.INT8, (127,), constant=True), "program-shape"),
        (X, operand(DType.INT8, (1, 128), constant=True), "program-shape"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, table: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Lookup(0, 1).result_type((x, table))
    assert caught.value.rule == rule
