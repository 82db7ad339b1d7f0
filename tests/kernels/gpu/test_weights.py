"""Operands kept on a device: bounded, the one unused for longest goes first."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand
from pouw.kernels.gpu.weights import OperandCache

CPU = torch.device("cpu")


def drawn(seed: int, rows: int = 16) -> Operand:
    generator = np.random.default_rng(seed)
    return Operand.commit(generator.integers(-64, 64, (rows, 256), np.int8))


def fetch(cache: OperandCache, operand: Operand) -> torch.Tensor:
    return cache.fetch(operand.values, operand.tree.root)


def test_an_operand_is_moved_once() -> None:
    cache, operand = OperandCache(CPU, 2**20), drawn(1)
    first = fetch(cache, operand)
    assert np.array_equal(first.numpy(), operand.values)
    assert fetch(cache, operand) is first
    assert len(cache) == 1


def test_the_one_unused_for_longest_goes() -> None:
    cache = OperandCache(CPU, 2 * 16 * 256)
    one, two, three = (drawn(seed) for seed in (1, 2, 3))
    kept, gone = fetch(cache, one), fetch(cache, two)
    assert fetch(cache, one) is kept
    fetch(cache, three)
    assert len(cache) == 2
    assert fetch(cache, one) is kept
    assert fetch(cache, two) is not gone


def test_an_operand_larger_than_the_bound_is_not_kept() -> None:
    cache = OperandCache(CPU, 16 * 256)
    small, large = drawn(1), drawn(2, rows=32)
    kept = fetch(cache, small)
    assert np.array_equal(fetch(cache, large).numpy(), large.values)
    assert len(cache) == 1
    assert fetch(cache, small) is kept


def test_the_copy_is_the_caches_own() -> None:
    cache, operand = OperandCache(CPU, 2**20), drawn(1)
    values = operand.values.copy()
    held = cache.fetch(values, operand.tree.root)
    values[0] += 1
    assert np.array_equal(held.numpy(), operand.values)


@pytest.mark.parametrize(
    "rows", [np.full((16, 256), 64, np.int8), np.full((16, 256), -65, np.int8)]
)
def test_values_out_of_range_are_refused(rows: NDArray[np.int8]) -> None:
    cache = OperandCache(CPU, 2**20)
    with pytest.raises(ValueError, match="outside"):
        cache.fetch(rows, bytes([1]) * 32)
    assert len(cache) == 0


def test_one_root_has_one_shape() -> None:
    cache, operand = OperandCache(CPU, 2**20), drawn(1, rows=32)
    fetch(cache, operand)
    with pytest.raises(ValueError, match="committed"):
        cache.fetch(operand.values[:16], operand.tree.root)
