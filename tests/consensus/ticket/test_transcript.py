"""The transcript against one accumulator at a time (protocol §13.3)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.ticket.transcript import (
    fold,
    lanes_bytes,
    lanes_of_tiles,
    rotate_left,
    tile_lanes,
)


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


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 23), st.integers(0, 2**32), st.booleans())
def test_one_tile_at_once_is_the_reference(slabs: int, seed: int, strided: bool) -> None:
    """Any number of slabs, and rows that lie apart in memory."""
    generator = np.random.default_rng(seed)
    a, b_t = (
        generator.integers(-128, 127, (32, 128 * slabs), np.int8, endpoint=True) for _ in range(2)
    )
    rows = slice(0, 32, 2) if strided else slice(16, 32)
    reference = lanes_of_tiles(a[rows], b_t[rows])[0, 0]
    assert tile_lanes(a[rows], b_t[rows]) == lanes_bytes(reference)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9), st.integers(0, 10_000))
def test_words_turn_by_any_number_of_bits(words: list[int], turns: int) -> None:
    turned = rotate_left(np.array(words, np.uint32), np.array(turns, np.uint32))
    bits = turns % 32
    assert turned.dtype == np.uint32
    assert turned.tolist() == [(w << bits | w >> (32 - bits)) & 0xFFFFFFFF for w in words]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32))
def test_fold_is_the_specified_one(rows: int, cols: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    sums = generator.integers(-(2**31), 2**31 - 1, (16 * rows, 16 * cols), np.int32)
    plain = np.zeros((rows, cols, 32), np.uint32)
    for row in range(16 * rows):
        for col in range(16 * cols):
            lane = 4 * (row % 8) + (col % 8) // 2
            plain[row // 16, col // 16, lane] ^= sums.view(np.uint32)[row, col]
    assert np.array_equal(fold(sums), plain)


def test_extreme_sums_do_not_overflow() -> None:
    a = np.full((16, 16_384), -127, np.int8)
    a[::2] = 126
    b_t = np.full((16, 16_384), -127, np.int8)
    b_t[::3] = 126
    lanes = lanes_of_tiles(a, b_t)[0, 0]
    assert lanes.tolist() == plain_lanes(a, b_t)
    assert tile_lanes(a, b_t) == lanes_bytes(lanes)
