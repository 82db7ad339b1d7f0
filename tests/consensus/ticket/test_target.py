"""Targets and lottery numbers (protocol §6)."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus.ticket.target import MAX_TARGET, meets_target, target, ticket_digest
from pouw.core.errors import RuleViolation


@given(st.integers(1, 2**256 - 1), st.integers(2, 128).map(lambda slabs: 128 * slabs))
def test_expected_work_per_win_is_the_difficulty(difficulty: int, k: int) -> None:
    limit = target(difficulty, k)
    assert limit == min(2**256 - 1, 2**256 * 256 * k // difficulty)
    if limit < MAX_TARGET:
        assert limit * difficulty <= 2**256 * 256 * k < (limit + 1) * difficulty


def test_twice_the_depth_has_twice_the_chance() -> None:
    assert target(2**60, 1024) == 2 * target(2**60, 512)


@pytest.mark.parametrize("difficulty", [0, -1])
def test_difficulty_is_positive(difficulty: int) -> None:
    with pytest.raises(RuleViolation) as caught:
        target(difficulty, 256)
    assert caught.value.rule == "ticket-difficulty"


def test_digest_is_read_little_endian_and_may_equal_the_target() -> None:
    digest = (5).to_bytes(32, "little")
    assert meets_target(digest, 5)
    assert not meets_target(digest, 4)
    assert not meets_target(digest[::-1], 5)


def test_digest_binds_lanes_and_tile() -> None:
    key, lanes = bytes(range(32)), bytes(range(128))
    message = b"T" + lanes + (3).to_bytes(4, "little") + (9).to_bytes(4, "little")
    assert ticket_digest(key, lanes, 3, 9) == blake3(message, key=key).digest()
    assert ticket_digest(key, lanes, 9, 3) != ticket_digest(key, lanes, 3, 9)
