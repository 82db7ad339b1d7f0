"""Batched products: against Python integers, with computed and constant operands, and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.tests.vm.ops.apply import apply, computed, constant, random_array, refused
from pouw.vm.ops.batch_matmul import BatchMatmul
from pouw.vm.types import DType, Interval, Operand

I8, I32 = DType.INT8, DType.INT32
sizes = st.integers(1, 6)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    sizes,
    st.lists(st.integers(1, 3), max_size=2),
    sizes,
    sizes,
    st.integers(1, 40),
    st.booleans(),
)
def test_equals_python_integers(
    seed: int, items: int, leading: list[int], m: int, n: int, k: int, fixed: bool
) -> None:
    a = random_array(seed, I8, (items, *leading, m, k))
    b = random_array(seed + 1, I8, (*leading, n, k) if fixed else (items, *leading, n, k))
    result = apply(BatchMatmul(0, 1), a, b, constants=(1,) if fixed else ())
    assert result.shape == (items, *leading, m, n)
    for index in np.ndindex(*result.shape):
        *outer, row, column = index
        left = a[(*outer, row)].tolist()
        right = b[(*(outer[1:] if fixed else outer), column)].tolist()
        assert result[index] == sum(x * y for x, y in zip(left, right, strict=True))


def test_the_extreme_product_is_exact() -> None:
    lowest = np.full((1, 1, 16_384), -64, np.int8)
    assert apply(BatchMatmul(0, 1), lowest, lowest.copy()).tolist() == [[[2**26]]]


def test_a_value_may_be_multiplied_by_itself() -> None:
    x = random_array(0, I8, (3, 4, 5))
    expected = np.einsum("ijk,ilk->ijl", x.astype(np.int64), x.astype(np.int64))
    assert np.array_equal(apply(BatchMatmul(0, 0), x, x), expected)


def test_range_is_k_times_one_multiply() -> None:
    operands = computed(I8, 2, 3, 8), computed(I8, 2, 5, 8, lo=0, hi=9)
    assert BatchMatmul(0, 1).result_interval(operands) == Interval(-8 * 64 * 9, 8 * 63 * 9)


def test_work_counts_multiplications_but_no_product() -> None:
    op, a, b = BatchMatmul(0, 1), computed(I8, 4, 3, 8), computed(I8, 4, 5, 8)
    work = op.work((a, b), op.result_type((a, b)))
    assert (work.products, work.macs, work.fixed_bytes) == ((), 4 * 3 * 5 * 8, 0)
    assert work.item_bytes == 2 * (96 + 160 + 240) + 256 * 12 + 131_072 * 4
    fixed = op.work((a, constant(I8, 4, 5, 8)), op.result_type((a, b)))
    assert (fixed.item_bytes, fixed.fixed_bytes) == (work.item_bytes, 2 * 160)


@pytest.mark.parametrize(
    ("a", "b", "rule"),
    [
        (constant(I8, 3, 4), computed(I8, 5, 4), "program-constant"),
        (computed(I32, 3, 4), computed(I8, 5, 4), "program-dtype"),
        (computed(I8, 3, 4), computed(I32, 5, 4), "program-dtype"),
        (computed(I8, 4), computed(I8, 4), "program-shape"),
        (computed(I8), computed(I8), "program-shape"),
        (computed(I8, 3, 4), computed(I8, 4), "program-shape"),
        (computed(I8, 3, 4), computed(I8, 5, 3), "program-shape"),
        (computed(I8, 2, 3, 4), computed(I8, 5, 4), "program-shape"),
        (computed(I8, 2, 3, 4), computed(I8, 1, 5, 4), "program-shape"),
        (computed(I8, 2, 3, 4), constant(I8, 3, 5, 4), "program-shape"),
        (computed(I8, 1, 16_385), computed(I8, 1, 16_385), "program-limits"),
        (computed(I8, 2**15, 1), computed(I8, 2**15, 1), "program-limits"),
    ],
)
def test_refuses_operands_that_do_not_fit(a: Operand, b: Operand, rule: str) -> None:
    refused(rule, BatchMatmul(0, 1), a, b)
