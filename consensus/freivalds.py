"""Freivalds' check of a posted product over the integers (Freivalds 1977; protocol §8).

C = A·B is accepted iff C·R = A·(B·R) for a pseudo-random R of 16 int8 columns that nobody can know
before C is fixed: its seed binds the commitments of all three matrices. A wrong C passes with
probability at most 2⁻¹²⁸, each column missing with at most 2⁻⁸. All in int64: with |C| ≤ 2³¹,
n ≤ 2²⁰ and |R| ≤ 2⁷ a sum stays below 2⁵⁸; A·(B·R) below 2⁵⁴.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core.hashing import Hash, digest, expand, u32

COLUMNS: Final = 16


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
    a: NDArray[np.int8], b_t: NDArray[np.int8], c: NDArray[np.int32], r: NDArray[np.int8]
) -> bool:
    """Tell whether C·R = A·(B·R); A (m, k), B transposed (n, k), C (m, n), R (n, 16)."""
    # Every inner loop runs over contiguous memory; without that numpy takes ten times as long.
    r_t = r.T.astype(np.int64, order="C")
    b_r_t = r_t @ b_t.T.astype(np.int64, order="C").T
    return bool(np.array_equal(c.astype(np.int64) @ r_t.T, a.astype(np.int64) @ b_r_t.T))


def check_macs(m: int, n: int, k: int) -> int:
    """Return the multiply-accumulates of one check."""
    return COLUMNS * (n * k + m * k + m * n)
