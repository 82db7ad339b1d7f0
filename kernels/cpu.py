"""The CPU multiplier: exact int8 products, and the same products with tickets drawn on the way.

One multiplication serves both: A' = A + E times B' = B + F is computed slab by slab, every partial
sum is folded into transcripts (protocol §6), and the noise is peeled off the last sum (§7). All
results equal `consensus.ticket` bit for bit. Threads are the caller's business: one process per
core with `torch.set_num_threads(1)` is fastest.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..consensus.ticket.constants import RANK, TILE
from ..consensus.ticket.noise import left_factor, permutations, selection
from ..consensus.ticket.proof import Shape, Tag
from ..consensus.ticket.seeds import seed_a, seed_b
from ..consensus.ticket.target import target
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.hashing import Hash
from .blas import MAX_DEPTH, BlasMultiplier
from .fold import Block
from .int8 import MIN_DEPTH, exact_product
from .layout import column_order, row_order
from .noise import noised_slabs
from .operands import check_operand
from .select import Limbs, column_limbs, row_limbs, selected_sums
from .tickets import Winner, winners

COLUMN_BLOCK: Final = 1024
ROW_BLOCK: Final = 1024
"""Sides of a block of partial sums: small ones drown in the overhead of calls (1024×1024 gives 1.3
times the speed of 512×256), larger ones leave the cache."""


class CpuMultiplier:
    """Exact int8 products on torch."""

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return A·B as int32 (m×n) from A (m×k) and B transposed (n×k), both int8.

        Raises ValueError when the operands do not fit each other or k exceeds 2¹⁷ − 1.
        """
        (m, k), (n, other) = a.shape, b_t.shape
        if k != other or k > MAX_DEPTH:
            raise ValueError(f"cannot multiply {m}×{k} by {other}×{n} in int32")
        if k < MIN_DEPTH:
            return BlasMultiplier().matmul(a, b_t)
        product = torch.empty((m, n), dtype=torch.int32)
        exact_product()(_tensor(a), _tensor(b_t), product)
        return product.numpy()


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
    """A block of B's columns, in the kernel's order."""

    first: int
    left: NDArray[np.int8]
    slabs: torch.Tensor


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
        self.columns: list[_Columns] = []
        for first in range(0, n, COLUMN_BLOCK):
            order = column_order(min(COLUMN_BLOCK, n - first))
            left = left_factor(self.seed, range(first, first + len(order)))[order]
            rows = None if b_t is None else b_t[first + order]
            slabs = torch.from_numpy(noised_slabs(rows, left, orders))
            self.columns.append(_Columns(first, left, slabs))


class MiningPass:
    """One A (or the zero operand), job tag and nonce against one noised B.

    Rows of A may be mined in any order and in several processes: each range of rows is independent,
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
        self._b_selection = selection(b.seed, b.k)
        self._b_limbs: list[Limbs] = []
        if root_a != ZERO_OPERAND_ROOT and not b.is_zero:
            a_selection = selection(self.seed, b.k)
            self._b_limbs = [
                column_limbs(selected_sums(part.slabs, a_selection), part.left)
                for part in b.columns
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
        if self._b_limbs:
            product = np.empty((row1 - row0, self.shape.n), np.int32)
        found: list[Winner] = []
        blocks: dict[tuple[int, int], Block] = {}
        for start in range(row0, row1, ROW_BLOCK):
            rows = slice(start - row0, min(start + ROW_BLOCK, row1) - row0)
            found += self._mine_block_row(
                None if a_rows is None else a_rows[rows],
                range(start, row0 + rows.stop),
                None if product is None else product[rows],
                blocks,
            )
        tiles = (row1 - row0) // TILE * (self.shape.n // TILE)
        return MinedRows(product, found, tiles)

    def _mine_block_row(
        self,
        a_rows: NDArray[np.int8] | None,
        numbers: range,
        product: NDArray[np.int32] | None,
        blocks: dict[tuple[int, int], Block],
    ) -> list[Winner]:
        """Mine up to ROW_BLOCK rows with the given global numbers against every column."""
        count = len(numbers)
        order = row_order(count)
        left = left_factor(self.seed, numbers)[order]
        ordered = None if a_rows is None else a_rows[order]
        slabs = torch.from_numpy(noised_slabs(ordered, left, self._orders))
        a_slabs = slabs.view(-1, 2, count // 2, RANK)
        a_limbs: Limbs | None = None
        if ordered is not None and product is not None:
            v = torch.empty((count, RANK), dtype=torch.int32)
            exact_product()(_tensor(ordered), _tensor(self._b_selection), v)
            a_limbs = row_limbs(v.numpy(), left)
        found: list[Winner] = []
        for index, part in enumerate(self._b.columns):
            width = len(part.left)
            block = blocks.get((count, width))
            if block is None:
                block = blocks[count, width] = Block(count, width)
            block.multiply(a_slabs, part.slabs)
            found += winners(
                self.seed, block.lanes(), numbers[0] // TILE, part.first // TILE, self._limit
            )
            if a_limbs is not None and product is not None:
                block.denoise(a_limbs, self._b_limbs[index])
                block.store(product[:, part.first : part.first + width])
        return found


def _tensor(array: NDArray[np.int8]) -> torch.Tensor:
    """Share a contiguous writable array with torch; copy any other (torch warns of read-only)."""
    usable = array.flags.c_contiguous and array.flags.writeable
    return torch.from_numpy(array if usable else array.copy())
