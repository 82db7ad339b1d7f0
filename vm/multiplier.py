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


def matmul_each(
    multiplier: Multiplier, a: NDArray[np.int8], b_t: NDArray[np.int8]
) -> NDArray[np.int32]:
    """Return the products of many small matrices, (count, m, n).

    `a` is (count, m, k); `b_t`, transposed, is (parts, n, k) with parts dividing count, and
    matrix i of `a` meets matrix i mod parts of `b_t`.
    """
    count, parts = len(a), len(b_t)
    result = np.empty((count, a.shape[1], b_t.shape[1]), np.int32)
    for i in range(count):
        result[i] = multiplier.matmul(a[i], b_t[i % parts])
    return result


class ReferenceMultiplier:
    """numpy's own integer product: slow (about 1 GMAC/s), obviously right."""

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """See `Multiplier.matmul`. Fits int32 for any int8 operands up to k = 131 071."""
        return (a.astype(np.int64) @ b_t.astype(np.int64).T).astype(np.int32)
