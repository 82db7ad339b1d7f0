"""Wires keep their meaning through every change of encoding."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.vm.frontends.quantise.rescale import ordered, to_operand, two_limbs, widened
from pouw.vm.frontends.quantise.tape import Tape
from pouw.vm.frontends.quantise.wire import Wire
from pouw.vm.ops import Multiply
from pouw.vm.types import Declaration, DType, Interval, TensorType

SHAPE = (2, 3, 5)


@st.composite
def wires(draw: st.DrawFn) -> tuple[Tape, Wire]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(DType))
    limit = 64 if dtype is DType.INT8 else draw(st.sampled_from([200, 2**20]))
    order = draw(st.permutations(range(3)))
    data = rng.integers(-limit, limit, (4, *SHAPE)).astype(dtype.storage)
    tape = Tape(Declaration(TensorType(dtype, SHAPE), Interval(-limit, limit - 1)), data)
    channels = draw(st.sampled_from([1, SHAPE[-1]]))
    sign = draw(st.sampled_from([1.0, -1.0]))
    scale = sign * rng.uniform(0.5, 2, channels) / limit
    offset = rng.normal(size=channels) * draw(st.sampled_from([0.0, 0.3]))
    low, high = draw(st.sampled_from([(-inf, inf), (0.0, inf), (-0.5, 0.25)]))
    return tape, Wire(tape.source, tuple(order), scale, offset, low, high)


@settings(max_examples=60)
@given(wires())
def test_operands_are_off_by_half_a_step(case: tuple[Tape, Wire]) -> None:
    tape, wire = case
    scale, zero = np.full(1, 0.04), 5
    slot = to_operand(tape, wire, scale, -scale * zero)
    found = Wire(slot, wire.order, scale, -scale * zero)
    wanted = np.clip(wire.real(), 0.04 * (-64 - zero), 0.04 * (63 - zero))
    # A second rounding, of the bias or to a wide number, and of the clip, adds to the first.
    assert np.abs(found.real() - wanted).max() <= 0.04 * 0.76


@settings(max_examples=60)
@given(wires())
def test_wide_numbers_are_plain_and_close(case: tuple[Tape, Wire]) -> None:
    tape, wire = case
    wide = widened(tape, wire)
    assert wide.plain
    assert wide.slot.interval.within(Interval(-(2**15), 2**15))
    assert np.abs(wide.real() - wire.real()).max() <= 1.01 * np.abs(wide.scale).max()


@settings(max_examples=40)
@given(wires())
def test_two_limbs_hold_thirteen_bits(case: tuple[Tape, Wire]) -> None:
    tape, wire = case
    real = wire.real()
    bound = float(np.abs(real).max())
    low, high, scale = two_limbs(tape, wire, bound)
    assert low.dtype is DType.INT8 and high.dtype is DType.INT8
    whole = low.data.astype(np.int64) + 64 * high.data.astype(np.int64)
    found = Wire(low, wire.order).real() + 64 * Wire(high, wire.order).real()
    assert np.abs(found * scale - real).max() <= 0.51 * scale
    assert np.abs(whole).max() <= 63 * 64
    assert scale == pytest.approx(bound / (63 * 64))


@settings(max_examples=60)
@given(wires(), st.permutations(range(3)))
def test_reordering_moves_nothing_in_the_graph(case: tuple[Tape, Wire], order: list[int]) -> None:
    tape, wire = case
    turned = ordered(tape, wire, tuple(order))
    assert turned.order == tuple(order)
    assert turned.shape == wire.shape
    step = 0 if wire.uniform or order[-1] == wire.order[-1] else np.abs(turned.scale).max()
    assert np.abs(turned.real() - wire.real()).max() <= 1.01 * step + 1e-12


@pytest.mark.parametrize(("low", "high"), [(0.0, inf), (0.0, 1.0)])
def test_masks_stay_whole_numbers(low: float, high: float) -> None:
    data = np.array([[0, 1, 1]], np.int32)
    tape = Tape(Declaration(TensorType(DType.INT32, (3,)), Interval(0, 9)), data)
    wide = widened(tape, Wire(tape.source, (0,)).clip(low, high))
    assert wide.exact and wide.slot.data.tolist() == [[0, 1, 1]]


def test_the_tape_refuses_what_the_machine_would() -> None:
    data = np.array([[2**30]], np.int32)
    tape = Tape(Declaration(TensorType(DType.INT32, (1,)), Interval(0, 2**30)), data)
    with pytest.raises(UserError, match="could leave"):
        tape.op(Multiply, tape.source, tape.source)
