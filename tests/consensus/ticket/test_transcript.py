"""The transcript against one accumulator at a time (protocol §6)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.ticket.transcript import lanes_bytes, lanes_of_tiles, tile_lanes


def plain_lanes(a: NDArray[np.int8], b_t: NDArray[np.int8]) -> list[int]:
    """S of one tile with Python integers."""
    state = [0] * 32
    for end in range(128, a.shape[1] + 1, 128):
        folded = [0] * 32
        sums = (a[:, :end].astype(np.int64) @ b_t[:, :end].astype(np.int64).T).tolist()
        for row in range(16):
            for col in range(16):
                folded[(row % 8) * 4 + (col % 8) // 2] ^= sums[row][col] & 0xFFFFFFFF
        state = [
            ((word << 13 | word >> 19) & 0xFFFFFFFF) ^ x
            for word, x in zip(state, folded, strict=True)
        ]
    return state


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(2, 6), st.integers(0, 2**32))
def test_every_tile_folds_as_specified(rows: int, cols: int, slabs: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.integers(-127, 127, (16 * rows, 128 * slabs), np.int8)
    b_t = generator.integers(-127, 127, (16 * cols, 128 * slabs), np.int8)
    lanes = lanes_of_tiles(a, b_t)
    for row in range(rows):
        for col in range(cols):
            a_rows, b_rows = a[16 * row : 16 * row + 16], b_t[16 * col : 16 * col + 16]
            assert lanes[row, col].tolist() == plain_lanes(a_rows, b_rows)
            assert tile_lanes(a_rows, b_rows) == lanes_bytes(lanes[row, col])


def test_extreme_sums_do_not_overflow() -> None:
    a = np.full((16, 16_384), -127, np.int8)
    a[::2] = 126
    b_t = np.full((16, 16_384), -127, np.int8)
    b_t[::3] = 126
    assert lanes_of_tiles(a, b_t)[0, 0].tolist() == plain_lanes(a, b_t)
