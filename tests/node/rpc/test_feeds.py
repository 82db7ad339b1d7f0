"""What waits for a slow reader: the newest, or a bounded number and a count of the rest."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.node.rpc.feeds import Backlog, Latest


async def test_the_newest_value_is_taken_once() -> None:
    latest: Latest[int] = Latest()
    for value in (1, 2, 3):
        latest.put(value)
    assert await latest.take() == 3
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(latest.take(), 0.01)
    taking = asyncio.create_task(latest.take())
    await asyncio.sleep(0)
    latest.put(4)
    assert await asyncio.wait_for(taking, 20) == 4


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.lists(st.integers(), max_size=6), st.none()), max_size=20))
def test_a_backlog_keeps_the_newest_and_counts_the_rest(steps: list[list[int] | None]) -> None:
    """Against a plain list; None takes."""

    async def play() -> None:
        backlog = Backlog("items")
        held: list[int] = []
        missed = 0
        for step in steps:
            if step is not None:
                backlog.put(step)
                held += step
                missed += max(0, len(held) - 4)
                held = held[-4:]
            elif held:
                taken = await backlog.take()
                assert taken == {"items": held[:3], "missed": missed}
                held, missed = held[3:], 0
        if not held:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(backlog.take(), 0.001)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pouw.node.rpc.feeds.MAX_BACKLOG", 4)
        patch.setattr("pouw.node.rpc.feeds.MAX_TOGETHER", 3)
        asyncio.run(play())
