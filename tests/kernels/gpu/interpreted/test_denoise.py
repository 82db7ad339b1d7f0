"""The noise comes off exactly, in every configuration and at the ends of every range."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pouw.consensus.ticket.constants import MAX_DEPTH
from pouw.consensus.ticket.noise import permutations, selection
from pouw.consensus.ticket.transcript import lanes_of_tiles
from pouw.core.hashing import digest
from pouw.kernels.gpu.configurations import CONFIGURATIONS, SQUARE, Configuration
from pouw.kernels.gpu.denoise import OFFSET, Factors, exact_product, factors

CUTS = list({(how.rows, how.columns, how.depth, how.group): how for how in CONFIGURATIONS}.values())
"""Warps and stages mean nothing to the interpreter."""
SEED = digest("seed-B", b"denoise")


def drawn(rows: int, k: int, seed: int, low: int = -127, high: int = 127) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(low, high, (rows, k), np.int8, endpoint=True)


def wide(values: torch.Tensor) -> NDArray[np.int64]:
    return values.numpy().astype(np.int64)


@pytest.mark.parametrize(("rows", "k"), [(16, 128), (48, 384)])
def test_gathered_sums_are_products_with_the_selection(rows: int, k: int) -> None:
    operand = drawn(rows, k, 1)
    inverse = np.argsort(permutations(SEED, k), axis=1).astype(np.int32)
    left = drawn(rows, 128, 2, -32, 31)
    side = factors(*(torch.from_numpy(x) for x in (operand, inverse, left)))
    expected = operand.astype(np.int64) @ selection(SEED, k).astype(np.int64).T
    assert np.array_equal(256 * wide(side.high) + wide(side.low), expected)
    assert np.array_equal(wide(side.negated_left), -left.astype(np.int64))


def test_limbs_hold_the_largest_sums() -> None:
    """Noised values of ±127 that alternate along the cycle give sums of 128 slabs · 254."""
    inverse = np.tile(np.arange(128, dtype=np.int32), (MAX_DEPTH // 128, 1))
    operand = np.tile(np.array([127, -127], np.int8), (16, MAX_DEPTH // 2))
    side = factors(*(torch.from_numpy(x) for x in (operand, inverse, operand[:, :128])))
    total = 256 * wide(side.high) + wide(side.low)
    assert set(np.unique(total).tolist()) == {-128 * 254, 128 * 254}


def check(
    a: NDArray[np.int8], b: NDArray[np.int8], left: Factors, right: Factors, how: Configuration
) -> None:
    """Compare with the same sum in 64 bits, whatever the factors stand for."""
    lanes, product = exact_product(torch.from_numpy(a), torch.from_numpy(b), left, right, how)
    assert np.array_equal(lanes.numpy().view(np.uint32), lanes_of_tiles(a, b))
    u, v = (256 * wide(side.high) + wide(side.low) for side in (right, left))
    expected = a.astype(np.int64) @ b.astype(np.int64).T
    expected += wide(left.negated_left) @ u.T + v @ wide(right.negated_left).T
    assert np.array_equal(product.numpy(), expected)


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 128), (144, 144, 128)])
def test_every_configuration_is_exact(how: Configuration, m: int, n: int, k: int) -> None:
    a, b = drawn(m, k, 1), drawn(n, k, 2)
    left, right = (
        Factors(
            torch.from_numpy(drawn(rows, 128, seed, -31, 32)),
            torch.from_numpy(drawn(rows, 128, seed + 1, -128)),
            torch.from_numpy(drawn(rows, 128, seed + 2, -128)),
        )
        for rows, seed in ((m, 10), (n, 20))
    )
    check(a, b, left, right, how)


@pytest.mark.parametrize(("limb", "sign"), [(-128, 1), (-128, -1)])
def test_no_carry_leaves_the_field_at_its_ends(limb: int, sign: int) -> None:
    """The largest sums of the product and of every correction at once, both ways."""
    a = np.full((16, MAX_DEPTH), 127, np.int8)
    b = np.full((16, MAX_DEPTH), 127 * sign, np.int8)
    extreme = torch.full((16, 128), limb, dtype=torch.int8)
    ends = torch.where(torch.arange(16)[:, None] % 2 == 0, 32, -31).to(torch.int8)
    side = Factors(ends.expand(16, 128).contiguous(), extreme, extreme)
    check(a, b, side, side, SQUARE)


def test_the_turned_sums_have_room() -> None:
    """The bounds that the module states: nothing is carried, no instruction saturates."""
    product, limbs = MAX_DEPTH * 128 * 128, 2 * 128 * 32 * 128
    assert (product, limbs) == (2**28, 2**20)
    lowest, highest = (
        (OFFSET.value + end * (product + limbs) >> 8) + end * limbs for end in (-1, 1)
    )
    assert 0 < lowest < highest < 2**24
    assert OFFSET.value + product + limbs < 2**31
