"""Freivalds' check of a posted product over the integers (Freivalds 1977; protocol §18.3).

C = A·B is accepted iff C·R = A·(B·R) for a pseudo-random R of 16 int8 columns that nobody can know
before C is fixed: its seed binds the commitments of all three matrices. A wrong C passes with
probability at most 2⁻¹²⁸, each column missing with at most 2⁻⁸.

Three *thin products* make one check. They are exact integers wherever they come from: with
|C| ≤ 2³¹, n ≤ 2²⁰ and |R| ≤ 2⁷ a sum of C·R stays below 2⁵⁸; with operands in [−64, 63] and
k ≤ 2¹⁴ one of B·R stays within 2³³ and one of A·(B·R) within 2⁵³.
"""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.hashing import Hash, digest, expand, u32
from ..genesis import Params
from ..vm.products import Product

COLUMNS: Final = 16


class ThinProducts(Protocol):
    """Multiplies by few columns, exactly, whatever it stands on. Arrays may be read-only."""

    def of_weight(self, b_t: NDArray[np.int8], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """Return B·R, (k, columns), from B transposed (n, k) and R (n, columns)."""
        ...

    def of_operand(self, a: NDArray[np.int8], b_r: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return A·(B·R), (m, columns), from A (m, k) and B·R (k, columns)."""
        ...

    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """Return C·R, (m, columns), from C (m, n) and R (n, columns)."""
        ...


class PlainThinProducts:
    """numpy's own integer products: slow, obviously right; what every other way is held to."""

    def of_weight(self, b_t: NDArray[np.int8], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """See `ThinProducts.of_weight`."""
        return b_t.T.astype(np.int64) @ r.astype(np.int64)

    def of_operand(self, a: NDArray[np.int8], b_r: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `ThinProducts.of_operand`."""
        return a.astype(np.int64) @ b_r

    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """See `ThinProducts.of_result`."""
        return c.astype(np.int64) @ r.astype(np.int64)


def challenge_matrix(
    job: Hash,
    op: int,
    roots: tuple[Hash, Hash, Hash],
    shape: tuple[int, int, int],
    worker: bytes,
) -> NDArray[np.int8]:
    """Return R, int8 (n, 16), for product `op` of a job.

    `roots` are those of A, B and C, `shape` is (m, n, k) unpadded, `worker` the claimant's address.
    """
    key = digest("freivalds", job, u32(op), *roots, *(u32(length) for length in shape), worker)
    n = shape[1]
    return np.frombuffer(expand(key, b"", COLUMNS * n), np.int8).reshape(n, COLUMNS)


def product_is_right(
    thin: ThinProducts,
    a: NDArray[np.int8],
    b_t: NDArray[np.int8],
    c: NDArray[np.int32],
    r: NDArray[np.int8],
) -> bool:
    """Tell whether C·R = A·(B·R); A (m, k), B transposed (n, k), C (m, n), R (n, 16)."""
    return np.array_equal(thin.of_result(c, r), thin.of_operand(a, thin.of_weight(b_t, r)))


def check_macs(m: int, n: int, k: int) -> int:
    """Return the multiply-accumulates of one check."""
    return COLUMNS * (n * k + m * k + m * n)


def is_posted(product: Product, params: Params) -> bool:
    """Tell whether a settlement posts a product, over all items of the job, for this check.

    One rule for everybody, of the unpadded shape alone: k ≥ posted_product_min_k, and checking
    takes at most 1/posted_product_gain of the MACs of recomputing. Short products are cheaper to
    multiply again than to move.
    """
    least = params.posted_product_gain * check_macs(product.m, product.n, product.k)
    return product.k >= params.posted_product_min_k and product.macs >= least
