"""The CPU multiplier of plain products: exact int8 on torch."""

import numpy as np
import torch
from numpy.typing import NDArray

from .blas import MAX_DEPTH, BlasMultiplier
from .int8 import MIN_DEPTH, exact_product


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


def _tensor(array: NDArray[np.int8]) -> torch.Tensor:
    """Share a contiguous writable array with torch; copy any other (torch warns of read-only)."""
    usable = array.flags.c_contiguous and array.flags.writeable
    return torch.from_numpy(array if usable else array.copy())
