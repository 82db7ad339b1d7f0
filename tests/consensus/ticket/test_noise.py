"""Noise against a word-by-word reading of protocol §13.3."""

import numpy as np
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.consensus.ticket.noise import left_factor, noise, permutations, selection

SEED = bytes(range(32))


def plain_value(seed: bytes, row: int, column: int) -> int:
    """E[row, column] as the specification writes it."""
    drawn = blake3(b"L" + row.to_bytes(4, "little"), key=seed).digest(length=128)
    slab, c = divmod(column, 128)
    keys = blake3(b"R" + slab.to_bytes(4, "little"), key=seed).digest(length=512)
    order = sorted(range(128), key=lambda i: (keys[4 * i : 4 * i + 4][::-1], i))
    return ((drawn[order[c]] & 63) - 32) - ((drawn[order[(c + 1) % 128]] & 63) - 32)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**20 - 1), st.integers(0, 511))
def test_noise_is_the_specified_one(seed: bytes, row: int, column: int) -> None:
    assert noise(seed, [row], 512)[0, column] == plain_value(seed, row, column)


@settings(max_examples=20, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=37),
    st.integers(1, 9),
)
def test_whole_noise_is_the_factors_read_plainly(seed: bytes, rows: list[int], slabs: int) -> None:
    values = noise(seed, rows, 128 * slabs)
    chosen = left_factor(seed, rows)[:, permutations(seed, 128 * slabs)]
    plain = chosen - np.roll(chosen, -1, axis=2)
    assert np.array_equal(values, plain.reshape(len(rows), 128 * slabs))
    assert values.dtype == np.int8
    assert values.flags.c_contiguous


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 5))
def test_permutations_sort_keys_then_indices(seed: bytes, slabs: int) -> None:
    for slab, order in enumerate(permutations(seed, 128 * slabs).tolist()):
        drawn = blake3(b"R" + slab.to_bytes(4, "little"), key=seed).digest(length=512)
        keys = np.frombuffer(drawn, "<u4").tolist()
        assert order == sorted(range(128), key=lambda index: (keys[index], index))


def test_rows_keep_their_global_numbers() -> None:
    whole = noise(SEED, range(64), 384)
    assert np.array_equal(whole[17:33], noise(SEED, range(17, 33), 384))


def test_noise_is_the_product_of_its_factors() -> None:
    rows = range(5, 40)
    product = left_factor(SEED, rows).astype(np.int32) @ selection(SEED, 640)
    assert np.array_equal(noise(SEED, rows, 640), product)


def test_noise_leaves_room_for_the_operand() -> None:
    values = noise(SEED, range(512), 2048)
    assert values.min() >= -63
    assert values.max() <= 63


def test_every_slab_is_a_permutation_and_has_rank_127() -> None:
    orders = permutations(SEED, 1024)
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(128), (8, 1)))
    slabs = selection(SEED, 1024).reshape(128, 8, 128)
    for slab in range(8):
        assert np.linalg.matrix_rank(slabs[:, slab]) == 127
