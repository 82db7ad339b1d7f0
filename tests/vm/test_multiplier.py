"""The reference product against Python integers, and at the widest sums it meets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pouw.vm.multiplier import ReferenceMultiplier, matmul_each

sizes = st.integers(1, 12)


@given(st.integers(0, 2**32), sizes, sizes, sizes)
def test_equals_python_integers(seed: int, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(-128, 128, (m, k)).astype(np.int8)
    b_t = rng.integers(-128, 128, (n, k)).astype(np.int8)
    result = ReferenceMultiplier().matmul(a, b_t)
    assert result.dtype == np.int32
    assert result.tolist() == [
        [sum(x * y for x, y in zip(r, c, strict=True)) for c in b_t.tolist()] for r in a.tolist()
    ]


def test_the_widest_sum_is_exact() -> None:
    a = np.full((1, 131_071), -128, np.int8)
    assert ReferenceMultiplier().matmul(a, a).tolist() == [[131_071 * 128 * 128]]


@given(st.integers(0, 2**32), sizes, st.integers(1, 3), sizes, sizes, sizes)
def test_each_matrix_meets_its_own(
    seed: int, parts: int, times: int, m: int, n: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(-64, 64, (times * parts, m, k)).astype(np.int8)
    b_t = rng.integers(-64, 64, (parts, n, k)).astype(np.int8)
    result = matmul_each(ReferenceMultiplier(), a, b_t)
    assert result.dtype == np.int32 and result.shape == (times * parts, m, n)
    for i, product in enumerate(result):
        assert np.array_equal(product, ReferenceMultiplier().matmul(a[i], b_t[i % parts]))
