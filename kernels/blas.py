"""Exact integer products without torch or LLVM: float64 BLAS over slices.

float64 holds every integer up to 2⁵³, so a sum of integers is exact in whatever order as long as
the absolute values of its terms add up to no more. With |a|, |b| ≤ 128 a slice of k ≤ 4096 stays
below 2²⁷ and the slices are added in int32; they only keep the float64 copies small. The products
of Freivalds' check have larger terms; their slices are cut by that bound and added in int64. Used
by nodes that have nothing faster.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SLICE: Final = 4096
"""Columns converted to float64 at a time."""
MAX_DEPTH: Final = 2**17 - 1
"""Largest k for which k · 128 · 128 stays within int32."""
_BLOCK: Final = 32
"""Rows converted at a time by the thin products: at most 1 MiB of float64."""


class BlasMultiplier:
    """Exact int8 products on numpy's BLAS."""

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return A·B as int32 (m×n) from A (m×k) and B transposed (n×k), both int8.

        Raises ValueError when the operands do not fit each other or k exceeds 2¹⁷ − 1.
        """
        (m, k), (n, other) = a.shape, b_t.shape
        if k != other or k > MAX_DEPTH:
            raise ValueError(f"cannot multiply {m}×{k} by {other}×{n} in int32")
        product = np.zeros((m, n), np.int32)
        for start in range(0, k, SLICE):
            left = a[:, start : start + SLICE].astype(np.float64)
            right_t = b_t[:, start : start + SLICE].astype(np.float64)
            product += (left @ right_t.T).astype(np.int32)
        return product


class BlasThinProducts:
    """Freivalds' products (see consensus.freivalds.ThinProducts) on numpy's BLAS.

    Rows are converted by the block, so that the float64 copies stay in the processor's cache.
    """

    def of_weight(self, b_t: NDArray[np.int8], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """Return B·R, (k, columns), from B transposed (n, k) and R (n, columns)."""
        total = np.zeros((r.shape[1], b_t.shape[1]), np.int64)
        for start in range(0, len(b_t), _BLOCK):
            left_t = r[start : start + _BLOCK].astype(np.float64)
            for column in range(0, b_t.shape[1], SLICE):
                columns = slice(column, column + SLICE)
                right = b_t[start : start + _BLOCK, columns].astype(np.float64)
                total[:, columns] += (left_t.T @ right).astype(np.int64)
        return total.T

    def of_operand(self, a: NDArray[np.int8], b_r: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return A·(B·R), (m, columns), from A (m, k) and B·R (k, columns)."""
        largest = max(128, int(np.abs(b_r).max(initial=0)))
        return _sliced(a, b_r, 2**53 // (128 * largest))

    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """Return C·R, (m, columns), from C (m, n) and R (n, columns)."""
        return _sliced(c, r, 2**53 // 2**38)


def _sliced(left: NDArray[Any], right: NDArray[Any], terms: int) -> NDArray[np.int64]:
    """Multiply in slices of so many terms as float64 adds exactly, and no more than SLICE."""
    width = min(terms, SLICE)
    if width < 1:
        raise ValueError("the values are too large for float64")
    total = np.zeros((len(left), right.shape[1]), np.int64)
    for start in range(0, left.shape[1], width):
        narrow = right[start : start + width].astype(np.float64)
        for row in range(0, len(left), _BLOCK):
            rows = slice(row, row + _BLOCK)
            block = left[rows, start : start + width].astype(np.float64)
            total[rows] += (block @ narrow).astype(np.int64)
    return total
