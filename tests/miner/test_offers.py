"""Which jobs are worth a bond."""

from dataclasses import replace
from typing import Any

import msgspec
from pouw.miner.library import LoadedModel
from pouw.miner.offers import DELIVERY_KIB, JobOffer, best_first, posted, why_not, why_undeliverable
from pouw.tests.miner.harbour import ITEMS, PARAMS, WIDTH, Kit

FAST = 1e12

LEAST = DELIVERY_KIB * PARAMS.min_fee_per_kib


def offer(**changes: Any) -> JobOffer:
    values: dict[str, Any] = {
        "id": "00" * 32,
        "status": "submitted",
        "model": "11" * 32,
        "input": "22" * 32,
        "bounty": LEAST,
        "macs": 1_000_000,
        "deadline": 1000,
        "openings": 0,
        "window": 6,
    }
    return msgspec.convert(values | changes, JobOffer)


def test_the_best_paid_per_mac_comes_first() -> None:
    rich = offer(id="03" * 32, bounty=5 * LEAST, macs=10_000_000)
    dense = offer(id="02" * 32, bounty=LEAST, macs=1_000_000)
    sooner = offer(id="01" * 32, bounty=2 * LEAST, macs=2_000_000, deadline=900)
    taken = offer(id="04" * 32, bounty=10**9, status="claimed")
    assert best_first([rich, dense, taken, sooner]) == [sooner, dense, rich]


def test_a_job_that_does_not_pay_its_own_transactions_is_left() -> None:
    assert why_not(offer(), PARAMS, 100, 1 << 16, FAST) is None
    why = why_not(offer(bounty=LEAST - 1), PARAMS, 100, 1 << 16, FAST)
    assert why == "it pays less than delivering it costs"


def test_a_deadline_must_leave_room_for_window_and_settlement() -> None:
    # claim at 100: decided at 102, 6 + 2·16 blocks of window, 3 to settle, 1 more
    last = 100 + 2 + 3 + 1 + 6 + 2 * 16
    tight = offer(deadline=last)
    assert why_not(tight, PARAMS, 100, 1 << 16, FAST) == "its deadline is too near"
    assert why_not(offer(deadline=last + 1), PARAMS, 100, 1 << 16, FAST) is None


def test_a_slow_machine_leaves_large_jobs_alone() -> None:
    large = offer(macs=10**9, deadline=10**6)
    assert why_not(large, PARAMS, 100, 1 << 30, 2 * 10**9 / 8) is None
    why = why_not(large, PARAMS, 100, 1 << 30, 2 * 10**9 / 8 - 1)
    assert why == "it is too large for this machine's speed"


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
