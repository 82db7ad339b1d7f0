"""Noise drawn by the kernels is consensus' noise."""

import numpy as np
import pytest
import torch
from pouw.consensus.ticket.noise import left_factor, noise, permutations
from pouw.core.hashing import digest
from pouw.kernels.gpu.noise import add_noise, draw_left, draw_orders, rank_kernel

SEED = digest("seed-A", b"noise")
WORDS = torch.from_numpy(np.frombuffer(SEED, "<i4").astype(np.int32))


@pytest.mark.parametrize(("first", "rows"), [(0, 16), (240, 160), (2**20 - 16, 16)])
def test_left_factor(first: int, rows: int) -> None:
    drawn = draw_left(WORDS, first, rows).numpy()
    assert np.array_equal(drawn, left_factor(SEED, range(first, first + rows)))


@pytest.mark.parametrize("k", [128, 4992])
def test_permutations_and_their_inverses(k: int) -> None:
    orders, inverse = draw_orders(WORDS, k)
    expected = permutations(SEED, k)
    assert np.array_equal(orders.numpy(), expected)
    assert np.array_equal(inverse.numpy(), np.argsort(expected, axis=1))


def test_equal_keys_are_ordered_by_index() -> None:
    """And keys are compared without a sign: draws that never come up by chance."""
    generator = np.random.default_rng(4)
    keys = generator.choice(np.array([0, 1, 2**31 - 1, -(2**31), -1], np.int32), (2, 128))
    orders, inverse = torch.full((2, 2, 128), -1, dtype=torch.int32).unbind()
    rank_kernel[(2,)](torch.from_numpy(keys), orders, inverse)
    expected = np.argsort(keys.view(np.uint32), axis=1, kind="stable")
    assert np.array_equal(orders.numpy(), expected)
    assert np.array_equal(inverse.numpy(), np.argsort(expected, axis=1))


@pytest.mark.parametrize(("rows", "k"), [(16, 256), (80, 384)])
def test_noise_is_added_to_any_operand(rows: int, k: int) -> None:
    left = torch.from_numpy(left_factor(SEED, range(32, 32 + rows)))
    orders = torch.from_numpy(permutations(SEED, k).astype(np.int32))
    expected = noise(SEED, range(32, 32 + rows), k)
    operand = np.random.default_rng(k).integers(-64, 63, (rows, k), np.int8, endpoint=True)
    operand[0], operand[1] = -64, 63
    assert np.array_equal(add_noise(None, left, orders).numpy(), expected)
    noised = add_noise(torch.from_numpy(operand), left, orders).numpy()
    assert np.array_equal(noised, operand.astype(np.int64) + expected)
