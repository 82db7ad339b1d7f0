"""Prices against exact fractions, and the whole emission of every network."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus import prices
from pouw.core.codec import MAX_INT
from pouw.genesis import MAINNET, NETWORKS, TINY, Params

NETWORK = st.sampled_from(list(NETWORKS.values()))


@pytest.mark.parametrize("params", NETWORKS.values(), ids=lambda params: params.name)
def test_all_money_that_will_ever_exist_fits_the_encoding(params: Params) -> None:
    emitted, era = sum(amount for _, amount in params.allocations), 0
    while reward := prices.subsidy(params, max(1, era * params.halving_interval)):
        emitted += reward * params.halving_interval
        era += 1
    assert emitted <= MAX_INT


def test_halving() -> None:
    interval, first = MAINNET.halving_interval, MAINNET.initial_subsidy
    assert prices.subsidy(MAINNET, 0) == 0
    assert prices.subsidy(MAINNET, 1) == prices.subsidy(MAINNET, interval - 1) == first
    assert prices.subsidy(MAINNET, interval) == first // 2
    assert prices.subsidy(MAINNET, 2 * interval - 1) == first // 2
    assert prices.subsidy(MAINNET, 2 * interval) == first // 4
    assert prices.subsidy(MAINNET, 64 * interval) == prices.subsidy(MAINNET, MAX_INT) == 0


@given(NETWORK, st.integers(1, 2**62), st.integers(0, 2**40), st.integers(1, 2**240))
def test_burn_is_rounded_up(params: Params, macs: int, height: int, difficulty: int) -> None:
    reward = prices.subsidy(params, height)
    exact = Fraction(params.burn_numerator * macs * reward, params.burn_denominator * difficulty)
    burn = prices.job_burn(params, macs, height, difficulty)
    assert burn == ceil(exact)
    assert burn > 0 or reward == 0


@given(NETWORK, st.integers(0, 2**40), st.integers(0, 2**40))
def test_check_fee_counts_started_units(params: Params, macs: int, size: int) -> None:
    assert prices.check_fee(params, macs, size) == (
        ceil(Fraction(macs, 10**6)) * params.check_price_per_mmac
        + ceil(Fraction(size, 1024)) * params.check_price_per_kib
    )


@given(NETWORK, st.integers(0, MAX_INT), st.integers(0, 100))
def test_bond_grows_with_bounty_and_openings(params: Params, bounty: int, openings: int) -> None:
    bond = prices.claim_bond(params, bounty, openings)
    first = prices.claim_bond(params, bounty, 0)
    assert bond == first * (1 + openings)
    assert first == max(params.min_bond, floor(Fraction(bounty * params.bond_basis_points, 10_000)))


@given(
    st.integers(0, MAX_INT),
    st.lists(st.integers(1, 1000), max_size=TINY.max_royalty_basis_points // 1000),
)
def test_shares_never_exceed_their_part(amount: int, shares: list[int]) -> None:
    paid = sum(prices.share_of(amount, share) for share in shares)
    assert paid <= Fraction(amount * sum(shares), 10_000)
    assert paid > Fraction(amount * sum(shares), 10_000) - max(1, len(shares))
