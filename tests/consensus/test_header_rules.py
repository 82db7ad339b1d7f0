"""A header in its place: every field broken once, and the median of time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus.header_rules import HEADER_VERSION, MEDIAN_SPAN, HeaderContext, check_header
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.block import Header, SealedHeader, seal
from pouw.core.codec import MAX_INT
from pouw.core.errors import FromFuture, RuleViolation
from pouw.core.hashing import ZERO_HASH, u256
from pouw.genesis import DEVNET, TINY
from pouw.tests.consensus.world import ALICE, BOB

PARENT = b"p" * 32
NOW = TINY.genesis_time + 1000
TIMES = tuple(NOW - 60 + 5 * i for i in range(MEDIAN_SPAN))
CONTEXT = HeaderContext(
    parent=PARENT,
    parent_height=20,
    parent_time=TIMES[-1],
    recent_times=TIMES,
    anchor_time=TINY.genesis_time,
)
GOOD = Header(
    version=HEADER_VERSION,
    parent=PARENT,
    height=21,
    time=NOW,
    difficulty=u256(TINY.initial_difficulty),
    miner=ALICE.public,
    payout=BOB.address,
    transactions_root=ZERO_HASH,
    state_root=ZERO_HASH,
)
Change: TypeAlias = dict[str, Any]


def mined(**changes: Any) -> SealedHeader:
    header = msgspec.structs.replace(GOOD, **changes)
    head, _ = prove(header.sigma, Shape(16, 16, 256), Tag(), None, None, (0, 0))
    return seal(ALICE, header, head)


def test_a_good_header_passes() -> None:
    check_header(mined(), CONTEXT, TINY, NOW)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("header-version", {"version": 0}),
        ("header-version", {"version": 2}),
        ("header-parent", {"parent": ZERO_HASH}),
        ("header-height", {"height": 20}),
        ("header-height", {"height": 22}),
        ("header-height", {"height": MAX_INT}),
        ("header-time", {"time": 0}),
        ("header-time", {"time": CONTEXT.earliest_time - 1}),
        ("header-difficulty", {"difficulty": u256(TINY.initial_difficulty + 1)}),
        ("header-difficulty", {"difficulty": u256(TINY.initial_difficulty - 1)}),
        ("header-difficulty", {"difficulty": u256(0)}),
        ("header-difficulty", {"difficulty": b"\xff" * 32}),
    ],
)
def test_each_field_broken(rule: str, changes: Change) -> None:
    with pytest.raises(RuleViolation) as caught:
        check_header(mined(**changes), CONTEXT, TINY, NOW)
    assert caught.value.rule == rule


SPOIL: dict[str, tuple[str, Callable[[SealedHeader], SealedHeader]]] = {
    "another tile": (
        "ticket-tile",
        lambda sealed: resealed(sealed, tile_row=1),
    ),
    "another shape": ("ticket-shape", lambda sealed: resealed(sealed, m=8)),
    "a nonce beside a job": (
        "ticket-job",
        lambda sealed: resealed(sealed, job_id=b"j" * 32, nonce=b"\x01" + bytes(7)),
    ),
    "no signature": (
        "header-signature",
        lambda sealed: msgspec.structs.replace(sealed, signature=bytes(64)),
    ),
    "somebody else's signature": (
        "header-signature",
        lambda sealed: seal(BOB, sealed.header, sealed.head),
    ),
    "a signature over another head": (
        "header-signature",
        lambda sealed: msgspec.structs.replace(
            sealed, head=msgspec.structs.replace(sealed.head, root_a=b"a" * 32)
        ),
    ),
}


def resealed(sealed: SealedHeader, **changes: Any) -> SealedHeader:
    return seal(ALICE, sealed.header, msgspec.structs.replace(sealed.head, **changes))


@pytest.mark.parametrize(("rule", "spoil"), SPOIL.values(), ids=SPOIL.keys())
def test_head_and_seal_broken(rule: str, spoil: Callable[[SealedHeader], SealedHeader]) -> None:
    with pytest.raises(RuleViolation) as caught:
        check_header(spoil(mined()), CONTEXT, TINY, NOW)
    assert caught.value.rule == rule


def test_a_ticket_that_does_not_win_is_refused() -> None:
    hard = replace(TINY, initial_difficulty=1 << 200)
    with pytest.raises(RuleViolation) as caught:
        check_header(mined(difficulty=u256(CONTEXT.difficulty(hard))), CONTEXT, hard, NOW)
    assert caught.value.rule == "ticket-target"


def test_a_header_from_the_future_has_to_wait_but_a_wrong_one_is_wrong_at_once() -> None:
    limit = NOW + TINY.max_future_seconds
    check_header(mined(time=limit), CONTEXT, TINY, NOW)
    for late in (limit + 1, MAX_INT):
        with pytest.raises(FromFuture):
            check_header(mined(time=late), CONTEXT, TINY, NOW)
    check_header(mined(time=limit + 1), CONTEXT, TINY, NOW + 1)
    with pytest.raises(RuleViolation):
        check_header(mined(time=limit + 1, difficulty=u256(1)), CONTEXT, TINY, NOW)


def test_a_block_may_be_earlier_than_its_parent_but_not_than_the_median() -> None:
    assert CONTEXT.earliest_time == TIMES[5] + 1 < CONTEXT.parent_time
    check_header(mined(time=CONTEXT.earliest_time), CONTEXT, TINY, NOW)


@given(st.lists(st.integers(0, MAX_INT), min_size=1, max_size=MEDIAN_SPAN))
def test_the_median_ignores_order_and_outliers(times: list[int]) -> None:
    context = replace(CONTEXT, recent_times=times)
    earliest = context.earliest_time
    assert earliest - 1 in times
    assert earliest == replace(context, recent_times=times[::-1]).earliest_time
    below = sum(time < earliest - 1 for time in times)
    above = sum(time > earliest - 1 for time in times)
    assert below <= len(times) // 2 and above <= len(times) // 2


def test_the_first_blocks_need_no_history() -> None:
    first = HeaderContext(PARENT, 0, DEVNET.genesis_time, (DEVNET.genesis_time,), 0)
    assert first.earliest_time == DEVNET.genesis_time + 1
    assert first.difficulty(DEVNET) == DEVNET.initial_difficulty


def test_the_difficulty_follows_the_anchor_of_the_chain() -> None:
    late = replace(CONTEXT, parent_time=NOW, anchor_time=NOW - 20 * DEVNET.target_spacing)
    on_time = late.difficulty(replace(DEVNET, min_difficulty=1))
    assert on_time < DEVNET.initial_difficulty
    assert late.difficulty(DEVNET) == DEVNET.min_difficulty
