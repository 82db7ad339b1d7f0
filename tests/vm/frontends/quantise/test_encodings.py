"""Encodings represent zero and lose little; fixed-point constants stay within the machine."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.vm.frontends.quantise.encodings import (
    Encoding,
    best_encoding,
    best_symmetric,
    fixed_point,
    spanning,
    symmetric,
)

sizes = st.floats(1e-6, 1e6)


@settings(max_examples=60)
@given(st.floats(-1e6, 1e6), sizes)
def test_a_span_and_zero_are_covered(low: float, width: float) -> None:
    encoding = spanning(low, low + width)
    ends = np.array([low, low + width, 0.0])
    error = np.abs(encoding.rounded(ends) - ends)
    assert error[2] == 0
    assert error.max() <= encoding.scale * 0.501
    assert -64 <= encoding.zero <= 63


def test_zeros_alone_have_an_encoding() -> None:
    assert best_encoding(np.zeros(5)).rounded(np.zeros(5)).tolist() == [0.0] * 5
    assert best_symmetric(np.zeros(5)).scale == 1


def test_long_tails_are_cut_off_where_that_pays() -> None:
    x = np.random.default_rng(0).standard_t(3, size=20_000)
    low, high = float(x.min()), float(x.max())

    def loss(encoding: Encoding) -> float:
        return float(np.square(encoding.rounded(x) - x).mean())

    assert loss(best_encoding(x)) < loss(spanning(low, high)) * 0.9
    assert loss(best_symmetric(x)) < loss(symmetric(max(-low, high))) * 0.9


def test_a_clip_bounds_the_encoding() -> None:
    x = np.random.default_rng(1).normal(size=1000)
    encoding = best_encoding(x, low=0.0)
    assert encoding.zero == -64


@settings(max_examples=100)
@given(
    st.lists(st.floats(1e-9, 1e4), min_size=1, max_size=4),
    st.floats(-1e4, 1e4),
    st.sampled_from([63, 2**15, 2**24, 2**31 - 1]),
    st.integers(0, 2**31),
)
def test_fixed_point_rescales_exactly_enough(
    factors: list[float], offset: float, magnitude: int, seed: int
) -> None:
    reals = np.array(factors)
    fixed = fixed_point((reals,), (magnitude,), np.array([offset]))
    x = np.random.default_rng(seed).integers(-magnitude, magnitude, len(reals), endpoint=True)
    half = 1 << (fixed.shift - 1)
    wide = [
        int(a) * int(m) + (int(fixed.offset[0]) << fixed.up) + half
        for a, m in zip(x, fixed.multipliers[0], strict=True)
    ]
    assert max(abs(w) for w in wide) < 2**63
    assert np.abs(fixed.multipliers[0]).max() < 2**31
    assert abs(int(fixed.offset[0])) < 2**31
    wanted = x * reals + offset
    found = np.array([w >> fixed.shift for w in wide])
    size = magnitude * reals.max() + abs(offset)
    assert np.abs(found - wanted).max() <= 0.51 + size * 2.0**-27
