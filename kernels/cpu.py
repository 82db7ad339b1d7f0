"""Mining on the CPU: exact products, with tickets drawn on the way.

One multiplication serves both: A' = A + E times B' = B + F is computed slab by slab, every partial
sum is folded into transcripts (protocol §6), and the noise is peeled off the last sum (§7). All
results equal `consensus.ticket` bit for bit. One call uses one thread and lets others run: several
may mine different rows of one pass at a time.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket.constants import RANK, TILE
from ..consensus.ticket.noise import permutations, selection
from ..consensus.ticket.proof import Shape, Tag
from ..consensus.ticket.seeds import seed_a, seed_b
from ..consensus.ticket.target import target
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.hashing import Hash
from .denoise import column_corrections, packed_left, row_corrections, store_rows
from .layout import Layout, Left, natural_sums, packed_columns, tiled_rows
from .machine import aligned
from .multiplier import CpuMultiplier
from .noise import add_noise, left_factors
from .operands import check_operand
from .tickets import Winner, winners
from .ways import best_way, sums_room, transcripts_room

COLUMN_BLOCK: Final = 512
ROW_BLOCK: Final = 256
"""Sides of a block of sums, multiples of every panel's columns and of 16, chosen so that it is
still in the cache when noise is peeled off."""


@dataclass(frozen=True)
class MinedRows:
    """What a pass over some rows of A gave."""

    product: NDArray[np.int32] | None
    """Exact rows of A·B (rows×n); None when an operand is zero and so the product is."""
    winners: list[Winner]
    tiles: int
    """Tickets drawn; each stands for 256·k multiply-accumulates."""


@dataclass(frozen=True)
class _Columns:
    """A block of B's columns: global numbers, B' in panels, and F_L unless B is zero."""

    numbers: range
    panels: slice
    noised: NDArray[Any]
    left: NDArray[Any] | None


class NoisedOperandB:
    """B with the noise of one header: made once per block template, shared by every A and nonce."""

    def __init__(
        self, sigma: Hash, b_t: NDArray[np.int8] | None, root_b: Hash, n: int, k: int
    ) -> None:
        """Noise B, given transposed (n×k), or the zero operand as None with the zero root.

        `sigma` is H("header", canonical header bytes). Raises ValueError when shape, range or root
        do not fit.
        """
        check_operand("B", b_t, (n, k), root_b)
        self.n, self.k = n, k
        self.is_zero = b_t is None
        self.seed = seed_b(sigma, root_b, n, k)
        orders = permutations(self.seed, k)
        layout = best_way().layout
        self.columns: list[_Columns] = []
        for first in range(0, n, COLUMN_BLOCK):
            numbers = range(first, min(first + COLUMN_BLOCK, n))
            left = left_factors(self.seed, numbers)
            tiles = _tiles(None if b_t is None else b_t[first : numbers.stop], numbers, k, layout)
            add_noise(tiles, left, orders, layout)
            packed = packed_columns(tiles, layout)
            factor = None if b_t is None else packed_left(left, layout)
            start = first // layout.columns
            panels = slice(start, start + len(packed))
            self.columns.append(_Columns(numbers, panels, packed, factor))
        self.selection = (
            None
            if b_t is None
            else packed_columns(tiled_rows(selection(self.seed, k), layout), layout)
        )


class MiningPass:
    """One A (or the zero operand), job tag and nonce against one noised B.

    Rows of A may be mined in any order and in several threads: each range of rows is independent,
    and keeps its global numbers.
    """

    def __init__(self, b: NoisedOperandB, m: int, root_a: Hash, tag: Tag, difficulty: int) -> None:
        """Derive A's seed; `root_a` commits to all m rows, `difficulty` is the header's."""
        self.shape = Shape(m, b.n, b.k)
        self.seed = seed_a(b.seed, root_a, m, tag.nonce, tag.job_id, tag.op)
        self.root_a = root_a
        self._b = b
        self._limit = target(difficulty, b.k)
        self._orders = permutations(self.seed, b.k)
        self._way = best_way()
        self._corrections: list[list[NDArray[Any]]] = []
        if root_a != ZERO_OPERAND_ROOT:
            self._corrections = [
                column_corrections(part.noised, self._orders, part.left, self._way.layout)
                for part in b.columns
                if part.left is not None
            ]

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> MinedRows:
        """Multiply rows [row0, row1) of A, given alone ((row1 − row0)×k), and draw their tickets.

        None stands for the zero operand. Bounds are multiples of 16. Raises ValueError when they
        are not, or when the rows do not fit.
        """
        if row0 % TILE or row1 % TILE or not 0 <= row0 < row1 <= self.shape.m:
            raise ValueError(f"[{row0}, {row1}) are not aligned rows of {self.shape.m}")
        check_operand("A", a_rows, (row1 - row0, self.shape.k), self.root_a)
        product: NDArray[np.int32] | None = None
        if self._corrections:
            product = np.empty((row1 - row0, self.shape.n), np.int32)
        found: list[Winner] = []
        for start in range(row0, row1, ROW_BLOCK):
            numbers = range(start, min(start + ROW_BLOCK, row1))
            rows = slice(start - row0, numbers.stop - row0)
            found += self._mine_block_row(
                None if a_rows is None else a_rows[rows],
                numbers,
                None if product is None else product[rows],
            )
        tiles = (row1 - row0) // TILE * (self.shape.n // TILE)
        return MinedRows(product, found, tiles)

    def _mine_block_row(
        self,
        a_rows: NDArray[np.int8] | None,
        numbers: range,
        product: NDArray[np.int32] | None,
    ) -> list[Winner]:
        """Mine up to ROW_BLOCK rows with the given global numbers against every column."""
        layout, columns = self._way.layout, self._b.columns
        tiles = _tiles(a_rows, numbers, self.shape.k, layout)
        factor = left_factors(self.seed, numbers)
        corrections: list[Left] = []
        if product is not None and self._b.selection is not None:
            corrections = self._row_corrections(tiles, self._b.selection, factor)
        add_noise(tiles, factor, self._orders, layout)
        left = Left.of(tiles, layout)
        words = transcripts_room(layout, columns[-1].panels.stop, len(tiles))
        kept = columns[0].panels.stop if corrections else 1
        results = [sums_room(layout, kept, len(tiles)) for _ in corrections or [None]]
        for index, part in enumerate(columns):
            here = words[part.panels]
            self._way.multiply(left, part.noised, results[0][: len(here)], here, fresh=True)
            if product is not None:
                sums = [result[: len(here)] for result in results]
                self._denoise(sums, corrections, self._corrections[index])
                store_rows(sums, product[:, part.numbers.start : part.numbers.stop], layout)
        tile_row, tile_cols = numbers.start // TILE, self.shape.n // TILE
        return winners(self.seed, words, tile_row, tile_cols, self._limit)

    def _row_corrections(
        self, plain: NDArray[Any], b_selection: NDArray[Any], factor: NDArray[np.int8]
    ) -> list[Left]:
        """Multiply A's rows by B's selection, and join them with the factor of their own noise."""
        way, tiles = self._way, len(plain)
        v = sums_room(way.layout, len(b_selection), tiles)
        unused = transcripts_room(way.layout, 1, tiles)
        way.multiply(Left.of(plain, way.layout), b_selection, v, unused, fresh=True)
        return row_corrections(natural_sums(v), factor, way.layout)

    def _denoise(
        self, sums: list[NDArray[np.int32]], rows: list[Left], columns: list[NDArray[Any]]
    ) -> None:
        """Peel the noise off sums[0]; sums[1], if there is one, takes the part worth 256 times."""
        unused = transcripts_room(self._way.layout, 1, sums[0].shape[1])
        for index, (into, left, right) in enumerate(zip(sums, rows, columns, strict=True)):
            self._way.multiply(left, right, into, unused, fresh=index > 0)


def _tiles(rows: NDArray[np.int8] | None, numbers: range, k: int, layout: Layout) -> NDArray[Any]:
    """Return rows in the order of the kernels; None stands for rows of zeros."""
    if rows is not None:
        return tiled_rows(rows, layout)
    tiles = aligned((len(numbers) // TILE, k // RANK, TILE, RANK), layout.dtype)
    tiles.fill(0)
    return tiles


__all__ = ["CpuMultiplier", "MinedRows", "MiningPass", "NoisedOperandB"]
