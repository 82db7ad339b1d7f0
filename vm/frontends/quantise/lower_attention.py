"""Products of computed values and what attention does between them."""

from functools import partial
from math import floor, log2
from typing import Final

import numpy as np

from ...ops import Add, BatchMatmul, Digit, Divide, Exp, RowSum
from ...types import DType, Interval
from ..graph import Node
from .lower_elementwise import settled
from .lowering import Lowering, Product, bound_of, symmetric_operand
from .rescale import as_int32, combined, ordered, two_limbs, widened
from .tape import Slot, Tape
from .uses import PAIRS
from .weights import decibels
from .wire import Wire, identity

_SHARES: Final = 4095
"""Probabilities in twelve bits: two base-64 digits."""
_DIGITS: Final = Interval(0, _SHARES)
_ONE_DIGIT: Final = 63
_FINE_SHARES: Final = 2**20
_PEAK_BITS: Final = 16
_MULTIPLIER_BITS: Final = 30


def softmax(state: Lowering, node: Node) -> Wire:
    """Powers, their sum, and the quotient."""
    tape = state.tape
    x = settled(tape, state.wire(node.inputs[0]))
    if not x.uniform or x.scale[0] <= 0:
        x = widened(tape, x)
    x = ordered(tape, x)
    n = x.slot.shape[-1]
    factor = float(x.scale[0]) * 2**16 / np.log(2)
    shift = int(np.clip(floor(_MULTIPLIER_BITS - log2(factor)), 1, 62))
    multiplier = max(1, round(factor * 2**shift))
    peak = 2 ** min(_PEAK_BITS, 30 - n.bit_length())
    powers = tape.op(
        partial(Exp, multiplier=multiplier, shift=shift, peak=peak), as_int32(tape, x.slot)
    )
    whole = _SHARES if all(u.op in PAIRS for u in state.uses.ends(node.output)) else _FINE_SHARES
    divide = partial(Divide, multiplier=whole, shift=0, dtype=DType.INT32, lo=0, hi=whole)
    shares = tape.op(divide, powers, tape.op(RowSum, powers))
    return Wire(shares, x.order, np.full(1, 1 / whole))


def matmul(state: Lowering, node: Node) -> Wire:
    """a·b, both computed, each of one or two operands per number."""
    a, b = (state.wire(name) for name in node.inputs)
    double = node.output in state.uses.two_limbed
    one_row = state.graph.shapes[node.output][-2] == 1
    dims = len(a.order)
    left, left_scale = _limbs(state.tape, a, identity(dims), double=double and not one_row)
    turned = (*range(dims - 2), dims - 1, dims - 2)
    right, right_scale = _limbs(state.tape, b, turned, double=double or one_row)
    slot, scale = _product(state.tape, left, right)
    result = Wire(slot, identity(dims), np.full(1, scale * left_scale * right_scale))
    wanted = a.real() @ b.real()
    macs = wanted[0].size * a.shape[-1]
    noise = [decibels(wanted, result.real() - wanted), *map(state.lost, node.inputs)]
    sqnr = -10 * np.log10(sum(10 ** (-decibel / 10) for decibel in noise))
    state.products[node.output] = Product(float(sqnr), macs, max(len(left), len(right)))
    return result


def _limbs(
    tape: Tape, wire: Wire, order: tuple[int, ...], *, double: bool
) -> tuple[list[Slot], float]:
    """Return the operands, lowest first, and the scale of the lowest."""
    if wire.plain and not wire.narrow and wire.slot.interval.within(_DIGITS):
        wire = ordered(tape, wire, order)
        if wire.slot.interval.hi <= _ONE_DIGIT:
            return [tape.op(partial(Digit, shift=0), wire.slot)], float(wire.scale[0])
        digits = [tape.op(partial(Digit, shift=shift), wire.slot) for shift in (0, 6)]
        return digits, float(wire.scale[0])
    if double:
        wire = ordered(tape, wire, order)
        low, high, scale = two_limbs(tape, wire, bound_of(wire.real()))
        return [low, high], scale
    slot, scale = symmetric_operand(tape, wire)
    return [ordered(tape, Wire(slot, wire.order), order).slot], scale


def _product(tape: Tape, left: list[Slot], right: list[Slot]) -> tuple[Slot, float]:
    """Return the sum of the products of all limbs, and its scale.

    Of two by two, the product of both low limbs is left out: it is as small as the rounding.
    """

    def times(i: int, j: int) -> Slot:
        return tape.op(BatchMatmul, left[i], right[j])

    if len(left) == len(right) == 1:
        return times(0, 0), 1.0
    if len(left) == 1:
        return combined(tape, times(0, 0), times(0, 1)), 1.0
    if len(right) == 1:
        return combined(tape, times(0, 0), times(1, 0)), 1.0
    middle = tape.op(partial(Add, factor=1), times(0, 1), times(1, 0))
    return combined(tape, middle, times(1, 1)), 64.0
