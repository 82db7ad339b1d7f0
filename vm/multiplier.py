"""The exact integer multiplier the machine is given, and the plain one everything is held to."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Multiplier(Protocol):
    """Multiplies exactly, whatever it stands on (torch, BLAS, a GPU)."""

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return A·B, shape (m, n), from A (m, k) and B transposed (n, k), k ≤ 16 384.

        Operands lie in [−64, 63] and may be read-only. Every element of the result is exact.
        """
        ...


class ReferenceMultiplier:
    """numpy's own integer product: slow (about 1 GMAC/s), obviously right."""

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """See `Multiplier.matmul`. Fits int32 for any int8 operands up to k = 131 071."""
        return (a.astype(np.int64) @ b_t.astype(np.int64).T).astype(np.int32)
