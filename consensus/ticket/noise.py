"""The low-rank noise of protocol §13.3: E = L·R with L drawn per row and R one cycle per slab.

In slab t (128 columns) column c of E is L[:, π(c)] − L[:, π(c+1 mod 128)] for a permutation π drawn
per slab. One cycle through all 128 columns of L gives every slab rank 127; drawing the two columns
independently would leave about 106, a 17 % shortcut.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...core.hashing import Hash, expand_each
from .constants import RANK


def left_factor(seed: Hash, rows: Sequence[int]) -> NDArray[np.int8]:
    """Return L for the given global row numbers: len(rows)×128, values in [−32, 31]."""
    drawn = expand_each(seed, b"L", rows, RANK)
    values = (np.frombuffer(drawn, np.uint8) & 63).view(np.int8) - np.int8(32)
    return values.reshape(len(rows), RANK)


def permutations(seed: Hash, k: int) -> NDArray[np.intp]:
    """Return π of every slab, (k/128)×128: the indices 0…127 sorted by (drawn key, index)."""
    slabs = k // RANK
    drawn = expand_each(seed, b"R", range(slabs), 4 * RANK)
    keys = np.frombuffer(drawn, np.dtype("<u4")).reshape(slabs, RANK)
    ranked = (keys.astype(np.uint64) << np.uint64(32)) | np.arange(RANK, dtype=np.uint64)
    ranked.sort(axis=1)
    return (ranked & np.uint64(RANK - 1)).astype(np.intp)


def noise(seed: Hash, rows: Sequence[int], k: int) -> NDArray[np.int8]:
    """Return the noise of the given global rows, len(rows)×k, values in [−63, 63]."""
    # Whole columns of L are moved: gathering single bytes costs ten times as much.
    columns = np.ascontiguousarray(left_factor(seed, rows).T)
    chosen = columns.take(permutations(seed, k), axis=0)
    drawn = np.empty_like(chosen)
    np.subtract(chosen[:, :-1], chosen[:, 1:], out=drawn[:, :-1])
    np.subtract(chosen[:, -1], chosen[:, 0], out=drawn[:, -1])
    return np.ascontiguousarray(drawn.reshape(k, len(rows)).T)


def selection(seed: Hash, k: int) -> NDArray[np.int8]:
    """Return R, 128×k, one +1 and one −1 in each column, with noise = left_factor · R."""
    chosen = permutations(seed, k)
    following = np.roll(chosen, -1, axis=1)
    columns = np.arange(k)
    matrix = np.zeros((RANK, k), np.int8)
    matrix[chosen.reshape(k), columns] = 1
    matrix[following.reshape(k), columns] = -1
    return matrix
