"""Peeling the noise off: the exact A·B from A'·B' in O(r/k) of the product (protocol §7).

    C = A'·B' − E_L·(E_R·B') − (A·F_Rᵀ)·F_Lᵀ

with E = E_L·E_R the noise of A and F = F_L·F_R that of B's columns. This is the reference; kernels
do the same in int8 limbs.
"""

import numpy as np
from numpy.typing import NDArray

from ...core.hashing import Hash
from .noise import left_factor, selection


def noised_product(a_noised: NDArray[np.int8], b_noised_t: NDArray[np.int8]) -> NDArray[np.int32]:
    """Return A'·B' (m×n) from A' (m×k) and B' transposed (n×k), exactly."""
    return a_noised.astype(np.int32) @ b_noised_t.astype(np.int32).T


def denoise(
    product: NDArray[np.int32],
    a: NDArray[np.int8],
    b_noised_t: NDArray[np.int8],
    a_seed: Hash,
    b_seed: Hash,
) -> NDArray[np.int32]:
    """Return A·B (m×n) from A'·B', the plain A (m×k) and the noised B transposed (n×k)."""
    (m, k), n = a.shape, len(b_noised_t)
    a_left = left_factor(a_seed, range(m)).astype(np.int64)
    b_left = left_factor(b_seed, range(n)).astype(np.int64)
    a_right = selection(a_seed, k).astype(np.int64)
    b_right = selection(b_seed, k).astype(np.int64)
    from_a = a_left @ (a_right @ b_noised_t.astype(np.int64).T)
    from_b = (a.astype(np.int64) @ b_right.T) @ b_left.T
    return (product.astype(np.int64) - from_a - from_b).astype(np.int32)
