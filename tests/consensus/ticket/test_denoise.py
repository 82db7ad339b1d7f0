"""Denoising gives the plain product, exactly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.consensus.ticket.denoise import denoise, noised_product
from pouw.consensus.ticket.noise import noise


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(2, 8),
    st.sampled_from(["random", "lowest", "highest"]),
    st.binary(min_size=32, max_size=32),
)
def test_denoised_product_is_the_plain_one(
    rows: int, cols: int, slabs: int, kind: str, seed: bytes
) -> None:
    m, n, k = 16 * rows, 16 * cols, 128 * slabs
    low, high = {"random": (-64, 63), "lowest": (-64, -64), "highest": (63, 63)}[kind]
    generator = np.random.default_rng(list(seed))
    a = generator.integers(low, high, (m, k), np.int8, endpoint=True)
    b_t = generator.integers(low, high, (n, k), np.int8, endpoint=True)
    b_seed = seed[::-1]
    b_noised = b_t + noise(b_seed, range(n), k)
    product = noised_product(a + noise(seed, range(m), k), b_noised)
    plain = a.astype(np.int64) @ b_t.astype(np.int64).T
    assert not np.array_equal(product, plain)
    assert np.array_equal(denoise(product, a, b_noised, seed, b_seed), plain)
