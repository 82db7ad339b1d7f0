"""Powers: the table by exact roots, the op step by step, its distance from the real power."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.ops.apply import apply
from pouw.vm.ops.exp import Exp, power
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType

RANGE = Interval(-100, 100)


def operand(
    dtype: DType = DType.INT32,
    shape: Shape = (2, 4),
    constant: bool = False,
    interval: Interval = RANGE,
) -> Operand:
    return Operand(TensorType(dtype, shape), interval, constant)


TABLE = [power(f) for f in range(257)]


def numerator(op: Exp, below: int) -> int:
    """Return the op's y for max − x = below, as the docstring has it."""
    t = (below * op.multiplier + 2 ** (op.shift - 1)) // 2**op.shift
    n, f, g = min(t // 65536, 32), t // 256 % 256, t % 256
    w = TABLE[f] - (TABLE[f] - TABLE[f + 1]) * g // 256
    return (w * op.peak + 2 ** (29 + n)) // 2 ** (30 + n)


def test_every_power_is_the_nearest_integer() -> None:
    for f in range(257):
        target, twice = 1 << (31 * 256 - f), 2 * TABLE[f]
        assert (twice - 1) ** 256 <= target <= (twice + 1) ** 256


def test_the_table_is_fixed() -> None:
    assert [TABLE[f] for f in (0, 1, 128, 255, 256)] == [
        1073741824, 1070838486, 759250125, 538326517, 536870912,
    ]  # fmt: skip
    data = b"".join(number.to_bytes(4, "little") for number in TABLE)
    assert blake3(data).hexdigest() == (
        "9c5edb9991e9816fce052c27cbfaa19190b23db7a3de6e95276b0333b1881180"
    )


@settings(max_examples=50)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.sampled_from([1, 30, 2000, 2**29]),
    st.integers(1, 2**31 - 1),
    st.integers(1, 50),
    st.integers(1, 2**16),
)
def test_equals_python_integers(
    seed: int,
    shape: list[int],
    span: int,
    multiplier: int,
    shift: int,
    peak: int,
) -> None:
    x = np.random.default_rng(seed).integers(-span, span, (2, *shape)).astype(np.int32)
    op = Exp(0, multiplier, shift, peak)
    result = apply(op, x)
    for row, got in zip(x.reshape(-1, shape[-1]), result.reshape(-1, shape[-1]), strict=True):
        assert got.tolist() == [numerator(op, int(row.max()) - int(e)) for e in row]


def test_never_farther_from_the_real_power_than_stated() -> None:
    """Every t from 0 to where y is 0, at the largest peak."""
    t = np.arange(18 << 16, dtype=np.int32)
    rows = np.zeros((36, 1 + 2**15), np.int32)  # each starts with its maximum, 0
    rows[:, 1:] = -t.reshape(36, 2**15)
    y = apply(Exp(0, 1 << 20, 20, 2**16), rows)[:, 1:].reshape(-1)
    real = np.exp2(16 - t / 2**16)
    assert y[0] == 2**16 and y[-1] == 0
    assert 0.5 < np.abs(y - real).max() < 0.56


def test_softmax_numerators_of_a_real_scale() -> None:
    """y = peak · exp(−s·(max − x)), for a scale whose multiplier is not exact."""
    with localcontext() as context:
        context.prec = 40
        scale = Decimal("0.0123")
        multiplier = int((scale * 2**16 / Decimal(2).ln() * 2**20).to_integral_value())
        x = np.arange(-1400, 1, 7, dtype=np.int32)[None]
        y = apply(Exp(0, multiplier, 20, 4095), x)[0]
        for below, got in zip((-x[0]).tolist(), y.tolist(), strict=True):
            assert abs(got - 4095 * (-scale * below).exp()) < Decimal("0.53")


def test_rows_are_independent_and_shifts_of_a_row_change_nothing() -> None:
    x = np.array([[[5, 1, -9], [1005, 1001, 991]]], np.int32)
    y = apply(Exp(0, 1000, 3, 1000), x)
    assert y[0, 0].tolist() == y[0, 1].tolist() and y[0, 0, 0] == 1000


def test_blocks_join_without_a_seam() -> None:
    x = np.random.default_rng(5).integers(-999, 999, (3, 30_000, 3)).astype(np.int32)
    op = Exp(0, 12345, 8, 63)
    assert np.array_equal(apply(op, x)[2, -5:], apply(op, x[2:, -5:])[0])


def test_intermediates_reach_the_end_of_int64_and_no_further() -> None:
    x = np.array([[-(2**31), 2**31 - 1]], np.int32)
    # The largest distance times the largest multiplier leaves room for a half of 2³² and more.
    assert apply(Exp(0, 2**31 - 1, 33, 9), x).tolist() == [[0, 9]]
    with pytest.raises(RuleViolation) as caught:
        apply(Exp(0, 2**31 - 1, 62, 9), x)
    assert caught.value.rule == "program-overflow"


def test_range_ends_at_the_peak() -> None:
    op = Exp(0, 1 << 16, 1, 4095)
    # Distances go to 4: t = 2, and 4095 ÷ 4 is 1023.75.
    assert op.result_interval((operand(interval=Interval(-2, 2)),)) == Interval(1024, 4095)
    assert op.result_interval((operand(interval=Interval(7, 7)),)) == Interval(4095, 4095)
    assert op.result_interval((operand(),)) == Interval(0, 4095)


def test_work() -> None:
    op = Exp(0, 1, 1, 1)
    assert op.work((operand(),), op.result_type((operand(),))).item_bytes == (
        24 * 4 * 16 + 2 * 1024
    )


@pytest.mark.parametrize(
    ("x", "rule"),
    [
        (operand(constant=True), "program-constant"),
        (operand(DType.INT8), "program-dtype"),
        (operand(shape=()), "program-shape"),
    ],
)
def test_refuses_operands_that_do_not_fit(x: Operand, rule: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        Exp(0, 1, 1, 1).result_type((x,))
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("multiplier", "shift", "peak"),
    [(0, 1, 1), (2**31, 1, 1), (1, 0, 1), (1, 63, 1), (1, 1, 0), (1, 1, 2**16 + 1)],
)
def test_refuses_attributes_out_of_range(multiplier: int, shift: int, peak: int) -> None:
    with pytest.raises(RuleViolation) as caught:
        Exp(0, multiplier, shift, peak).result_type((operand(),))
    assert caught.value.rule == "program-attribute"
