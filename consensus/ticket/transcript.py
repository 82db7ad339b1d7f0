"""The transcript S of a tile (protocol §13.3): every partial sum folded into 32 lanes.

`lanes_of_tiles` is the reference for whole products, slab after slab; kernels must agree with it
bit for bit. `tile_lanes` is the same for the one tile that a verifier recomputes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .constants import LANES, RANK, ROTATION, TILE

_BATCH: Final = 4
"""Slabs multiplied at a time: 32 kB of each operand as int32."""


def lanes_of_tiles(a_noised: NDArray[np.int8], b_noised_t: NDArray[np.int8]) -> NDArray[np.uint32]:
    """Return S of every 16×16 tile of A'·B', shape (m/16, n/16, 32).

    `a_noised` is m×k and `b_noised_t` is B' transposed, n×k; m and n are multiples of 16, k of 128.
    """
    m, k = a_noised.shape
    n = len(b_noised_t)
    left, right = a_noised.astype(np.int32), b_noised_t.astype(np.int32)
    sums = np.zeros((m, n), np.int32)
    lanes = np.zeros((m // TILE, n // TILE, LANES), np.uint32)
    turn = np.array(ROTATION, np.uint32)
    for start in range(0, k, RANK):
        slab = slice(start, start + RANK)
        sums += left[:, slab] @ right[:, slab].T
        lanes = rotate_left(lanes, turn) ^ fold(sums)
    return lanes


def tile_lanes(a_rows: NDArray[np.int8], b_rows: NDArray[np.int8]) -> bytes:
    """Return S of one tile as 128 bytes, from 16 noised rows of A and 16 noised columns of B.

    Rotation distributes over XOR, so that S is the XOR of what each slab folds to, turned once for
    every slab that follows.
    """
    sums = np.cumsum(_slab_products(a_rows, b_rows), axis=0, dtype=np.int32)
    slabs = len(sums)
    folded = fold(sums.reshape(slabs * TILE, TILE))[:, 0]
    turns = ROTATION * np.arange(slabs - 1, -1, -1, dtype=np.uint32)[:, None]
    return lanes_bytes(np.bitwise_xor.reduce(rotate_left(folded, turns), axis=0))


def lanes_bytes(lanes: NDArray[np.uint32]) -> bytes:
    """Encode the 32 lanes of one tile, little-endian."""
    return lanes.astype("<u4").tobytes()


def rotate_left(words: NDArray[np.uint32], turns: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Turn 32-bit words left by any number of bits, which broadcasts against them."""
    left = turns & np.uint32(31)
    right = (np.uint32(32) - left) & np.uint32(31)
    return (words << left) | (words >> right)


def fold(sums: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Return the XOR of the 8 accumulators of each lane: (m, n) int32 → (m/16, n/16, 32).

    Within a tile, row = 8·(upper or lower) + i and column = 8·(left or right) + 2·j + parity belong
    to lane 4·i + j.
    """
    m, n = sums.shape
    parts = sums.view(np.uint32).reshape(m // TILE, 2, 8, n // TILE, 2, 4, 2)
    # Halves at a time: one reduction over three axes costs seven times as much.
    rows = parts[:, 0] ^ parts[:, 1]
    columns = rows[:, :, :, 0] ^ rows[:, :, :, 1]
    lanes = columns[..., 0] ^ columns[..., 1]
    return lanes.transpose(0, 2, 1, 3).reshape(m // TILE, n // TILE, LANES)


def _slab_products(a_rows: NDArray[np.int8], b_rows: NDArray[np.int8]) -> NDArray[np.int32]:
    """Return the product of each slab alone, (k/128, 16, 16), of 16 rows and 16 columns.

    `einsum` needs half the time of `matmul` on integers. A few slabs at a time stay small enough
    for the allocator to reuse memory: all of k = 4096 at once made verification a fifth longer.
    """
    slabs = a_rows.shape[1] // RANK
    products = np.empty((slabs, TILE, TILE), np.int32)
    for first in range(0, slabs, _BATCH):
        batch = slice(first * RANK, (first + _BATCH) * RANK)
        left = a_rows[:, batch].astype(np.int32).reshape(TILE, -1, RANK)
        right = b_rows[:, batch].astype(np.int32).reshape(TILE, -1, RANK)
        np.einsum("itc,jtc->tij", left, right, out=products[first : first + _BATCH])
    return products
