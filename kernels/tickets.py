"""Drawing the tickets of many tiles at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..consensus.ticket.target import meets_target

_MESSAGE: Final = np.dtype(
    [("label", "S1"), ("lanes", "<u4", (32,)), ("row", "<u4"), ("column", "<u4")]
)


@dataclass(frozen=True)
class Winner:
    """A tile whose ticket wins, and its transcript (128 bytes)."""

    tile_row: int
    tile_col: int
    lanes: bytes


def winners(
    a_seed: bytes, lanes: NDArray[np.uint32], first_row: int, first_col: int, limit: int
) -> list[Winner]:
    """Return the winning tiles of a block of transcripts, row by row.

    `lanes` is (row tiles, column tiles, 32); the block's first tile has the given global numbers.
    `limit` is `consensus.ticket.target.target(...)`.
    """
    row_tiles, col_tiles = lanes.shape[:2]
    messages = np.empty((row_tiles, col_tiles), _MESSAGE)
    messages["label"] = b"T"
    messages["lanes"] = lanes
    messages["row"] = np.arange(first_row, first_row + row_tiles)[:, None]
    messages["column"] = np.arange(first_col, first_col + col_tiles)
    data, size = messages.tobytes(), _MESSAGE.itemsize
    tickets = b"".join(
        [blake3(data[at : at + size], key=a_seed).digest() for at in range(0, len(data), size)]
    )
    highest = np.frombuffer(tickets, "<u8").reshape(-1, 4)[:, 3]
    found: list[Winner] = []
    for index in np.flatnonzero(highest <= limit >> 192).tolist():
        if meets_target(tickets[32 * index : 32 * index + 32], limit):
            row, col = divmod(index, col_tiles)
            block = lanes[row, col].astype("<u4").tobytes()
            found.append(Winner(first_row + row, first_col + col, block))
    return found
