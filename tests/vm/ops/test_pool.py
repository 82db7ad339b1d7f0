"""Pooling: against the definition window by window, at the ends of int32, and refusals."""

from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.tests.vm.ops.apply import apply, computed, constant, random_array, refused
from pouw.vm.ops import MaxPool, SumPool
from pouw.vm.types import DType, Interval, Operand

I8, I32 = DType.INT8, DType.INT32
NONE = (0, 0, 0, 0)
Geometry: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]


def windows_of(geometry: Geometry, image: NDArray[Any]) -> list[list[list[int]]]:
    """Return, window by window and channel by channel, the entries that are not padding."""
    (kh, kw), (sh, sw), (top, bottom, left, right) = geometry
    h, w, channels = image.shape
    return [
        [
            [
                int(image[row, column, c])
                for row in range(p, p + kh)
                for column in range(q, q + kw)
                if 0 <= row < h and 0 <= column < w
            ]
            for c in range(channels)
        ]
        for p in range(-top, h + bottom - kh + 1, sh)
        for q in range(-left, w + right - kw + 1, sw)
    ]


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Geometry, tuple[int, ...]]:
    """Draw kernel, stride and padding, and the shape (h, w, c) of something they fit."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    padding: list[int] = []
    lengths: list[int] = []
    for size in kernel:
        before, after = (draw(st.integers(0, size - 1)) for _ in range(2))
        least = max(1, size - before - after)
        padding += [before, after]
        lengths.append(draw(st.integers(least, least + 6)))
    geometry = (kernel, stride, (padding[0], padding[1], padding[2], padding[3]))
    return geometry, (*lengths, draw(st.integers(1, 3)))


@settings(max_examples=60)
@given(geometries(), st.integers(0, 2**32), st.integers(1, 3), st.sampled_from(DType))
def test_the_largest_of_every_window(
    drawn: tuple[Geometry, tuple[int, ...]], seed: int, items: int, dtype: DType
) -> None:
    geometry, shape = drawn
    x = random_array(seed, dtype, (items, *shape), -64, -1)
    windows = [window for image in x for window in windows_of(geometry, image)]
    expected = [max(channel) for window in windows for channel in window]
    result = apply(MaxPool(0, *geometry), x)
    assert result.dtype == x.dtype and result.reshape(-1).tolist() == expected


@settings(max_examples=60)
@given(
    geometries(),
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.sampled_from(DType),
    st.integers(-64, 63),
)
def test_the_sum_of_every_window(
    drawn: tuple[Geometry, tuple[int, ...]], seed: int, items: int, dtype: DType, fill: int
) -> None:
    geometry, shape = drawn
    (kh, kw), _, _ = geometry
    x = random_array(seed, dtype, (items, *shape))
    windows = [window for image in x for window in windows_of(geometry, image)]
    expected = [
        sum(channel) + fill * (kh * kw - len(channel)) for window in windows for channel in window
    ]
    result = apply(SumPool(0, *geometry, fill), x)
    assert result.dtype == np.int32 and result.reshape(-1).tolist() == expected


def test_padding_never_wins_against_the_least_number() -> None:
    x = np.full((1, 2, 2, 1), -(2**31), np.int32)
    pooled = apply(MaxPool(0, (2, 2), (1, 1), (1, 1, 1, 1)), x)
    assert pooled.shape == (1, 3, 3, 1) and set(pooled.reshape(-1).tolist()) == {-(2**31)}


@pytest.mark.parametrize(("share", "beyond"), [(2**29 - 1, 1), (-(2**29), -1)])
def test_sums_reach_the_ends_of_int32_and_no_further(share: int, beyond: int) -> None:
    op = SumPool(0, (2, 2), (1, 1), (1, 1, 1, 1), share)
    x = np.full((1, 3, 3, 1), share, np.int32)
    assert set(apply(op, x).reshape(-1).tolist()) == {4 * share}
    lo, hi = sorted((0, share + beyond))
    refused("program-overflow", op, computed(I32, 3, 3, 1, lo=lo, hi=hi))


def test_the_fill_counts_for_the_range_only_where_there_is_padding() -> None:
    x = computed(I8, 4, 4, 1, lo=1, hi=9)
    assert SumPool(0, (2, 3), (1, 1), NONE, -64).result_interval((x,)) == Interval(6, 54)
    padded = SumPool(0, (2, 3), (1, 1), (0, 0, 0, 1), -64)
    assert padded.result_interval((x,)) == Interval(-64 * 6, 54)
    assert MaxPool(0, (2, 3), (1, 1), (0, 0, 0, 1)).result_interval((x,)) == Interval(1, 9)


@pytest.mark.parametrize(("op", "width"), [
    (MaxPool(0, (2, 3), (2, 1), (0, 0, 1, 1)), 1),
    (SumPool(0, (2, 3), (2, 1), (0, 0, 1, 1), 0), 4),
])  # fmt: skip
def test_work_is_a_pass_per_tap_along_both_dimensions(op: MaxPool | SumPool, width: int) -> None:
    x = computed(I8, 6, 5, 2)
    work = op.work((x,), op.result_type((x,)))
    places = 3 * 6 * 5 + 2 * 3 * 5
    assert (work.products, work.macs, work.fixed_bytes) == ((), 0, 65_536 * 5)
    assert work.item_bytes == 4 * (60 + places * 2 * width) + 256 * places


@pytest.mark.parametrize(
    ("geometry", "x", "rule"),
    [
        (((1, 1), (1, 1), NONE), constant(I8, 4, 4, 1), "program-constant"),
        (((1, 1), (1, 1), NONE), computed(I8, 4, 4), "program-shape"),
        (((0, 1), (1, 1), NONE), computed(I8, 4, 4, 1), "program-attribute"),
        (((1, 1), (0, 1), NONE), computed(I8, 4, 4, 1), "program-attribute"),
        (((2, 2), (1, 1), (0, 0, 2, 0)), computed(I8, 4, 4, 1), "program-attribute"),
        (((4096, 2), (1, 1), NONE), computed(I8, 5000, 4, 1), "program-attribute"),
        (((5, 1), (1, 1), NONE), computed(I8, 4, 4, 1), "program-shape"),
        (((2, 1), (1, 1), (1, 0, 0, 0)), computed(I8, 2**20, 1, 1), "program-limits"),
    ],
)
def test_refusals(geometry: Geometry, x: Operand, rule: str) -> None:
    refused(rule, MaxPool(0, *geometry), x)
    refused(rule, SumPool(0, *geometry, 0), x)


def test_a_fill_that_is_no_element() -> None:
    refused("program-attribute", SumPool(0, (1, 1), (1, 1), NONE, 64), computed(I8, 4, 4, 1))
