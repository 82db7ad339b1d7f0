"""Bounded collections against plain references."""

from hypothesis import given
from hypothesis import strategies as st
from pouw.p2p.bounded import BoundedSet, TokenBucket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 8), st.lists(st.integers(0, 12), max_size=60))
def test_the_youngest_members_stay(capacity: int, added: list[int]) -> None:
    bounded: BoundedSet[int] = BoundedSet(capacity)
    reference: list[int] = []
    for member in added:
        assert bounded.add(member) == (member not in reference)
        reference = [*(m for m in reference if m != member), member][-capacity:]
        assert list(bounded) == reference
        assert len(bounded) == len(reference)
    bounded.discard(99)
    bounded.clear()
    assert len(bounded) == 0


def test_bucket_grants_a_burst_then_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(60, clock)
    assert [bucket.take() for _ in range(61)] == [True] * 60 + [False]
    clock.now += 1.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now += 10_000
    assert [bucket.take() for _ in range(61)] == [True] * 60 + [False]


def test_bucket_survives_a_clock_that_steps_back() -> None:
    clock = Clock()
    bucket = TokenBucket(1, clock)
    assert bucket.take()
    clock.now -= 100
    assert not bucket.take()


@given(st.integers(1, 100), st.lists(st.floats(0, 30), max_size=200))
def test_no_minute_grants_more_than_twice_the_rate(rate: int, pauses: list[float]) -> None:
    """A full bucket plus a minute's earnings: the documented burst."""
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    granted: list[float] = []
    for pause in pauses:
        clock.now += pause
        if bucket.take():
            granted.append(clock.now)
    for start in granted:
        assert sum(start <= at < start + 60 for at in granted) <= 2 * rate
