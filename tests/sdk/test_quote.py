"""Dividing and pricing: the arithmetic by itself, the rest against a real node."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.core.transaction import MAX_OUTPUT_BYTES
from pouw.genesis import TINY
from pouw.sdk.amounts import base_units
from pouw.sdk.client import Client
from pouw.sdk.quote import MAX_JOBS, Pricer, even_parts, proportional
from pouw.tests.cli.town import DATA

MOST = MAX_OUTPUT_BYTES // 32
"""Items of the model whose outputs fit one settlement."""


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 64))
def test_even_parts_add_up_and_differ_by_one_at_most(total: int, parts: int) -> None:
    sizes = even_parts(total, parts)
    assert (sum(sizes), len(sizes)) == (total, parts)
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**18), st.lists(st.integers(1, 10**6), min_size=1, max_size=64))
def test_shares_add_up_and_follow_the_weights(amount: int, weights: list[int]) -> None:
    shares = proportional(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - amount * weight) <= len(weights) * sum(weights)


@pytest.mark.parametrize(
    ("amount", "units"), [(0, 0), (7, 7), ("1.5", 1_500_000_000), ("0.000000001", 1)]
)
def test_amounts(amount: int | str, units: int) -> None:
    assert base_units(amount) == units


@pytest.mark.parametrize("amount", [-1, 1.5, True, None, "1,5", "-1", "", 2**63, b"1"])
def test_what_is_no_amount(amount: object) -> None:
    with pytest.raises(UserError, match=r"amount|ever exist"):
        base_units(amount)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("items", [1, 3, MOST, MOST + 1, 3 * MOST])
def test_as_few_jobs_as_fit(client: Client, model: str, items: int) -> None:
    quote = client.quote(model, items=items)
    sizes = [job.items for job in quote.jobs]
    assert sum(sizes) == quote.items == items
    assert len(sizes) == -(-items // MOST)
    assert quote.macs == items * 128


def test_the_networks_limits_divide_too(client: Client, model: str) -> None:
    found = client.model(model)
    least = replace(TINY, max_job_macs=10 * found.macs_per_item)
    assert Pricer(client.rpc, least, found).divide(25) == [9, 8, 8]
    none = replace(TINY, max_job_macs=found.macs_per_item - 1)
    with pytest.raises(UserError, match="one item of this model is more"):
        Pricer(client.rpc, none, found).divide(25)


def test_too_many_jobs_are_refused(client: Client, model: str) -> None:
    with pytest.raises(UserError, match=f"at most {MAX_JOBS}"):
        client.quote(model, items=(MAX_JOBS + 1) * MOST)


@pytest.mark.parametrize("items", [0, -1])
def test_no_items_have_no_price(client: Client, model: str, items: int) -> None:
    with pytest.raises(UserError, match="none"):
        client.quote(model, items=items)


def test_a_quote_takes_one_of_both(client: Client, model: str) -> None:
    with pytest.raises(UserError, match="either"):
        client.quote(model)
    with pytest.raises(UserError, match="either"):
        client.quote(model, DATA, items=3)


def test_a_given_bounty_is_divided_among_the_jobs(client: Client, model: str) -> None:
    quote = client.quote(model, items=2 * MOST + 1, bounty="3.000000001")
    assert quote.bounty == 3_000_000_001
    assert len({job.bounty for job in quote.jobs}) <= 3
    assert quote.total == quote.bounty + quote.burn + quote.check_fee + quote.fees
    assert "3 jobs" in str(quote)


def test_by_number_and_by_input_the_price_is_one(client: Client, model: str) -> None:
    by_items, by_input = client.quote(model, items=len(DATA)), client.quote(model, DATA)
    assert by_items == by_input
