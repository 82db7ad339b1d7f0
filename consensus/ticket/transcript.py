"""The transcript S of a tile (protocol §6): every partial sum folded into 32 lanes, in plain numpy.

This is the reference: kernels must agree with it bit for bit.
"""

import numpy as np
from numpy.typing import NDArray

from .constants import LANES, RANK, ROTATION, TILE


def lanes_of_tiles(a_noised: NDArray[np.int8], b_noised_t: NDArray[np.int8]) -> NDArray[np.uint32]:
    """Return S of every 16×16 tile of A'·B', shape (m/16, n/16, 32).

    `a_noised` is m×k and `b_noised_t` is B' transposed, n×k; m and n are multiples of 16, k of 128.
    """
    m, k = a_noised.shape
    n = len(b_noised_t)
    left, right = a_noised.astype(np.int32), b_noised_t.astype(np.int32)
    sums = np.zeros((m, n), np.int32)
    lanes = np.zeros((m // TILE, n // TILE, LANES), np.uint32)
    for start in range(0, k, RANK):
        slab = slice(start, start + RANK)
        sums += left[:, slab] @ right[:, slab].T
        lanes = rotate_left(lanes) ^ fold(sums)
    return lanes


def tile_lanes(a_rows: NDArray[np.int8], b_rows: NDArray[np.int8]) -> bytes:
    """Return S of one tile as 128 bytes, from 16 noised rows of A and 16 noised columns of B."""
    return lanes_bytes(lanes_of_tiles(a_rows, b_rows)[0, 0])


def lanes_bytes(lanes: NDArray[np.uint32]) -> bytes:
    """Encode the 32 lanes of one tile, little-endian."""
    return lanes.astype("<u4").tobytes()


def rotate_left(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Turn every 32-bit word left by 13 bits."""
    return (words << np.uint32(ROTATION)) | (words >> np.uint32(32 - ROTATION))


def fold(sums: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Return the XOR of the 8 accumulators of each lane: (m, n) int32 → (m/16, n/16, 32).

    Within a tile, row = 8·(upper or lower) + i and column = 8·(left or right) + 2·j + parity belong
    to lane 4·i + j.
    """
    m, n = sums.shape
    parts = sums.view(np.uint32).reshape(m // TILE, 2, 8, n // TILE, 2, 4, 2)
    lanes = np.bitwise_xor.reduce(parts, axis=(1, 4, 6))
    return lanes.transpose(0, 2, 1, 3).reshape(m // TILE, n // TILE, LANES)
