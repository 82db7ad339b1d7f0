"""An exact integer multiplier without torch: float64 BLAS over slices of k.

float64 holds every integer below 2⁵³. With |a|, |b| ≤ 128 a slice of k ≤ 4096 stays below 2²⁷, far
inside that bound, and the slices are added in int32; they only keep the float64 copies small. Used
by nodes that have no torch.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SLICE: Final = 4096
"""Columns converted to float64 at a time."""
MAX_DEPTH: Final = 2**17 - 1
"""Largest k for which k · 128 · 128 stays within int32."""


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
