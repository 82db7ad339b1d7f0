"""Embeddings: against a plain reading, ranges that could leave the table, and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.tests.vm.ops.apply import apply, computed, constant, random_array, refused
from pouw.vm.ops import Gather
from pouw.vm.types import DType, Interval, Operand

I8, I32 = DType.INT8, DType.INT32


@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.lists(st.integers(1, 4), max_size=3),
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from(DType),
)
def test_every_index_becomes_its_row(
    seed: int, items: int, shape: list[int], rows: int, columns: int, dtype: DType
) -> None:
    indices = random_array(seed, I32, (items, *shape), 0, rows - 1)
    table = random_array(seed + 1, dtype, (rows, columns))
    result = apply(Gather(0, 1), indices, table, constants=(1,))
    assert result.dtype == table.dtype
    expected = [table.tolist()[i] for i in indices.reshape(-1).tolist()]
    assert result.reshape(-1, columns).tolist() == expected


@pytest.mark.parametrize(("lo", "hi"), [(-1, 3), (0, 5), (-(2**31), 2**31 - 1)])
def test_indices_that_could_leave_the_table(lo: int, hi: int) -> None:
    refused("program-range", Gather(0, 1), computed(I32, 3, lo=lo, hi=hi), constant(I8, 5, 2))


def test_range_and_work() -> None:
    operands = computed(I32, 3, lo=0, hi=4), constant(I8, 5, 2, lo=-3, hi=9)
    op = Gather(0, 1)
    assert op.result_interval(operands) == Interval(-3, 9)
    work = op.work(operands, op.result_type(operands))
    assert (work.item_bytes, work.fixed_bytes) == (12 + 6 + 6 + 256 * 3, 10)


TABLE = constant(I8, 5, 2)
INDICES = computed(I32, 3, lo=0, hi=4)


@pytest.mark.parametrize(
    ("indices", "table", "rule"),
    [
        (constant(I32, 3, lo=0, hi=4), TABLE, "program-constant"),
        (INDICES, computed(I8, 5, 2), "program-constant"),
        (computed(I8, 3, lo=0, hi=4), TABLE, "program-dtype"),
        (INDICES, constant(I8, 5), "program-shape"),
        (INDICES, constant(I8, 5, 2, 1), "program-shape"),
        (computed(I32, 1, 1, 1, 3, lo=0, hi=4), TABLE, "program-limits"),
    ],
)
def test_refuses_operands_that_do_not_fit(indices: Operand, table: Operand, rule: str) -> None:
    refused(rule, Gather(0, 1), indices, table)
