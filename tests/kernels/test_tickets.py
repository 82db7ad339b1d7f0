"""Tickets of many tiles equal the reference one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.consensus.ticket.target import MAX_TARGET, meets_target, ticket_digest
from pouw.consensus.ticket.transcript import lanes_bytes
from pouw.core.hashing import digest
from pouw.kernels import tickets
from pouw.kernels.layout import Layout, natural_transcripts
from pouw.kernels.tickets import Winner, winners
from pouw.kernels.ways import transcripts_room


@pytest.mark.parametrize("layout", [Layout(16, 4), Layout(8, 2)])
@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 11),
    st.sampled_from([0, 1, 255, 2**16 - 5]),
    st.sampled_from([0, 3, 20, 128, 256]),
    st.integers(0, 2**32),
)
def test_winners_equal_the_reference(
    layout: Layout, row_tiles: int, col_tiles: int, first_row: int, zeros: int, seed: int
) -> None:
    key, limit = digest("header", seed.to_bytes(8, "little")), MAX_TARGET >> zeros
    panels = -(-col_tiles // layout.tiles)
    words = transcripts_room(layout, panels, row_tiles)
    words[...] = np.random.default_rng(seed).integers(0, 2**32, words.shape, np.uint32)
    lanes = natural_transcripts(words)
    expected: list[Winner] = []
    for row in range(row_tiles):
        for col in range(col_tiles):
            block = lanes_bytes(lanes[row, col])
            if meets_target(ticket_digest(key, block, first_row + row, col), limit):
                expected.append(Winner(first_row + row, col, block))
    found = winners(key, words, first_row, col_tiles, limit)
    assert sorted(found, key=lambda one: (one.tile_row, one.tile_col)) == expected


def test_the_limit_itself_wins_and_one_less_does_not() -> None:
    layout, key = Layout(16, 4), digest("header", b"limit")
    words = transcripts_room(layout, 1, 1)
    words[...] = 9
    block = lanes_bytes(natural_transcripts(words)[0, 0])
    ticket = int.from_bytes(ticket_digest(key, block, 0, 0), "little")
    assert winners(key, words, 0, 1, ticket) == [Winner(0, 0, block)]
    assert winners(key, words, 0, 1, ticket - 1) == []


def test_draws_of_a_few_panels_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    words = transcripts_room(Layout(16, 4), 7, 3)
    words[...] = np.random.default_rng(1).integers(0, 2**32, words.shape, np.uint32)
    at_once = winners(bytes(32), words, 5, 27, MAX_TARGET)
    monkeypatch.setattr(tickets, "DRAWN_TOGETHER", 24)
    assert winners(bytes(32), words, 5, 27, MAX_TARGET) == at_once
    assert len({(one.tile_row, one.tile_col) for one in at_once}) == 3 * 27
