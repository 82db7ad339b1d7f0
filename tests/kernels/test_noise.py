"""Noise of the CPU kernels equals the reference for any rows, slabs and element size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.consensus.ticket import noise as reference
from pouw.core.hashing import digest
from pouw.kernels.layout import Layout, tiled_rows
from pouw.kernels.noise import add_noise, left_factors

LAYOUTS = [Layout(16, 4), Layout(8, 4, biased=True), Layout(16, 2), Layout(8, 2)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 100), st.integers(1, 70), st.integers(0, 2**32))
def test_left_factors_equal_the_reference(first: int, count: int, seed: int) -> None:
    key = digest("header", seed.to_bytes(8, "little"))
    rows = range(first, first + count)
    assert np.array_equal(left_factors(key, rows), reference.left_factor(key, rows))


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 9), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32))
def test_noised_rows_equal_the_reference(
    layout: Layout, first: int, tiles: int, slabs: int, seed: int
) -> None:
    key, k = digest("header", seed.to_bytes(8, "little")), 128 * slabs
    rows = range(16 * first, 16 * (first + tiles))
    plain = np.random.default_rng(seed).integers(-64, 63, (len(rows), k), np.int8, endpoint=True)
    noised = tiled_rows(plain, layout)
    add_noise(noised, left_factors(key, rows), reference.permutations(key, k), layout)
    natural = noised.transpose(0, 2, 1, 3).reshape(len(rows), k)
    assert np.array_equal(natural, plain + reference.noise(key, rows, k))
