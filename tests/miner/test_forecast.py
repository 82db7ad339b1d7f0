"""Expectations, and durations and amounts of work as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.miner.forecast import (
    DAY_SECONDS,
    forecast,
    format_macs,
    format_seconds,
    seconds_to_block,
)


def test_a_slow_miner_gets_its_share() -> None:
    expected = forecast(1 << 34, 10**6, 50 * 10**9, 30)
    assert expected.seconds_to_block == (1 << 34) / 10**6
    assert expected.blocks_per_day == pytest.approx(DAY_SECONDS * 10**6 / (1 << 34))
    assert expected.base_units_per_day == pytest.approx(expected.blocks_per_day * 50 * 10**9)
    assert not expected.too_fast
    assert expected.fields()["difficulty"] == 1 << 34


def test_nobody_finds_more_than_the_network_has() -> None:
    expected = forecast(1 << 24, 10**12, 7, 2)
    assert expected.too_fast
    assert expected.blocks_per_day == DAY_SECONDS / 2
    assert expected.base_units_per_day == DAY_SECONDS // 2 * 7


@given(st.integers(1, 1 << 80), st.integers(1, 10**18), st.integers(1, 600))
def test_expectations_never_exceed_the_spacing(difficulty: int, speed: int, spacing: int) -> None:
    expected = forecast(difficulty, speed, 1, spacing)
    assert 0 < expected.blocks_per_day <= DAY_SECONDS / spacing
    assert expected.too_fast == (expected.seconds_to_block < spacing)


@pytest.mark.parametrize("difficulty", [None, 0])
def test_no_difficulty_no_time(difficulty: int | None) -> None:
    assert seconds_to_block(difficulty, 5.0) is None


def test_no_speed_no_time() -> None:
    assert seconds_to_block(5, 0.0) is None
    assert seconds_to_block(10, 4.0) == 2.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0008388, "0.00084 s"),
        (2.5, "2.5 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3725, "1 h 2 min"),
        (86_400 * 3, "3 d"),
        (86_400 * 3 + 3_700, "3 d 1 h"),
        (3e10, "950 y 234 d"),
        (1e300, "31,688,087 y 297 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("macs", "text"),
    [
        (0, "0 MAC"),
        (999, "999 MAC"),
        (1_000, "1 kMAC"),
        (999_999, "1 MMAC"),
        (1 << 34, "17.2 GMAC"),
        (1 << 44, "17.6 TMAC"),
        (10**25, "1e+04 ZMAC"),
    ],
)
def test_amounts_of_work(macs: int, text: str) -> None:
    assert format_macs(macs) == text
