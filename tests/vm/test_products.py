"""Slicing the inner dimension and numbering products."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import ProductShape, plain_products, slice_products, slices_of
from pouw.vm.types import Interval

TERM = Interval(-4032, 4096)


@given(st.integers(1, 200_000))
def test_slices_cover_k_once_and_start_on_the_boundary(k: int) -> None:
    position = 0
    for start, length in slices_of(k):
        assert start == position and start % 16_384 == 0 and 1 <= length <= 16_384
        position += length
    assert position == k


def test_slices_at_the_boundary() -> None:
    assert list(slices_of(16_384)) == [(0, 16_384)]
    assert list(slices_of(16_385)) == [(0, 16_384), (16_384, 1)]


def test_slices_are_numbered_on_and_keep_the_whole_work() -> None:
    shape = ProductShape(rows=3, n=5, k=40_000, weight=2, term=TERM)
    products = slice_products(7, 4, shape)
    assert [(p.index, p.op, p.start, p.k) for p in products] == [
        (7, 4, 0, 16_384),
        (8, 4, 16_384, 16_384),
        (9, 4, 32_768, 7_232),
    ]
    assert sum(p.macs for p in products) == shape.macs == 3 * 5 * 40_000
    assert products[2].interval == Interval(-4032 * 7_232, 4096 * 7_232)


def test_for_items_multiplies_rows_only() -> None:
    (product,) = slice_products(0, 0, ProductShape(rows=3, n=5, k=7, weight=1, term=TERM))
    job = product.for_items(10)
    assert (job.m, job.n, job.k, job.macs) == (30, 5, 7, 1050)


def test_plain_products_multiply() -> None:
    (product,) = slice_products(0, 0, ProductShape(rows=1, n=1, k=2, weight=1, term=TERM))
    a, b_t = np.array([[2, 3]], np.int8), np.array([[5, 7]], np.int8)
    result = plain_products(ReferenceMultiplier()).product(product, a, b_t)
    assert result.tolist() == [[31]]
