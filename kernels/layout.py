"""The order in which the CPU kernels keep operands, sums and transcripts (see `product`)."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket.constants import LANES, RANK, TILE
from .machine import aligned

_BIAS: Final = 128


@dataclass(frozen=True)
class Layout:
    """What a way of multiplying wants: vectors of `lanes` words, `depth` neighbours in each."""

    lanes: int
    depth: int
    biased: bool = False
    """B' is stored with 128 added."""

    @property
    def dtype(self) -> type[np.signedinteger[Any]]:
        """Elements of the operands."""
        return np.int8 if self.depth == 4 else np.int16

    @property
    def columns(self) -> int:
        """Columns of a panel."""
        return 4 * self.lanes

    @property
    def tiles(self) -> int:
        """Column tiles of a panel."""
        return self.columns // TILE


@dataclass(frozen=True)
class Left:
    """A left operand: (row tiles, slabs, 16, 128), and its bias, 128 times the sums of its rows in
    each slab, (row tiles, slabs, 16) int32; empty where the layout has none."""

    tiles: NDArray[Any]
    bias: NDArray[np.int32]

    @classmethod
    def of(cls, tiles: NDArray[Any], layout: Layout) -> "Left":
        """Add up the rows of finished tiles."""
        if not layout.biased:
            return cls(tiles, aligned((0,), np.int32))
        ones = np.ones(RANK, np.float32)  # the fastest sum numpy has; exact far below 2²⁴
        return cls(tiles, np.asarray(tiles @ ones * np.float32(_BIAS), np.int32))


def tiled_rows(rows: NDArray[np.int8], layout: Layout) -> NDArray[Any]:
    """Return rows (r×k, r a multiple of 16) as (row tiles, slabs, 16, 128)."""
    count, k = rows.shape
    tiles = aligned((count // TILE, k // RANK, TILE, RANK), layout.dtype)
    tiles[...] = rows.reshape(count // TILE, TILE, k // RANK, RANK).transpose(0, 2, 1, 3)
    return tiles


def packed_columns(tiles: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Return columns given as rows, (column tiles, slabs, 16, 128), as panels.

    The result is (panels, slabs, 128/depth, 4, lanes) uint32, each `depth` neighbours along k; a
    last panel that is not full holds zeros.
    """
    count, slabs = tiles.shape[:2]
    panels, steps = -(-count // layout.tiles), RANK // layout.depth
    packed = aligned((panels, slabs, steps, 4, layout.lanes), np.uint32)
    words = tiles.view(np.uint32).reshape(count, slabs, 2, 4, 2, steps)
    places = packed.reshape(panels, slabs, steps, 2, 2, layout.tiles, 4)
    for panel in range(panels):
        part = words[panel * layout.tiles : (panel + 1) * layout.tiles]
        if len(part) < layout.tiles:
            places[panel] = 0
        places[panel, ..., : len(part), :] = part.transpose(1, 5, 2, 4, 0, 3)
    if layout.biased:
        packed ^= np.uint32(flip(layout))
    return packed


def flip(layout: Layout) -> int:
    """Return the word that turns plain columns into stored ones, and back, by XOR."""
    return 0x80808080 if layout.biased else 0


def natural_sums(sums: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return sums (panels, row tiles, 16, 4, lanes) as rows × columns."""
    panels, tiles, _, _, lanes = sums.shape
    split = sums.reshape(panels, tiles, TILE, 2, 2, lanes // 4, 4)
    return split.transpose(1, 2, 0, 5, 3, 6, 4).reshape(tiles * TILE, panels * 4 * lanes)


def natural_transcripts(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return transcripts (panels, row tiles, 8, lanes) as (row tiles, column tiles, 32)."""
    panels, tiles, _, lanes = words.shape
    split = words.reshape(panels, tiles, 8, lanes // 4, 4)
    return split.transpose(1, 0, 3, 2, 4).reshape(tiles, panels * lanes // 4, LANES)
