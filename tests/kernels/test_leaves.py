"""Hashing rows in lanes equals one call of the library for each, for any length and number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.kernels.leaves import NativeRowHasher
from pouw.tests.vm.programs import random_case
from pouw.vm.check import check_program
from pouw.vm.trace import PlainRowHasher, commit_constants

LENGTHS = [1, 4, 63, 64, 65, 128, 768, 1023, 1024, 1025, 1152, 2048, 3072, 4096, 5000, 16_384]
FAST, PLAIN = NativeRowHasher(), PlainRowHasher()


@pytest.mark.parametrize("length", LENGTHS)
@settings(max_examples=4, deadline=None)
@given(st.integers(1, 50), st.sampled_from(["leaf", "node", "trace"]), st.integers(0, 2**32))
def test_hashes_equal_the_library(length: int, count: int, label: str, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 256, (count, length), np.uint8)
    rows.flags.writeable = False
    assert np.array_equal(FAST.hash_rows(label, rows), PLAIN.hash_rows(label, rows))


def test_a_label_longer_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a block"):
        FAST.hash_rows("x" * 60, np.zeros((64, 64), np.uint8))


def test_roots_equal_the_plain_ones() -> None:
    for seed in range(12):
        case = random_case(seed)
        checked = check_program(case.program)
        fast, plain = (commit_constants(checked, case.weights, h) for h in (FAST, PLAIN))
        assert fast.root == plain.root
