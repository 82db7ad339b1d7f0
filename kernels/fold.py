"""One block of a noised product on the CPU: its running sums, and their fold into transcripts."""

import numpy as np
import torch
from numpy.typing import NDArray

from ..consensus.ticket.constants import ROTATION
from .int8 import exact_product
from .layout import column_order, inverse, lanes_by_tile
from .select import Limbs


class Block:
    """Sums and transcripts of `rows` rows of A' times `columns` columns of B', reused over blocks.

    Everything is in the order of `layout`: sums are (2 halves, columns, rows/2), transposed.
    """

    def __init__(self, rows: int, columns: int) -> None:
        """Allocate for multiples of 16."""
        self._rows, self._columns = rows, columns
        self._product = exact_product()
        self._sums = torch.empty((2, columns, rows // 2), dtype=torch.int32)
        self._part = torch.empty((columns, rows // 2), dtype=torch.int32)
        self._folds = [np.empty(rows * columns >> level, np.uint32) for level in (1, 2, 3)]
        self._state = np.empty(rows * columns // 8, np.uint32)
        self._turned = np.empty_like(self._state)
        self._natural_columns = inverse(column_order(columns))

    def multiply(self, a_slabs: torch.Tensor, b_slabs: torch.Tensor) -> None:
        """Compute all sums and transcripts of A' (slabs, 2, rows/2, 128) and B' (slabs, columns,
        128), both int8."""
        for half in range(2):
            self._product(b_slabs[0], a_slabs[0, half], self._sums[half])
        self._state.fill(0)
        self._fold()
        sums, part = self._sums.numpy(), self._part.numpy()
        for a_slab, b_slab in zip(a_slabs[1:], b_slabs[1:], strict=True):
            for half in range(2):
                self._product(b_slab, a_slab[half], self._part)
                np.add(sums[half], part, out=sums[half])
            self._fold()

    def lanes(self) -> NDArray[np.uint32]:
        """Return the transcripts by tile, (row tiles, column tiles, 32)."""
        return lanes_by_tile(self._state, self._rows, self._columns)

    def denoise(self, a: Limbs, b: Limbs) -> None:
        """Turn the sums of A'·B' into those of A·B. `a` holds both halves of the rows in turn."""
        sums, part = self._sums.numpy(), self._part.numpy()
        half_rows = self._rows // 2
        for half in range(2):
            rows = slice(half * half_rows, (half + 1) * half_rows)
            self._product(b.low, a.low[rows], self._part)
            np.subtract(sums[half], part, out=sums[half])
            self._product(b.high, a.high[rows], self._part)
            np.left_shift(part, 8, out=part)
            np.subtract(sums[half], part, out=sums[half])

    def store(self, out: NDArray[np.int32]) -> None:
        """Write the sums into `out` (rows×columns) in natural order."""
        by_half = out.reshape(self._rows // 16, 2, 8, self._columns)
        for half in range(2):
            natural = np.take(self._sums[half].numpy(), self._natural_columns, axis=0)
            rows_first = torch.from_numpy(natural).t().contiguous().numpy()
            by_half[:, half] = rows_first.reshape(-1, 8, self._columns)

    def _fold(self) -> None:
        """Turn the transcripts and XOR the 8 accumulators of every lane into them."""
        values = self._sums.numpy().view(np.uint32).reshape(-1)
        for folded in self._folds:
            np.bitwise_xor(values[: folded.size], values[folded.size :], out=folded)
            values = folded
        np.left_shift(self._state, ROTATION, out=self._turned)
        np.right_shift(self._state, 32 - ROTATION, out=self._state)
        np.bitwise_or(self._state, self._turned, out=self._state)
        np.bitwise_xor(self._state, values, out=self._state)
