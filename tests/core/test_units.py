"""Money in text: exact both ways, with no way round the bounds."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.codec import MAX_INT
from pouw.core.errors import UserError
from pouw.core.units import BASE_UNITS_PER_POUW, format_amount, parse_amount

amounts = st.integers(0, MAX_INT)


@given(amounts)
def test_round_trip(units: int) -> None:
    assert parse_amount(format_amount(units)) == units


@given(st.integers(-MAX_INT, MAX_INT))
def test_text_is_the_exact_decimal(units: int) -> None:
    text = format_amount(units)
    assert Decimal(text) * BASE_UNITS_PER_POUW == units
    assert not (("." in text) and text.endswith("0")) and not text.endswith(".")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0", 0),
        ("1", 10**9),
        ("1.5", 1_500_000_000),
        ("0.000000001", 1),
        ("007.10", 7_100_000_000),
        (" 2 \n", 2 * 10**9),
        ("9223372036.854775807", MAX_INT),
    ],
)
def test_examples(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1_000", "0x10", "1.0000000001", "1 2", "nan",
     "inf", "١", "1\n2", "1" * 13, "٣.٥", "½"],
)  # fmt: skip
def test_not_an_amount(text: str) -> None:
    with pytest.raises(UserError, match="is not an amount"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["9223372036.854775808", "9223372037", "999999999999.999999999"])
def test_more_than_fits(text: str) -> None:
    with pytest.raises(UserError, match="more POUW"):
        parse_amount(text)


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_a_user_error(text: str) -> None:
    with contextlib.suppress(UserError):
        assert 0 <= parse_amount(text) <= MAX_INT
