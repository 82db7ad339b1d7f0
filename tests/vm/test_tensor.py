"""Input and output blobs: round trips, lengths, ranges."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.ops import Relu
from pouw.vm.program import Program
from pouw.vm.tensor import (
    decode_input,
    encode_input,
    encode_output,
    input_items,
    output_bytes,
)
from pouw.vm.types import Declaration, DType, Interval, TensorType


def identity(dtype: DType, shape: tuple[int, ...], lo: int, hi: int) -> CheckedProgram:
    source = Declaration(TensorType(dtype, shape), Interval(lo, hi))
    return check_program(Program(1, source, (), (Relu(0),)))


BYTES = identity(DType.INT8, (3,), -5, 7)
WORDS = identity(DType.INT32, (2, 2), -1000, 70_000)


def refused(rule: str, call: Any, *arguments: Any) -> None:
    with pytest.raises(RuleViolation) as caught:
        call(*arguments)
    assert caught.value.rule == rule


@given(st.integers(0, 2**32), st.integers(1, 9))
def test_input_round_trip(seed: int, items: int) -> None:
    array = np.random.default_rng(seed).integers(-1000, 70_000, (items, 2, 2)).astype(np.int32)
    data = encode_input(WORDS, array)
    assert len(data) == items * 16 and input_items(WORDS, len(data)) == items
    assert np.array_equal(decode_input(WORDS, data), array)


def test_bytes_are_little_endian_in_c_order() -> None:
    data = encode_input(WORDS, np.array([[[1, -2], [0x10203, 4]]], np.int32))
    assert data.hex() == "01000000feffffff0302010004000000"


def test_output_is_encoded_as_its_type() -> None:
    assert encode_output(WORDS, np.array([[[0, 1], [2, 256]]], np.int32)).hex() == (
        "00000000010000000200000000010000"
    )
    assert output_bytes(WORDS, 3) == 48


@pytest.mark.parametrize("size", [1, 2, 4, 3_000_001])
def test_refuses_a_part_of_an_item(size: int) -> None:
    refused("input-size", input_items, BYTES, size)


def test_refuses_no_items_and_too_many() -> None:
    refused("input-items", input_items, BYTES, 0)
    assert input_items(BYTES, 3 * BYTES.max_items) == BYTES.max_items
    refused("input-items", input_items, BYTES, 3 * (BYTES.max_items + 1))


@pytest.mark.parametrize("value", [-6, 8, -128, 127])
def test_refuses_input_outside_the_declared_range(value: int) -> None:
    data = np.array([[0, 0, 0], [0, value, 0]], np.int8).tobytes()
    refused("input-range", decode_input, BYTES, data)


def test_accepts_both_ends_of_the_range() -> None:
    assert decode_input(BYTES, np.array([-5, 7, 0], np.int8).tobytes()).tolist() == [[-5, 7, 0]]


def test_encode_input_holds_arrays_to_the_same_rules() -> None:
    refused("input-shape", encode_input, BYTES, np.zeros((2, 4), np.int8))
    refused("input-shape", encode_input, BYTES, np.zeros((), np.int8))
    refused("input-dtype", encode_input, BYTES, np.zeros((1, 3)))
    refused("input-items", encode_input, BYTES, np.zeros((0, 3), np.int8))
    refused("input-range", encode_input, BYTES, np.full((1, 3), 8, np.int8))
    # 263 would be 7 in a byte: refused, not wrapped.
    refused("input-range", encode_input, BYTES, np.full((1, 3), 263, np.int32))


def test_decoding_does_not_copy_and_cannot_be_written() -> None:
    data = bytes(3 * 2**20)
    tracemalloc.start()
    array = decode_input(BYTES, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20 and not array.flags.writeable
