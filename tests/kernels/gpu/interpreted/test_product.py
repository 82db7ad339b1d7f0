"""Products and transcripts in every configuration: none changes a byte."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pouw.consensus.ticket.constants import MAX_DEPTH
from pouw.consensus.ticket.transcript import lanes_of_tiles
from pouw.kernels.gpu.checking import KERNELS, is_exact
from pouw.kernels.gpu.configurations import (
    CONFIGURATIONS,
    SQUARE,
    Configuration,
    Family,
    candidates,
    legal,
)
from pouw.kernels.gpu.product import check_depth, noised_lanes, plain_product

CUTS = list({(how.rows, how.columns, how.depth, how.group): how for how in CONFIGURATIONS}.values())
"""Warps and stages mean nothing to the interpreter."""
SHAPES = [(48, 80, 256), (144, 272, 128), (336, 16, 128)]


def drawn(rows: int, k: int, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 127, (rows, k), np.int8, endpoint=True)


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_every_configuration_is_exact(how: Configuration, m: int, n: int, k: int) -> None:
    check(drawn(m, k, 1), drawn(n, k, 2), how)


@pytest.mark.parametrize(("left", "right"), [(-128, -128), (-128, 127)])
def test_extremes_at_the_longest_k(left: int, right: int) -> None:
    a, b_t = (np.full((16, MAX_DEPTH), value, np.int8) for value in (left, right))
    check(a, b_t, SQUARE)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("how", CUTS)
def test_every_configuration_passes_the_check_before_its_use(
    kernel: str, how: Configuration
) -> None:
    assert is_exact(kernel, how, torch.device("cpu"))


def check(a: NDArray[np.int8], b_t: NDArray[np.int8], how: Configuration) -> None:
    left, right = torch.from_numpy(a), torch.from_numpy(b_t)
    lanes = noised_lanes(left, right, how).numpy().view(np.uint32)
    assert np.array_equal(lanes, lanes_of_tiles(a, b_t))
    product = plain_product(left, right, how).numpy()
    assert np.array_equal(product, a.astype(np.int64) @ b_t.astype(np.int64).T)


@pytest.mark.parametrize("k", [0, 64, 130, MAX_DEPTH + 128])
def test_depths_without_a_proof_of_exactness_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match="multiple of 128"):
        check_depth(k)
    operand = torch.zeros((16, k), dtype=torch.int8)
    for multiply in (noised_lanes, plain_product):
        with pytest.raises(ValueError, match="multiple of 128"):
            multiply(operand, operand, CONFIGURATIONS[0])


@pytest.mark.parametrize("family", Family)
def test_the_table_offers_only_tested_configurations(family: Family) -> None:
    offered = {how for rows in (16, 32, 64, 80, 2**20) for how in candidates(family, rows)}
    assert offered == set(legal(family)) <= set(CONFIGURATIONS)


@pytest.mark.parametrize("how", CONFIGURATIONS)
def test_configurations_divide_what_they_must(how: Configuration) -> None:
    assert how.rows % 16 == how.columns % 16 == 128 % how.depth == 0
