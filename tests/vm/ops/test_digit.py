"""Base-64 digits: they put the number together again, and let wide numbers through a product."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply
from pouw.vm.ops.digit import Digit
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

SHIFTS = (0, 6, 12, 18, 24, 30)


TWELVE_BITS = Interval(0, 4095)


def operand(
    dtype: DType = DType.INT32,
    constant: bool = False,
    shape: Shape = (3, 4),
    interval: Interval = TWELVE_BITS,
) -> Operand:
    return Operand(TensorType(dtype, shape), interval, constant)


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20), st.integers(0, 31))
def test_equals_python_integers(numbers: list[int], shift: int) -> None:
    result = apply(Digit(0, shift), np.array([numbers], np.int32))
    assert result.tolist() == [[n // 2**shift % 64 for n in numbers]]


def test_a_number_is_the_sum_of_its_digits() -> None:
    x = np.array([0, 1, 63, 64, 4095, 2**31 - 1], np.int32)
    total = [apply(Digit(0, s), x).astype(np.int64) << s for s in SHIFTS]
    assert np.sum(total, axis=0).tolist() == x.tolist()


def test_range_is_tight_where_no_bit_is_cut_off() -> None:
    assert Digit(0, 6).result_interval((operand(interval=Interval(130, 4095)),)) == Interval(2, 63)
    for wide in (Interval(0, 4096), Interval(-1, 5)):
        assert Digit(0, 6).result_interval((operand(interval=wide),)) == Interval(0, 63)


def test_blocks_join_without_a_seam() -> None:
    x = np.arange(200_000, dtype=np.int32)
    assert np.array_equal(apply(Digit(0, 5), x), x // 32 % 64)


def test_work_counts_four_bytes_an_element() -> None:
    op = Digit(0, 6)
    assert op.work((operand(),), op.result_type((operand(),))).item_bytes == 2 * 4 * 24


@pytest.mark.parametrize(
    ("x", "shift", "rule"),
    [
        (operand(constant=True), 0, "program-constant"),
        (operand(DType.INT8), 0, "program-dtype"),
        (operand(), 32, "program-attribute"),
    ],
)
def test_refuses_what_does_not_fit(x: Operand, shift: int, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Digit(0, shift).result_type((x,))
    assert caught.value.rule == rule
