"""Moving elements: against the definitions index by index, costs, and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.tests.vm.ops.apply import apply, computed, constant, random_array, refused
from pouw.vm.ops import Concat, Reshape, Slice, Transpose
from pouw.vm.types import DType, Interval, Operand, Shape

I8, I32 = DType.INT8, DType.INT32
seeds = st.integers(0, 2**32)
items = st.integers(1, 3)
dtypes = st.sampled_from(DType)
shapes = st.lists(st.integers(1, 5), max_size=4).map(tuple)


@given(shapes.flatmap(lambda s: st.tuples(st.just(s), st.permutations(range(len(s))))),
       seeds, items, dtypes)  # fmt: skip
def test_transpose(
    drawn: tuple[tuple[int, ...], list[int]], seed: int, items: int, dtype: DType
) -> None:
    shape, perm = drawn
    x = random_array(seed, dtype, (items, *shape))
    result = apply(Transpose(0, tuple(perm)), x)
    for index in np.ndindex(*result.shape):
        place = [0] * len(shape)
        for position, axis in zip(index[1:], perm, strict=True):
            place[axis] = position
        assert result[index] == x[(index[0], *place)]


@pytest.mark.parametrize("perm", [(), (0,), (0, 0), (0, 2), (1, 0, 2), (0, 2**32 - 1)])
def test_no_permutation(perm: tuple[int, ...]) -> None:
    refused("program-attribute", Transpose(0, perm), computed(I8, 2, 3))


def test_transposing_is_cheaper_where_rows_stay_whole() -> None:
    x = computed(I8, 2, 3, 5)
    for perm, passes, rows in (((1, 0, 2), 2, 6), ((2, 1, 0), 16, 15)):
        op = Transpose(0, perm)
        work = op.work((x,), op.result_type((x,)))
        assert work.item_bytes == passes * 60 + 256 * rows and work.fixed_bytes == 0


@given(st.permutations([2, 3, 4]), st.integers(1, 4), seeds, items, dtypes)
def test_reshape_keeps_the_order(
    lengths: list[int], parts: int, seed: int, items: int, dtype: DType
) -> None:
    x = random_array(seed, dtype, (items, *lengths))
    shape = {1: (24,), 2: (4, 6), 3: (3, 2, 4), 4: (1, 6, 1, 4)}[parts]
    result = apply(Reshape(0, shape), x)
    assert [item.reshape(-1).tolist() for item in result] == [
        item.reshape(-1).tolist() for item in x
    ]


def test_reshape_moves_nothing() -> None:
    op, x = Reshape(0, ()), computed(I32, 1, 1)
    assert op.work((x,), op.result_type((x,))).item_bytes == 0
    assert apply(op, np.array([[[5]]], np.int32)).tolist() == [5]


@pytest.mark.parametrize(
    "shape", [(5,), (), (0,), (2, 0), (2**32 - 1,), (1, 1, 1, 1, 6), (2,) * 20_000]
)
def test_no_shape_of_six_elements(shape: Shape) -> None:
    refused("program-attribute", Reshape(0, shape), computed(I8, 2, 3))


def test_reshape_to_a_length_no_tensor_has() -> None:
    refused("program-limits", Reshape(0, (2**21,)), computed(I8, 2, 2**20))


@settings(max_examples=60)
@given(st.data(), seeds, items, dtypes)
def test_concat(data: st.DataObject, seed: int, items: int, dtype: DType) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = data.draw(st.integers(0, len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    fixed = data.draw(st.sets(st.integers(0, len(lengths) - 1), max_size=len(lengths) - 1))
    parts = [
        random_array(
            seed + i,
            dtype,
            (*([] if i in fixed else [items]), *shape[:axis], length, *shape[axis + 1 :]),
        )
        for i, length in enumerate(lengths)
    ]
    op = Concat(tuple(range(len(parts))), axis)
    result = apply(op, *parts, constants=tuple(fixed))
    for index in np.ndindex(*result.shape):
        position, part = index[axis + 1], 0
        while position >= lengths[part]:
            position, part = position - lengths[part], part + 1
        place = (*index[: axis + 1], position, *index[axis + 2 :])
        assert result[index] == parts[part][place[1:] if part in fixed else place]


def test_concat_of_one_value_with_itself() -> None:
    x = random_array(0, I8, (2, 3, 4))
    result = apply(Concat((0, 0), 1), x, x)
    assert np.array_equal(result[:, :, :4], x) and np.array_equal(result[:, :, 4:], x)


def test_concat_range_and_work() -> None:
    operands = computed(I32, 2, 3, lo=5, hi=9), constant(I32, 2, 1, lo=-2, hi=-1)
    op = Concat((0, 1), 1)
    assert op.result_interval(operands) == Interval(-2, 9)
    work = op.work(operands, op.result_type(operands))
    assert (work.item_bytes, work.fixed_bytes) == (4 * (32 + 32) + 256 * 2, 4 * 8)


@pytest.mark.parametrize(
    ("operands", "axis", "rule"),
    [
        ((), 0, "program-attribute"),
        ((computed(I8, 2),), 0, "program-attribute"),
        ((computed(I8, 2),) * 17, 0, "program-attribute"),
        ((constant(I8, 2),) * 2, 0, "program-constant"),
        ((computed(I8, 2), computed(I32, 2)), 0, "program-dtype"),
        ((computed(I8, 2),) * 2, 1, "program-attribute"),
        ((computed(I8),) * 2, 0, "program-attribute"),
        ((computed(I8, 2, 3), computed(I8, 2, 4)), 0, "program-shape"),
        ((computed(I8, 2, 3), computed(I8, 3, 3)), 1, "program-shape"),
        ((computed(I8, 2, 3), computed(I8, 2)), 0, "program-shape"),
        ((computed(I8, 2), computed(I8, 2, 3)), 0, "program-shape"),
        ((computed(I8, 2, 3), constant(I8, 2)), 1, "program-shape"),
        ((computed(I8, 2**20), computed(I8, 1)), 0, "program-limits"),
    ],
)
def test_concat_refusals(operands: tuple[Operand, ...], axis: int, rule: str) -> None:
    refused(rule, Concat(tuple(range(len(operands))), axis), *operands)


@settings(max_examples=60)
@given(st.data(), seeds, items, dtypes)
def test_slice(data: st.DataObject, seed: int, items: int, dtype: DType) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axis = data.draw(st.integers(0, len(shape) - 1))
    start = data.draw(st.integers(0, shape[axis] - 1))
    stop = data.draw(st.integers(start + 1, shape[axis]))
    step = data.draw(st.integers(1, 7))
    x = random_array(seed, dtype, (items, *shape))
    result = apply(Slice(0, axis, start, stop, step), x)
    kept = list(range(start, stop, step))
    assert result.shape[axis + 1] == len(kept)
    for index in np.ndindex(*result.shape):
        place = (*index[: axis + 1], kept[index[axis + 1]], *index[axis + 2 :])
        assert result[index] == x[place]


def test_a_slice_does_not_hold_on_to_the_whole() -> None:
    x = random_array(0, I8, (1, 4, 1))
    assert not np.shares_memory(apply(Slice(0, 0, 0, 4, 1), x), x)


def test_a_slice_pays_for_what_it_keeps() -> None:
    op, x = Slice(0, 1, 1, 8, 3), computed(I32, 5, 9)
    assert op.work((x,), op.result_type((x,))).item_bytes == 4 * (60 + 60) + 256 * 5


@pytest.mark.parametrize(
    ("axis", "start", "stop", "step"),
    [(2, 0, 1, 1), (1, 0, 4, 1), (1, 2, 2, 1), (1, 3, 2, 1), (1, 3, 3, 1), (1, 0, 3, 0)],
)
def test_no_slice(axis: int, start: int, stop: int, step: int) -> None:
    refused("program-attribute", Slice(0, axis, start, stop, step), computed(I8, 2, 3))


def test_constants_are_laid_out_before_they_are_registered() -> None:
    for op in (Transpose(0, (0,)), Reshape(0, (2,)), Slice(0, 0, 0, 1, 1)):
        refused("program-constant", op, constant(I8, 2))
