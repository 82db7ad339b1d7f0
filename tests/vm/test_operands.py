"""Padding to the ticket grid changes no product, and what is worth mining."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.operands import crop_result, is_mineable, pad_operand, padded_shape
from pouw.vm.products import Product
from pouw.vm.types import Interval


def product(m: int, n: int, k: int) -> Product:
    return Product(0, 0, m, n, k, 0, 1, Interval(-4032, 4096))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.integers(1, 300))
def test_padded_operands_have_the_same_product(seed: int, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(-64, 64, (m, k)).astype(np.int8)
    b_t = rng.integers(-64, 64, (n, k)).astype(np.int8)
    padded_a, padded_b = pad_operand(a), pad_operand(b_t)
    shape = padded_shape(product(m, n, k))
    assert (*padded_a.shape, padded_b.shape[0]) == (shape[0], shape[2], shape[1])
    assert shape[0] % 16 == shape[1] % 16 == shape[2] % 128 == 0
    multiply = ReferenceMultiplier().matmul
    cropped = crop_result(multiply(padded_a, padded_b), product(m, n, k))
    assert np.array_equal(cropped, multiply(a, b_t))


def test_an_operand_on_the_grid_is_not_copied() -> None:
    operand = np.ones((32, 256), np.int8)
    assert pad_operand(operand) is operand


def test_padding_is_zero() -> None:
    padded = pad_operand(np.ones((1, 1), np.int8))
    assert padded.shape == (16, 128) and int(padded.sum()) == 1


@pytest.mark.parametrize(
    ("k", "mineable"),
    [(1, False), (384, False), (385, True), (512, True), (16_384, True), (16_385, False)],
)
def test_mineable_by_padded_k(k: int, mineable: bool) -> None:
    assert is_mineable(product(1, 1, k)) is mineable
