"""Caps and speeds, by a virtual clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.miner.rate import SpeedGauge, TokenBucket, format_rate, parse_rate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5000000", 5_000_000), ("5M", 5_000_000), ("1.5G", 1_500_000_000), (" 2k ", 2_000)],
)
def test_rates_are_read_exactly(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "0.4", "-1", "5 M", "5m", "1e9", "9999999999999T", "M"])
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"MACs per second"):
        parse_rate(text)


def test_speeds_are_written_for_people() -> None:
    assert [format_rate(x) for x in (0, 999, 5.3e6, 2e12, 3e16)] == [
        "0 MAC/s",
        "999 MAC/s",
        "5.3 MMAC/s",
        "2 TMAC/s",
        "3e+04 TMAC/s",
    ]


@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**8), min_size=5, max_size=30))
def test_a_bucket_holds_its_average_whatever_the_lumps(rate: int, lumps: list[int]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    for lump in lumps:
        clock.now += bucket.delay()
        bucket.spend(lump)
    clock.now += bucket.delay()
    elapsed = clock.now - 100.0
    assert elapsed * rate == pytest.approx(sum(lumps), rel=1e-6, abs=1e-3 * rate)


def test_idle_time_saves_up_a_quarter_of_a_second_only() -> None:
    clock = Clock()
    bucket = TokenBucket(1000, clock)
    clock.now += 3600
    bucket.spend(250)
    assert bucket.delay() == 0
    bucket.spend(500)
    assert bucket.delay() == pytest.approx(0.5)


def test_the_gauge_follows_what_it_measures() -> None:
    gauge = SpeedGauge()
    gauge.record(10, 0.0)
    assert gauge.speed == 1e9, "a clock too coarse says nothing"
    for _ in range(40):
        gauge.record(5 * 10**6, 0.001)
    assert gauge.speed == pytest.approx(5e9, rel=1e-3)
