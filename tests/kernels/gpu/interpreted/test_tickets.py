"""Tickets hashed and judged by the kernel are consensus' tickets."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pouw.consensus.ticket.target import MAX_TARGET, meets_target, ticket_digest
from pouw.core.hashing import digest, u256
from pouw.kernels.gpu.tickets import draw_tickets, winning_tiles

SEED = digest("seed-A", b"tickets")
FIRST_ROW = 65_530
SHAPE = (3, 23)  # more than one block of 64


def words(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(data, "<i4").astype(np.int32))


def won_tiles(limit: int, lanes: NDArray[np.int32], first_row: int) -> list[int]:
    won = draw_tickets(words(SEED), words(u256(limit)), torch.from_numpy(lanes), first_row)
    return winning_tiles(won).tolist()


def test_every_target_splits_the_tickets_as_consensus_does() -> None:
    generator = np.random.default_rng(1)
    lanes = generator.integers(-(2**31), 2**31, (*SHAPE, 32)).astype(np.int32)
    lanes[0, 0], lanes[0, 1] = 0, -1
    tickets = [
        ticket_digest(SEED, lanes[row, column].tobytes(), FIRST_ROW + row, column)
        for row in range(SHAPE[0])
        for column in range(SHAPE[1])
    ]
    numbers = sorted(int.from_bytes(ticket, "little") for ticket in tickets)
    middle = numbers[len(numbers) // 2]
    for limit in (middle, middle - 1, MAX_TARGET, 0):
        won = won_tiles(limit, lanes, FIRST_ROW)
        expected = [index for index, ticket in enumerate(tickets) if meets_target(ticket, limit)]
        assert won == expected


@pytest.mark.parametrize("word", [0, 6, 7])
def test_each_word_of_the_target_decides(word: int) -> None:
    """A target equal to the ticket but for one word, one below and one above."""
    lanes = np.arange(32, dtype=np.int32).reshape(1, 1, 32)
    number = int.from_bytes(ticket_digest(SEED, lanes.tobytes(), 0, 0), "little")
    for limit, wins in ((number - (1 << 32 * word), False), (number + (1 << 32 * word), True)):
        assert won_tiles(limit, lanes, 0) == ([0] if wins else [])


def test_transcripts_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="32 lanes"):
        draw_tickets(words(SEED), words(SEED), torch.zeros((1, 1, 16), dtype=torch.int32), 0)
