"""The order in which the CPU kernel keeps rows and columns, so that folding reads whole runs.

A lane is the XOR of 8 accumulators of a tile: 2 of its rows (8 apart) and 4 of its columns (two
neighbours, 8 apart). The kernel computes the product transposed, a block of B's columns against a
block of A's rows, with these 2 and 4 as the outermost order:

    sums (2 halves, 4 quarters, column tiles × 4, row tiles × 8)

Then folding is three XORs of contiguous halves of memory.
"""

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket.constants import TILE


def row_order(rows: int) -> NDArray[np.intp]:
    """Return which natural row stands at each place: (half, tile, i),
    row = 16·tile + 8·half + i."""
    return np.arange(rows).reshape(rows // TILE, 2, 8).transpose(1, 0, 2).reshape(rows)


def column_order(columns: int) -> NDArray[np.intp]:
    """Return which natural column stands at each place: (side, parity, tile, j),
    column = 16·tile + 8·side + 2·j + parity."""
    natural = np.arange(columns).reshape(columns // TILE, 2, 4, 2)
    return natural.transpose(1, 3, 0, 2).reshape(columns)


def inverse(order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the places at which the natural rows 0, 1, 2 … stand."""
    return np.argsort(order)


def lanes_by_tile(folded: NDArray[np.uint32], rows: int, columns: int) -> NDArray[np.uint32]:
    """Reorder folded words (column tile, j, row tile, i) into (row tiles, column tiles, 32)."""
    row_tiles, column_tiles = rows // TILE, columns // TILE
    words = folded.reshape(column_tiles, 4, row_tiles, 8)
    return words.transpose(2, 0, 3, 1).reshape(row_tiles, column_tiles, 32)
