"""Sums, recent speeds, and the report made of them."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.miner.meter import LONG_SECONDS, Counts, Meter, Report


class Clock:
    """Stands still until told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_report_covers_the_time_since_the_last() -> None:
    meter = Meter()
    meter.add(idle=10**9, blocks=1)
    report = Report(meter, 50.0)
    meter.add(
        useful=4 * 10**6,
        idle=10**7,
        tickets=30,
        blocks=2,
        job_blocks=1,
        jobs=1,
        earned=1_500_000_000,
    )
    assert report.fields(52.0) == {
        "useful": "2 MMAC/s",
        "idle": "5 MMAC/s",
        "tickets": "15/s",
        "blocks": 3,
        "job_blocks": 1,
        "jobs": 1,
        "earned": "1.5 POUW",
    }
    assert report.fields(53.0)["useful"] == "0 MAC/s"


def test_what_a_device_adds_is_in_the_total_once() -> None:
    meter = Meter()
    cpu, gpu = meter.device("cpu"), meter.device("cuda:0")
    assert meter.device("cpu") is cpu
    cpu.add(idle=5, tickets=1)
    gpu.add(useful=7, tickets=2, blocks=1, job_blocks=1)
    meter.add(jobs=1, earned=9)
    assert dict(meter.by_device) == {
        "cpu": Counts(idle=5, tickets=1),
        "cuda:0": Counts(useful=7, tickets=2, blocks=1, job_blocks=1),
    }
    assert meter.counts == Counts(7, 5, 3, 1, 1, 1, 9)


def test_rates_are_of_the_window_alone() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.add(idle=1_000_000)
    clock.now += 30
    meter.add(useful=600, idle=200, tickets=20)
    clock.now += 10
    assert meter.rates(10).useful == pytest.approx(60)
    assert meter.rates(10).idle == pytest.approx(20)
    assert meter.rates(10).macs == pytest.approx(80)
    assert meter.rates(10).tickets == pytest.approx(2)
    assert meter.rates(10).useful_share == pytest.approx(0.75)
    assert meter.rates(60).idle == pytest.approx(1_000_200 / 40), "younger than the window"
    clock.now += 100
    assert meter.rates(60).macs == 0
    assert meter.rates(60).useful_share is None


def test_a_device_that_came_later_has_rates_of_its_own_time() -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.now += 58.5
    late = meter.device("cpu")
    late.add(idle=10)
    clock.now += 2
    assert late.rates(60).idle == pytest.approx(5)
    assert meter.rates(60).idle == pytest.approx(10 / 60.5)


def test_nothing_done_at_the_first_moment_is_no_division_by_zero() -> None:
    assert Meter(Clock()).rates().macs == 0


Steps = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1000)), max_size=60)


@settings(max_examples=60)
@given(Steps, st.integers(1, LONG_SECONDS))
def test_rates_equal_a_plain_sum_over_all_that_happened(
    steps: list[tuple[float, int]], window: int
) -> None:
    clock = Clock()
    meter = Meter(clock)
    happened: list[tuple[float, int]] = []
    for pause, macs in steps:
        clock.now += pause
        meter.device("cpu").add(idle=macs)
        happened.append((clock.now, macs))
    begin = max(int(clock.now - window), 1000)
    recent = sum(macs for at, macs in happened if at >= begin)
    expected = recent / max(clock.now - begin, 1e-3)
    assert meter.rates(window).idle == pytest.approx(expected)


def test_threads_lose_nothing() -> None:
    meter = Meter()

    def work(name: str) -> None:
        own = meter.device(name)
        for _ in range(2_000):
            own.add(useful=1, tickets=2)

    threads = [threading.Thread(target=work, args=(f"d{i % 2}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.counts.useful == 8_000
    assert [own.tickets for own in meter.by_device.values()] == [8_000, 8_000]
