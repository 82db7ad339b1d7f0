"""Programs as bytes: round trips, bounds, and hostile bytes that only ever earn a RuleViolation."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import DecodeError, RuleViolation
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.limits import MAX_PROGRAM_BYTES
from pouw.vm.metering import cost_of
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.ops import (
    BatchMatmul,
    Concat,
    Gather,
    Matmul,
    MaxPool,
    Patches,
    Reshape,
    Slice,
    SumPool,
    Transpose,
)
from pouw.vm.products import plain_products
from pouw.vm.program import Program, decode_program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.vm.weights import check_weights

EDGES = (0, 1, 2, 3, 63, 64, 127, 128, 2**16, 2**20, 2**31 - 1, 2**31, 2**32, 2**63, -1, -65)

IMAGES = Program(
    1,
    Declaration(TensorType(DType.INT8, (4, 4, 2)), Interval(-64, 63)),
    (Declaration(TensorType(DType.INT8, (3, 8)), Interval(-64, 63)),),
    (
        Patches(0, (2, 2), (1, 1), (1, 0, 0, 1), (1, 1), -3),
        Matmul(2, 1),
        MaxPool(3, (2, 2), (2, 2), (0, 0, 0, 0)),
        SumPool(4, (2, 2), (1, 1), (1, 0, 0, 0), 0),
    ),
)
SEQUENCES = Program(
    1,
    Declaration(TensorType(DType.INT32, (2, 3)), Interval(0, 4)),
    (Declaration(TensorType(DType.INT8, (5, 4)), Interval(-64, 63)),),
    (
        Slice(0, 0, 0, 1, 1),
        Gather(2, 1),
        Transpose(3, (1, 0, 2)),
        Reshape(4, (3, 4)),
        Concat((5, 1), 0),
        BatchMatmul(6, 6),
    ),
)


def judge(data: bytes) -> bool:
    """Do what a node does with a program from outside; True when it may be registered."""
    try:
        program = decode_program(data)
        if encode_program(program) != data:
            raise AssertionError("accepted bytes that are not canonical")
        checked = check_program(program)
        if checked.weight_bytes + checked.input_type.bytes > 2**16:
            return True
        if cost_of(checked, 1).bytes + cost_of(checked, 1).macs > 2**22:
            return True
        weights, item = b"".join(map(_lowest, program.consts)), _lowest(program.input)
        check_weights(checked, weights)
        execute(checked, weights, item, plain_products(ReferenceMultiplier()))
    except RuleViolation:
        return False
    return True


def _lowest(declaration: Declaration) -> bytes:
    kind = declaration.type
    return np.full(kind.shape, declaration.interval.lo, kind.dtype.storage).tobytes()


@settings(max_examples=60)
@given(st.data())
def test_round_trip(cases: st.SearchStrategy[Any], data: st.DataObject) -> None:
    program = data.draw(cases).program
    assert decode_program(encode_program(program)) == program


def test_the_encoding_is_fixed(perceptron: Any) -> None:
    assert encode_program(perceptron.program).hex() == (
        "94" "01" "92" "92" "01" "91" "10" "92" "d0c0" "3f"  # version, input int8[16] in [-64, 63]
        "94"
        "92" "92" "01" "92" "08" "10" "92" "d0c1" "3f"  # int8[8, 16] in [-63, 63]
        "92" "92" "02" "91" "08" "92" "d1fc18" "cd03e8"  # int32[8] in [-1000, 1000]
        "92" "92" "02" "91" "08" "92" "01" "ce40000000"  # int32[8] in [1, 2^30]
        "92" "92" "01" "92" "03" "08" "92" "d0c1" "3f"  # int8[3, 8]
        "96"
        "93" "01" "00" "01"  # matmul 0, 1
        "93" "02" "05" "02"  # bias 5, 2
        "92" "04" "06"  # relu 6
        "96" "03" "07" "03" "26" "00" "3f"  # requantise 7, 3, shift 38, clamp [0, 63]
        "93" "01" "08" "04"  # matmul 8, 4
        "92" "06" "09"  # argmax 9
    )  # fmt: skip


def test_the_encoding_of_layouts_and_windows_is_fixed() -> None:
    images, sequences = (msgspec.msgpack.decode(encode_program(p))[3] for p in (IMAGES, SEQUENCES))
    assert images == [
        [11, 0, [2, 2], [1, 1], [1, 0, 0, 1], [1, 1], -3],
        [1, 2, 1],
        [12, 3, [2, 2], [2, 2], [0, 0, 0, 0]],
        [13, 4, [2, 2], [1, 1], [1, 0, 0, 0], 0],
    ]
    assert sequences == [
        [17, 0, 0, 0, 1, 1],
        [18, 2, 1],
        [14, 3, [1, 0, 2]],
        [15, 4, [3, 4]],
        [16, [5, 1], 0],
        [10, 6, 6],
    ]


def test_refuses_too_many_bytes_before_reading_them() -> None:
    with pytest.raises(DecodeError, match="at most 262144"):
        decode_program(bytes(MAX_PROGRAM_BYTES + 1))


def test_refuses_a_second_encoding_of_the_same_program(perceptron: Any) -> None:
    data = encode_program(perceptron.program)
    wide = data[:1] + b"\xcc\x01" + data[2:]  # version 1 in two bytes
    with pytest.raises(DecodeError, match="canonical"):
        decode_program(wide)


@pytest.mark.parametrize(
    "op",
    [
        *([7, 0], [0, 0], [6], [1, 0], [6, 9, 9], [6, -1], [6, 2**32], [6, 1.0], [6, "0"]),
        *([6, None], [12, 0, [1], [1, 1], [0] * 4], [12, 0, [1, 1], [1, 1], [0] * 5]),
        *([14, 0, 0], [14, 0, [-1]], [15, 0, [2**32]], [16, 0, 0], [16, [0, None], 0]),
    ],
)
def test_refuses_ops_it_does_not_know(perceptron: Any, op: list[Any]) -> None:
    plain = msgspec.msgpack.decode(encode_program(perceptron.program))
    plain[3][5] = op
    with pytest.raises(DecodeError):
        decode_program(msgspec.msgpack.encode(plain))


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert not judge(data)


@settings(max_examples=30)
@given(st.data())
def test_mutated_bytes_earn_nothing_but_a_rule_violation(
    cases: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    original = encode_program(data.draw(cases).program)
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(40):
        mutated = bytearray(original)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(mutated))
            match chance.randrange(4):
                case 0:
                    mutated[at] = chance.randrange(256)
                case 1:
                    mutated.insert(at, chance.randrange(256))
                case 2 if len(mutated) > 1:
                    del mutated[at]
                case _:
                    mutated[at] ^= 1 << chance.randrange(8)
        judge(bytes(mutated))


@pytest.mark.parametrize("kind", ["perceptron", "images", "sequences"])
def test_well_formed_programs_with_one_number_changed_are_judged(
    perceptron: Any, kind: str
) -> None:
    """Every number of a program, replaced by every edge value: structure stays, meaning breaks."""
    program = {"perceptron": perceptron.program, "images": IMAGES, "sequences": SEQUENCES}[kind]
    data = encode_program(program)
    assert judge(data)
    verdicts = [judge(mutant) for mutant in _with_numbers_replaced(data)]
    assert verdicts.count(True) > 20 and verdicts.count(False) > 500


def _with_numbers_replaced(data: bytes) -> Iterator[bytes]:
    for path in _number_paths(msgspec.msgpack.decode(data)):
        for edge in EDGES:
            plain = msgspec.msgpack.decode(data)
            place = plain
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = edge
            yield msgspec.msgpack.encode(plain)


def _number_paths(node: Any) -> Iterator[tuple[int, ...]]:
    if isinstance(node, int):
        yield ()
    else:
        for i, child in enumerate(node):
            for path in _number_paths(child):
                yield (i, *path)
