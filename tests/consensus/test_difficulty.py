"""ASERT against exact powers in decimal arithmetic, at its bounds, and on schedule."""

from dataclasses import replace
from decimal import Decimal, getcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus.difficulty import MAX_DIFFICULTY, next_difficulty, power_of_two
from pouw.core.codec import MAX_INT
from pouw.genesis import DEVNET, MAINNET, TESTNET, TINY, Params

getcontext().prec = 160
RADIX = 1 << 16
ERROR = Decimal("0.00013")
"""Relative error of the cubic (aserti3-2d states 0.013 %)."""

EXPONENTS = st.integers(-200 * RADIX, 200 * RADIX)
TIMES = st.integers(0, 2**40)


def exact(base: int, exponent: int) -> Decimal:
    return base * Decimal(2) ** (Decimal(exponent) / RADIX)


def test_every_fraction_is_close_to_the_exact_power_and_not_below_the_one_before() -> None:
    base = 1 << 64
    step = Decimal(2) ** (Decimal(1) / RADIX)
    truth, last = Decimal(base), 0
    for fraction in range(RADIX + 1):
        value = power_of_two(base, fraction)
        assert abs(value - truth) <= truth * ERROR, fraction
        assert value >= last
        truth, last = truth * step, value
    assert last == 2 * base


@given(st.integers(1, 2**200), EXPONENTS)
def test_close_to_the_exact_power_over_the_whole_range(base: int, exponent: int) -> None:
    truth = exact(base, exponent)
    assert abs(power_of_two(base, exponent) - truth) <= truth * ERROR + 1


@given(st.integers(1, 2**100), EXPONENTS, st.integers(1, 2**20))
def test_grows_with_the_exponent(base: int, exponent: int, step: int) -> None:
    assert power_of_two(base, exponent) <= power_of_two(base, exponent + step)


@given(st.integers(1, 2**100), st.integers(-300, 255))
def test_whole_doublings_are_exact(base: int, doublings: int) -> None:
    clamped = max(-256, doublings)
    expected = base << clamped if clamped >= 0 else base >> -clamped
    assert power_of_two(base, doublings * RADIX) == expected


@pytest.mark.parametrize("far", [257 * RADIX, 10**30])
def test_the_exponent_is_clamped(far: int) -> None:
    assert power_of_two(3, far) == power_of_two(3, 256 * RADIX) == 3 << 256
    assert power_of_two(3 << 256, -far) == 3


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [
        (0, 1 << 44),
        (1, 17592454479872),
        (-1, 17592051826688),
        (32768, 24876987449344),
        (-32768, 12438493724672),
        (65535, 35184103653376),
        (98304, 49753974898688),
        (-1000000, 448737280),
    ],
)
def test_vectors(exponent: int, expected: int) -> None:
    assert power_of_two(1 << 44, exponent) == expected
    assert abs(exact(1 << 44, exponent) - expected) <= expected * ERROR


@pytest.mark.parametrize("params", [MAINNET, TESTNET, DEVNET])
def test_blocks_on_schedule_keep_the_difficulty(params: Params) -> None:
    for height in (0, 1, 2, 3, 1000, 10**6):
        time = params.genesis_time + params.target_spacing * (height - 1)
        assert (
            next_difficulty(params, height, params.genesis_time, time) == params.initial_difficulty
        )


@pytest.mark.parametrize(("halflives", "factor"), [(1, 2), (3, 8)])
def test_each_halflife_of_lead_doubles_and_of_lag_halves(halflives: int, factor: int) -> None:
    anchor, shift = MAINNET.genesis_time, halflives * MAINNET.difficulty_halflife
    height = 1 + 2 * shift // MAINNET.target_spacing
    due = anchor + (height - 1) * MAINNET.target_spacing
    initial = MAINNET.initial_difficulty
    assert next_difficulty(MAINNET, height, anchor, due - shift) == initial * factor
    assert next_difficulty(MAINNET, height, anchor, due + shift) == initial // factor


def test_the_first_two_blocks_have_the_initial_difficulty_whenever_the_chain_starts() -> None:
    late = MAINNET.genesis_time + 10**9
    assert next_difficulty(MAINNET, 0, 0, MAINNET.genesis_time) == MAINNET.initial_difficulty
    assert next_difficulty(MAINNET, 1, late, late) == MAINNET.initial_difficulty


@pytest.mark.parametrize("params", [MAINNET, TESTNET, DEVNET, TINY])
def test_never_below_the_networks_minimum_nor_above_the_maximum(params: Params) -> None:
    steep = replace(params, difficulty_halflife=60)
    assert next_difficulty(steep, 1, 0, MAX_INT) == params.min_difficulty
    assert next_difficulty(steep, 10**9, 0, 0) == MAX_DIFFICULTY
    assert next_difficulty(steep, MAX_INT, 0, 0) == MAX_DIFFICULTY


@given(st.integers(1, 10**7), TIMES, TIMES, st.integers(0, 10**6))
def test_a_later_parent_never_makes_a_harder_child(
    height: int, anchor: int, time: int, later: int
) -> None:
    now = next_difficulty(MAINNET, height, anchor, time)
    assert next_difficulty(MAINNET, height, anchor, time + later) <= now
    assert next_difficulty(MAINNET, height + 1, anchor, time) >= now
    assert MAINNET.min_difficulty <= now <= MAX_DIFFICULTY
