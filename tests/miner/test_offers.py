"""Which jobs are worth a bond."""

from dataclasses import replace
from typing import Any

import msgspec
from pouw.miner.library import LoadedModel
from pouw.miner.offers import (
    DELIVERY_KIB,
    JobOffer,
    best_first,
    in_time,
    posted,
    why_not,
    why_undeliverable,
)
from pouw.miner.pace import Fleet, JobPace
from pouw.miner.rate import SpeedGauge
from pouw.tests.miner.harbour import ITEMS, PARAMS, WIDTH, Kit

LEAST = DELIVERY_KIB * PARAMS.min_fee_per_kib


def offer(**changes: Any) -> JobOffer:
    values: dict[str, Any] = {
        "id": "00" * 32,
        "status": "submitted",
        "model": "11" * 32,
        "input": "22" * 32,
        "bounty": LEAST,
        "macs": 1_000_000,
        "check_macs": 1_000_000,
        "check_bytes": 1_000,
        "deadline": 1000,
        "openings": 0,
        "window": 6,
        "claimed": 0,
    }
    return msgspec.convert(values | changes, JobOffer)


def fleet(*seconds: float) -> Fleet:
    """Devices that took so many seconds for a job of 1,000,000 MACs."""
    together = Fleet()
    for each in seconds:
        pace = JobPace(SpeedGauge())
        for _ in range(60):
            pace.record(1_000_000, each)
            pace.record(10_000_000, each * 2)
        together.join(pace)
    return together


def test_what_pays_best_for_a_second_of_these_devices_comes_first() -> None:
    small = offer(id="03" * 32, bounty=2 * LEAST, macs=1_000_000)
    large = offer(id="02" * 32, bounty=4 * LEAST, macs=10_000_000)
    least = offer(id="01" * 32, bounty=LEAST, macs=1_000_000)
    soon = offer(id="05" * 32, bounty=2 * LEAST, macs=1_000_000, deadline=900)
    taken = offer(id="04" * 32, bounty=10**9, status="claimed")
    mine = fleet(0.5)
    ranked = best_first([least, small, taken, large, soon], PARAMS, mine)
    # Delivery costs LEAST each. The large one takes but twice the time of a small one.
    assert ranked == [large, soon, small, least]


def test_paces_are_learnt_with_their_fixed_part() -> None:
    mine = fleet(0.5)
    assert 0.45 < mine.slowest(1_000_000) < 0.55
    assert 0.95 < mine.slowest(10_000_000) < 1.05
    assert 1.4 < mine.slowest(19_000_000) < 1.6
    both = fleet(0.5, 1.0)
    assert 0.9 < both.slowest(1_000_000) < 1.1
    assert 0.3 < both.share(1_000_000) < 0.37


def test_a_job_that_does_not_pay_its_own_transactions_is_left() -> None:
    assert why_not(offer(), PARAMS, 100, 1 << 16) is None
    why = why_not(offer(bounty=LEAST - 1), PARAMS, 100, 1 << 16)
    assert why == "it pays less than delivering it costs"


def test_a_deadline_must_leave_room_for_window_and_settlement() -> None:
    # claim at 100: decided at 102, 6 + 2·16 blocks of window, 3 to settle, 1 more
    last = 100 + 2 + 3 + 1 + 6 + 2 * 16
    tight = offer(deadline=last)
    assert why_not(tight, PARAMS, 100, 1 << 16) == "its deadline is too near"
    assert why_not(offer(deadline=last + 1), PARAMS, 100, 1 << 16) is None


def test_a_job_must_fit_the_window_twice_on_the_slowest_device_after_what_waits() -> None:
    one = offer(macs=1_000_000, deadline=10**6)
    seconds = (6 + 2) * PARAMS.target_spacing  # one block's worth of MACs
    assert in_time(one, PARAMS, 1 << 30, fleet(seconds / 2 / 1.1))
    assert not in_time(one, PARAMS, 1 << 30, fleet(seconds / 2 * 1.1))
    assert not in_time(one, PARAMS, 1 << 30, fleet(0.1, seconds / 2 * 1.1))
    assert in_time(one, PARAMS, 1 << 30, fleet(0.1), ahead=seconds / 2 - 0.2)
    assert not in_time(one, PARAMS, 1 << 30, fleet(0.1), ahead=seconds / 2)
    assert not in_time(one, PARAMS, 1 << 30, Fleet())


def test_results_that_no_settlement_holds_are_seen_before_the_claim(kit: Kit) -> None:
    model = LoadedModel(kit.checked, kit.weights)
    assert why_undeliverable(model, ITEMS, PARAMS) is None
    assert [product.index for product in posted(model, ITEMS, PARAMS)] == [0]
    assert "output" in (why_undeliverable(model, (1 << 18) // 40 + 1, PARAMS) or "")
    product_bytes = ITEMS * WIDTH * 4
    tiny_blocks = replace(PARAMS, max_chunk_bytes=product_bytes - 1)
    assert "settle window" in (why_undeliverable(model, ITEMS, tiny_blocks) or "")
    shallow = replace(tiny_blocks, posted_product_min_k=10_000)
    assert why_undeliverable(model, ITEMS, shallow) is None
