"""The two multipliers a node may be given are exact for any int8 operands."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.kernels.blas import SLICE, BlasMultiplier
from pouw.kernels.cpu import CpuMultiplier

MULTIPLIERS = [BlasMultiplier(), CpuMultiplier()]


def drawn(rows: int, k: int, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 127, (rows, k), np.int8, endpoint=True)


def plain(a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int64]:
    return a.astype(np.int64) @ b_t.astype(np.int64).T


@pytest.mark.parametrize("multiplier", MULTIPLIERS)
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 300), st.integers(0, 2**32))
def test_products_equal_integer_arithmetic(
    multiplier: BlasMultiplier | CpuMultiplier, m: int, n: int, k: int, seed: int
) -> None:
    a, b_t = drawn(m, k, seed), drawn(n, k, seed + 1)
    product = multiplier.matmul(a, b_t)
    assert product.dtype == np.int32
    assert np.array_equal(product, plain(a, b_t))


@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_extremes_over_the_longest_k(multiplier: BlasMultiplier | CpuMultiplier) -> None:
    longest = 2**17 - 1
    assert longest > SLICE
    a = np.full((2, longest), -128, np.int8)
    b_t = np.stack([np.full(longest, -128, np.int8), np.full(longest, 127, np.int8)])
    assert np.array_equal(multiplier.matmul(a, b_t), plain(a, b_t))


@pytest.mark.parametrize("multiplier", MULTIPLIERS)
@pytest.mark.parametrize("k", [0, 1, 2])
def test_shortest_depths(multiplier: BlasMultiplier | CpuMultiplier, k: int) -> None:
    """With k = 1 torch's own product leaves its result unwritten."""
    a, b_t = drawn(17, k, 1), drawn(33, k, 2)
    assert np.array_equal(multiplier.matmul(a, b_t), plain(a, b_t))


@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_any_memory_layout_is_read_right(multiplier: BlasMultiplier | CpuMultiplier) -> None:
    a, b_t = drawn(24, 80, 1), drawn(20, 80, 2)
    frozen = np.frombuffer(a.tobytes(), np.int8).reshape(24, 80)
    strided = np.asfortranarray(b_t)
    assert np.array_equal(multiplier.matmul(frozen, strided), plain(a, b_t))
    assert np.array_equal(
        multiplier.matmul(a[::2, :40], b_t[3:, 40:]), plain(a[::2, :40], b_t[3:, 40:])
    )


@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_operands_that_do_not_fit_are_refused(multiplier: BlasMultiplier | CpuMultiplier) -> None:
    with pytest.raises(ValueError, match="cannot multiply"):
        multiplier.matmul(drawn(4, 8, 1), drawn(4, 9, 1))
    too_long = np.zeros((1, 2**17), np.int8)
    with pytest.raises(ValueError, match="cannot multiply"):
        multiplier.matmul(too_long, too_long)
