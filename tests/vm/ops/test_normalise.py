"""Rows over their size: against fractions and exact roots, and against floating point."""

from fractions import Fraction
from math import floor, isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply
from pouw.vm.check import check_program
from pouw.vm.ops.normalise import Normalise
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Operand, Shape, TensorType

RANGE = Interval(-64, 63)


def operand(
    shape: Shape = (2, 4),
    dtype: DType = DType.INT8,
    constant: bool = False,
    interval: Interval = RANGE,
) -> Operand:
    return Operand(TensorType(dtype, shape), interval, constant)


def normalised(op: Normalise, row: list[int]) -> list[int]:
    n = len(row)
    d = [n * e - (sum(row) if op.centred else 0) for e in row]
    r = isqrt(sum(e * e for e in d) // n + op.epsilon)
    return [floor(Fraction(e * 2**op.bits, r) + Fraction(1, 2)) for e in d]


@settings(max_examples=50)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 3), min_size=0, max_size=2),
    st.integers(1, 40),
    st.sampled_from([1, 3, 64, 30_000]),
    st.booleans(),
    st.integers(0, 12),
    st.sampled_from([1, 2, 1000, 10**9]),
)
def test_equals_python_integers(
    seed: int,
    leading: list[int],
    n: int,
    top: int,
    centred: bool,
    bits: int,
    epsilon: int,
) -> None:
    x = np.random.default_rng(seed).integers(-top, top, (2, *leading, n))
    x = x.astype(np.int8 if top <= 64 else np.int32)
    op = Normalise(0, centred, bits, epsilon)
    rows = apply(op, x).reshape(-1, n).tolist()
    assert rows == [normalised(op, row) for row in x.reshape(-1, n).tolist()]


def test_is_layer_normalisation() -> None:
    x = np.random.default_rng(2).integers(-64, 64, (3, 5, 768)).astype(np.int8)
    y = apply(Normalise(0, True, 12, 1), x) / 2**12
    real = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    assert np.abs(y - real).max() < 2e-4


def test_epsilon_is_that_of_a_float_model() -> None:
    scale, epsilon, n = 0.01, 1e-3, 768
    x = np.random.default_rng(2).integers(-9, 9, (3, n)).astype(np.int8)
    y = apply(Normalise(0, False, 12, round(epsilon * n**2 / scale**2)), x) / 2**12
    real = x * scale / np.sqrt(((x * scale) ** 2).mean(-1, keepdims=True) + epsilon)
    assert np.abs(y - real).max() < 1e-3


def test_a_row_of_equals_is_zero_and_a_row_of_zeros_too() -> None:
    assert not apply(Normalise(0, True, 10, 1), np.full((1, 7), 9, np.int8)).any()
    assert not apply(Normalise(0, False, 10, 1), np.zeros((1, 7), np.int8)).any()


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("n", [2, 3, 50, 4096])
def test_range_holds_and_is_near_where_one_entry_stands_out(centred: bool, n: int) -> None:
    x = np.zeros((1, n), np.int8)
    x[0, 0] = 63
    op = Normalise(0, centred, 8, 10**4)
    result = apply(op, x)  # holds the result to the range
    assert 2 * result.max() > op.result_interval((operand((n,), interval=Interval(0, 63)),)).hi


def test_blocks_join_without_a_seam() -> None:
    x = np.random.default_rng(5).integers(-64, 63, (3, 30_000, 3)).astype(np.int8)
    op = Normalise(0, True, 8, 1)
    assert np.array_equal(apply(op, x)[2, -5:], apply(op, x[2:, -5:])[0])


def test_sums_of_squares_reach_the_end_of_int64_and_no_further() -> None:
    # n·(n·x)² with n = 2: 8·x² < 2⁶³.
    top = isqrt((2**63 - 1) // 8)
    op = Normalise(0, False, 0, 1)
    assert apply(op, np.array([[top, -top]], np.int32)).tolist() == [[1, -1]]
    with pytest.raises(RuleViolation) as caught:
        apply(op, np.array([[top + 1, 0]], np.int32))
    assert caught.value.rule == "program-overflow"


@pytest.mark.parametrize(
    "op", [Normalise(0, True, 0, 2**63 - 1), Normalise(0, True, 30, 1)], ids=["root", "quotient"]
)
def test_other_intermediates_past_int64_are_refused(op: Normalise) -> None:
    with pytest.raises(RuleViolation) as caught:
        op.result_type((operand((2,), DType.INT32, interval=Interval(-(2**29), 2**29)),))
    assert caught.value.rule == "program-overflow"


def test_results_past_int32_are_refused() -> None:
    source = Declaration(TensorType(DType.INT8, (4096,)), Interval(-64, 63))
    check_program(Program(1, source, (), (Normalise(0, True, 24, 10**6),)))
    with pytest.raises(RuleViolation) as caught:
        check_program(Program(1, source, (), (Normalise(0, True, 25, 10**6),)))
    assert caught.value.rule == "program-overflow"


def test_work() -> None:
    op, x = Normalise(0, True, 8, 1), operand((6, 10))
    assert op.work((x,), op.result_type((x,))).item_bytes == 28 * 4 * 120 + 6 * 4096


@pytest.mark.parametrize(
    ("x", "bits", "epsilon", "rule"),
    [
        (operand(constant=True), 8, 1, "program-constant"),
        (operand(()), 8, 1, "program-shape"),
        (operand(), 31, 1, "program-attribute"),
        (operand(), 8, 0, "program-attribute"),
    ],
)
def test_refuses_what_does_not_fit(x: Operand, bits: int, epsilon: int, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Normalise(0, True, bits, epsilon).result_type((x,))
    assert caught.value.rule == rule
