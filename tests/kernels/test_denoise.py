"""Each step of peeling noise off, in every layout, against plain matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.ticket.noise import permutations, selection
from pouw.core.hashing import digest
from pouw.kernels.denoise import column_corrections, packed_left, row_corrections, store_rows
from pouw.kernels.layout import Layout, natural_sums, packed_columns, tiled_rows
from pouw.kernels.machine import aligned

LAYOUTS = [Layout(16, 4), Layout(16, 4, biased=True), Layout(8, 4, biased=True), Layout(8, 2)]


def drawn(rows: int, k: int, low: int, high: int, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(low, high, (rows, k), np.int8, endpoint=True)


def whole(limbs: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return limbs[0] if len(limbs) == 1 else limbs[0] + 256 * limbs[1]


def unpacked(packed: NDArray[np.uint32], layout: Layout) -> NDArray[np.int64]:
    """Return panels of two slabs as columns × 256."""
    flip = np.uint32(0x80808080 if layout.biased else 0)
    panels, slabs, steps = packed.shape[:3]
    values = (packed ^ flip).view(layout.dtype)
    split = values.reshape(panels, slabs, steps, 2, 2, layout.tiles, 4, layout.depth)
    natural = split.transpose(0, 5, 3, 6, 4, 1, 2, 7)
    return natural.reshape(panels * layout.columns, slabs * 128).astype(np.int64)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=8, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32))
def test_columns_are_chosen_as_the_selection_says(
    layout: Layout, tiles: int, slabs: int, seed: int
) -> None:
    n, k, key = 16 * tiles, 128 * slabs, digest("header", seed.to_bytes(8, "little"))
    b, left = drawn(n, k, -127, 126, seed), drawn(n, 128, -32, 31, seed + 1)
    packed = packed_columns(tiled_rows(b, layout), layout)
    limbs = column_corrections(packed, permutations(key, k), packed_left(left, layout), layout)
    parts = [unpacked(limb, layout)[:n] for limb in limbs]
    u_t = b.astype(np.int64) @ selection(key, k).astype(np.int64).T
    assert np.array_equal(whole([part[:, :128] for part in parts]), -u_t)
    for part in parts:
        assert np.array_equal(part[:, 128:], left)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_largest_choices_fit_their_limbs(layout: Layout) -> None:
    """|U| reaches 128 · 253 when every slab puts its extremes beside each other in one cycle."""
    k, key = 16_384, digest("header", b"largest")
    orders = permutations(key, k)
    b = np.zeros((16, k), np.int8)
    places = np.flatnonzero(orders.reshape(-1) == 5)
    before = places - 1 + 128 * (places % 128 == 0)
    b[:8, places], b[:8, before] = 126, -127
    b[8:, places], b[8:, before] = -127, 126
    packed = packed_columns(tiled_rows(b, layout), layout)
    left = packed_left(np.zeros((16, 128), np.int8), layout)
    limbs = [unpacked(limb, layout) for limb in column_corrections(packed, orders, left, layout)]
    total = whole(limbs)[:16, 5]
    assert total.tolist() == [-128 * 253] * 8 + [128 * 253] * 8


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_keep_their_values_in_limbs(layout: Layout) -> None:
    v = np.random.default_rng(1).integers(-128 * 127, 128 * 127, (32, 128), np.int32, endpoint=True)
    v[0, :2] = -128 * 127, 128 * 127
    left = drawn(32, 128, -32, 31, 2)
    sides = row_corrections(v, left, layout)
    natural = [side.tiles.transpose(0, 2, 1, 3).reshape(32, 256) for side in sides]
    parts = [part.astype(np.int64) for part in natural]
    assert np.array_equal(whole([part[:, 128:] for part in parts]), -v)
    for part in parts:
        assert np.array_equal(part[:, :128], left)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=8, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(0, 2**32))
def test_sums_are_stored_in_natural_order(
    layout: Layout, row_tiles: int, col_tiles: int, seed: int
) -> None:
    panels = -(-col_tiles // layout.tiles)
    shape = (panels, row_tiles, 16, 4, layout.lanes)
    generator = np.random.default_rng(seed)
    sums = [generator.integers(-(2**20), 2**20, shape, np.int32)]
    if layout.depth == 4:
        sums.append(generator.integers(-(2**15), 2**15, shape, np.int32))
    aligned_sums = [aligned_copy(each) for each in sums]
    wider = np.full((16 * row_tiles, 16 * col_tiles + 5), 7, np.int32)
    store_rows(aligned_sums, wider[:, : 16 * col_tiles], layout)
    expected = natural_sums(sums[0]) + (256 * natural_sums(sums[1]) if len(sums) > 1 else 0)
    assert np.array_equal(wider[:, : 16 * col_tiles], expected[:, : 16 * col_tiles])
    assert (wider[:, 16 * col_tiles :] == 7).all()


def aligned_copy(values: NDArray[np.int32]) -> NDArray[np.int32]:
    room = aligned(values.shape, np.int32)
    room[...] = values
    return room
