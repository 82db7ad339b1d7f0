"""Patches: against the definition index by index, convolutions, and every attribute refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.tests.vm.ops.apply import Plain, apply, computed, constant, random_array, refused
from pouw.vm.ops import Matmul, Patches
from pouw.vm.types import DType, Interval, Operand

I8, I32 = DType.INT8, DType.INT32


def patches(**changes: Any) -> Patches:
    attributes: dict[str, Any] = {
        "x": 0,
        "kernel": (1, 1),
        "stride": (1, 1),
        "padding": (0, 0, 0, 0),
        "dilation": (1, 1),
        "fill": 0,
    }
    return Patches(**{**attributes, **changes})


def plain(op: Patches, x: NDArray[Any]) -> list[int]:
    """Read the definition literally."""
    _, h, w, channels = x.shape
    (kh, kw), (sh, sw), (dh, dw) = op.kernel, op.stride, op.dilation
    top, bottom, left, right = op.padding
    flat: list[int] = []
    for item in x.tolist():
        for p in range(0, top + h + bottom - (kh - 1) * dh, sh):
            for q in range(0, left + w + right - (kw - 1) * dw, sw):
                for i in range(kh):
                    for j in range(kw):
                        row, column = p + i * dh - top, q + j * dw - left
                        inside = 0 <= row < h and 0 <= column < w
                        flat += item[row][column] if inside else [op.fill] * channels
    return flat


@st.composite
def windows(draw: st.DrawFn) -> tuple[Patches, tuple[int, ...]]:
    """Draw an op and the shape (h, w, c) of something it fits."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    lengths: list[int] = []
    padding: list[int] = []
    for size, gap in zip(kernel, dilation, strict=True):
        extent = (size - 1) * gap + 1
        before, after = (draw(st.integers(0, extent - 1)) for _ in range(2))
        least = max(1, extent - before - after)
        padding += [before, after]
        lengths.append(draw(st.integers(least, least + 6)))
    top, bottom, left, right = padding
    fill = draw(st.integers(-64, 63))
    op = Patches(0, kernel, stride, (top, bottom, left, right), dilation, fill)
    return op, (*lengths, draw(st.integers(1, 3)))


@settings(max_examples=60)
@given(windows(), st.integers(0, 2**32), st.integers(1, 3), st.sampled_from(DType))
def test_equals_the_definition(
    window: tuple[Patches, tuple[int, ...]], seed: int, items: int, dtype: DType
) -> None:
    op, shape = window
    x = random_array(seed, dtype, (items, *shape))
    assert apply(op, x).reshape(-1).tolist() == plain(op, x)


def test_items_padded_in_several_blocks_do_not_mix() -> None:
    op = patches(kernel=(3, 3), padding=(1, 1, 1, 1), fill=-7)
    x = random_array(3, I8, (5, 150, 150, 1))
    together = apply(op, x)
    for i in range(5):
        assert np.array_equal(together[i : i + 1], apply(op, x[i : i + 1]))


def test_patches_and_a_product_are_a_convolution() -> None:
    op = patches(kernel=(3, 2), stride=(2, 1), padding=(1, 1, 0, 1))
    x, weights = random_array(1, I8, (2, 7, 6, 3)), random_array(2, I8, (4, 3, 2, 3))
    cut = apply(op, x)
    result = Matmul(0, 1).run((cut, weights.reshape(4, -1)), Plain())
    padded = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (0, 1), (0, 0)))
    for item, p, q, n in np.ndindex(*result.shape):
        part = padded[item, 2 * p : 2 * p + 3, q : q + 2]
        assert result[item, p, q, n] == (part * weights[n].astype(np.int64)).sum()


def test_the_fill_counts_for_the_range_only_where_there_is_padding() -> None:
    x = computed(I8, 4, 4, 1, lo=0, hi=9)
    assert patches(fill=-64).result_interval((x,)) == Interval(0, 9)
    padded = patches(kernel=(2, 2), padding=(0, 1, 0, 0), fill=-64)
    assert padded.result_interval((x,)) == Interval(-64, 9)


def test_work_is_metered_by_bytes_and_rows_of_the_kernel() -> None:
    x = computed(I8, 6, 5, 2)
    op = patches(kernel=(3, 3), padding=(1, 1, 1, 1))
    work = op.work((x,), op.result_type((x,)))
    assert (work.products, work.macs, work.fixed_bytes) == ((), 0, 0)
    assert work.item_bytes == 4 * (8 * 7 * 2 + 30 * 18) + 256 * 30 * 3
    spread = patches(kernel=(3, 3), padding=(1, 1, 1, 1), dilation=(1, 2))
    work = spread.work((x,), spread.result_type((x,)))
    assert work.item_bytes == 4 * (8 * 7 * 2 + 6 * 3 * 18) + 256 * 18 * 9


@pytest.mark.parametrize(
    ("changes", "x", "rule"),
    [
        ({}, constant(I8, 4, 4, 1), "program-constant"),
        ({}, computed(I8, 4, 4), "program-shape"),
        ({}, computed(I8, 1, 4, 4, 1), "program-shape"),
        ({"kernel": (0, 1)}, computed(I8, 4, 4, 1), "program-attribute"),
        ({"stride": (1, 0)}, computed(I8, 4, 4, 1), "program-attribute"),
        ({"dilation": (0, 1)}, computed(I8, 4, 4, 1), "program-attribute"),
        ({"padding": (1, 0, 0, 0)}, computed(I8, 4, 4, 1), "program-attribute"),
        ({"kernel": (1, 3), "padding": (0, 0, 0, 3)}, computed(I8, 4, 4, 1), "program-attribute"),
        ({"kernel": (64, 65)}, computed(I8, 99, 99, 1), "program-attribute"),
        ({"fill": 64}, computed(I8, 4, 4, 1), "program-attribute"),
        ({"fill": -65}, computed(I8, 4, 4, 1), "program-attribute"),
        ({"kernel": (5, 1)}, computed(I8, 4, 4, 1), "program-shape"),
        ({"kernel": (1, 3), "dilation": (1, 2)}, computed(I8, 4, 4, 1), "program-shape"),
        (
            {"kernel": (2, 1), "dilation": (2**32 - 1, 1), "padding": (2**32 - 1, 0, 0, 0)},
            computed(I8, 1, 1, 1),
            "program-limits",
        ),
        (
            {"kernel": (2, 2), "dilation": (2**19, 2**19), "padding": (2**19, 0, 2**19, 0)},
            computed(I8, 1, 1, 1),
            "program-limits",
        ),
        ({"kernel": (64, 64)}, computed(I8, 1024, 1024, 1), "program-limits"),
        ({"kernel": (64, 64)}, computed(I8, 64, 64, 257), "program-limits"),
    ],
)
def test_refusals(changes: dict[str, Any], x: Operand, rule: str) -> None:
    refused(rule, patches(**changes), x)


def test_int32_may_be_filled_with_any_int32() -> None:
    x = np.zeros((1, 1, 1, 1), np.int32)
    op = patches(kernel=(2, 1), padding=(1, 0, 0, 0), fill=-(2**31))
    assert apply(op, x).tolist() == [[[[-(2**31), 0]]]]
