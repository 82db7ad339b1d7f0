"""Thin products are exact integers on every way of this machine, and find every wrong product."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.freivalds import COLUMNS, PlainThinProducts, ThinProducts, product_is_right
from pouw.kernels.blas import BlasThinProducts
from pouw.kernels.freivalds import (
    PROCESSORS,
    SLICE,
    NativeThinProducts,
    native_thin_products,
    signed_digits,
)
from pouw.kernels.machine import features

PLAIN = PlainThinProducts()
WAYS: Mapping[str, ThinProducts] = {"blas": BlasThinProducts()} | {
    processor.name: NativeThinProducts(processor)
    for needs, processor in PROCESSORS
    if needs <= features()
}
EACH = pytest.mark.parametrize("thin", WAYS.values(), ids=WAYS.keys())
QUICK = settings(max_examples=15, deadline=None)


def drawn(seed: int, rows: int, columns: int, dtype: Any = np.int8) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(limits.min, limits.max, (rows, columns), dtype, endpoint=True)


def extremes(rows: int, columns: int, dtype: Any) -> list[NDArray[Any]]:
    limits = np.iinfo(dtype)
    return [np.full((rows, columns), end, dtype) for end in (limits.min, limits.max, -1)]


@EACH
@QUICK
@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(1, 300), st.sampled_from([16, 48]))
def test_a_weight_equals_plain_integers(
    thin: ThinProducts, seed: int, n: int, k: int, columns: int
) -> None:
    b_t, r = drawn(seed, n, k), drawn(seed + 1, n, columns)
    result = thin.of_weight(b_t, r)
    assert result.dtype == np.int64
    assert np.array_equal(result, PLAIN.of_weight(b_t, r))


@EACH
@QUICK
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 300), st.integers(0, 33))
def test_an_operand_equals_plain_integers(
    thin: ThinProducts, seed: int, m: int, k: int, bits: int
) -> None:
    """B·R has up to 34 bits: with n = 2²⁰ that many are reached."""
    a = drawn(seed, m, k)
    b_r = np.random.default_rng(seed).integers(-(2**bits), 2**bits, (k, COLUMNS), endpoint=True)
    result = thin.of_operand(a, b_r)
    assert result.dtype == np.int64
    assert np.array_equal(result, PLAIN.of_operand(a, b_r))


@EACH
@QUICK
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 300), st.sampled_from([16, 48]))
def test_a_result_equals_plain_integers(
    thin: ThinProducts, seed: int, m: int, n: int, columns: int
) -> None:
    c, r = drawn(seed, m, n, np.int32), drawn(seed + 1, n, columns)
    result = thin.of_result(c, r)
    assert result.dtype == np.int64
    assert np.array_equal(result, PLAIN.of_result(c, r))


@EACH
def test_extremes_over_more_terms_than_one_sum_holds(thin: ThinProducts) -> None:
    n = SLICE + 37
    for r in extremes(n, COLUMNS, np.int8)[:2]:
        for b_t in extremes(n, 64, np.int8)[:2]:
            sums = n * int(b_t[0, 0]) * int(r[0, 0])
            assert np.all(thin.of_weight(b_t, r) == sums)
        for c in extremes(3, n, np.int32)[:2]:
            assert np.all(thin.of_result(c, r) == n * int(c[0, 0]) * int(r[0, 0]))


@EACH
def test_extremes_over_the_longest_k(thin: ThinProducts) -> None:
    k = 16_384
    for largest in (2**33, -(2**33)):
        b_r = np.full((k, COLUMNS), largest)
        for a in (np.full((5, k), -64, np.int8), np.full((5, k), 63, np.int8)):
            assert np.array_equal(thin.of_operand(a, b_r), PLAIN.of_operand(a, b_r))


@EACH
def test_any_memory_layout_is_read_right(thin: ThinProducts) -> None:
    frozen = np.frombuffer(drawn(1, 70, 200).tobytes(), np.int8).reshape(70, 200)
    r = np.asfortranarray(drawn(2, 70, COLUMNS))
    assert np.array_equal(thin.of_weight(frozen, r), PLAIN.of_weight(frozen, r))
    part = frozen[::2, 3:133]
    assert np.array_equal(thin.of_weight(part, r[::2]), PLAIN.of_weight(part, r[::2]))
    b_r = PLAIN.of_weight(frozen, r)
    turned = np.asfortranarray(drawn(3, 9, 200))
    assert np.array_equal(thin.of_operand(turned, b_r), PLAIN.of_operand(turned, b_r))
    c = drawn(4, 140, 9, np.int32).T[:, ::2]
    assert np.array_equal(thin.of_result(c, r), PLAIN.of_result(c, r))


@EACH
def test_nothing_times_something_is_nothing(thin: ThinProducts) -> None:
    r, none = drawn(1, 70, COLUMNS), np.zeros((0, COLUMNS), np.int64)
    assert thin.of_result(np.zeros((0, 70), np.int32), r).shape == (0, COLUMNS)
    assert not thin.of_operand(np.zeros((3, 0), np.int8), none).any()
    assert thin.of_operand(np.zeros((0, 70), np.int8), r.astype(np.int64)).shape == (0, COLUMNS)


SPOIL = {
    "one element by one": ((2, 5), 1),
    "the last element by minus one": ((-1, -1), -1),
    "one element by 2^24": ((0, 0), 2**24),
    "one element by 2^31, wrapped": ((1, 7), -(2**31)),
    "a row by one": ((3, slice(None)), 1),
    "a row by 2^24": ((3, slice(None)), 2**24),
    "a column by 2^16": ((slice(None), 69), 2**16),
    "everything by 2^31, wrapped": ((slice(None), slice(None)), -(2**31)),
}


@EACH
@pytest.mark.parametrize(("where", "by"), SPOIL.values(), ids=SPOIL.keys())
def test_wrong_products_are_found(thin: ThinProducts, where: Any, by: int) -> None:
    rng = np.random.default_rng(3)
    a, b_t = (rng.integers(-64, 64, (rows, 150), np.int8) for rows in (9, 70))
    r = drawn(5, 70, COLUMNS)
    c = (a.astype(np.int64) @ b_t.astype(np.int64).T).astype(np.int32)
    assert product_is_right(thin, a, b_t, c, r)
    wrong = c.astype(np.int64)
    wrong[where] += by
    assert not product_is_right(thin, a, b_t, wrong.astype(np.int32), r)


@QUICK
@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=9))
def test_digits_add_up(values: list[int]) -> None:
    digits = signed_digits(np.array(values))
    assert all(digit.dtype == np.int8 for digit in digits)
    places = [
        [int(digit[i]) << (8 * place) for place, digit in enumerate(digits)]
        for i in range(len(values))
    ]
    assert [sum(each) for each in places] == values


def test_a_depth_beyond_a_sum_is_refused() -> None:
    native = [thin for thin in WAYS.values() if isinstance(thin, NativeThinProducts)]
    for thin in native:
        with pytest.raises(ValueError, match="longer than a sum"):
            thin.of_operand(np.zeros((1, SLICE + 1), np.int8), np.zeros((SLICE + 1, 16), np.int64))


@pytest.mark.skipif(len(WAYS) == 1, reason="this processor has no VNNI")
def test_the_fastest_way_of_this_processor_is_taken() -> None:
    assert native_thin_products().name == list(WAYS)[1]
