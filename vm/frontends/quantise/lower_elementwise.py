"""Sums, products, quotients and clips of single elements."""

from functools import partial
from math import inf, prod
from typing import Final

import numpy as np

from ...ops import Blend, Concat, Divide, Multiply
from ...ops.fixed_point import magnitude
from ...types import DType
from ..graph import Node
from .encodings import fixed_point
from .lowering import Lowering, unsupported
from .rescale import WIDE_BITS, as_int32, ordered, reach, squeezed, widened
from .tape import Floats, Tape
from .wire import Wire

_MASKED: Final = -1000.0
"""What a mask adds to a score that must not count."""
_BEYOND: Final = 40.0
"""A score so far below all others has no weight after softmax, e⁻⁴⁰ of the largest."""
_QUOTIENT_BITS: Final = 20
_MAX_PARTS: Final = 16


def affine(state: Lowering, node: Node) -> Wire:
    """Scale and shift along one axis: free along the machine's last dimension."""
    x = settled(state.tape, state.wire(node.inputs[0]))
    scale, shift = (state.constant(name) for name in node.inputs[1:])
    along = [1] * len(x.order)
    along[node.integer("axis")] = len(scale)
    x = times_constant(state, x, scale.reshape(along))
    return plus_constant(state, x, shift.reshape(along))


def settled(tape: Tape, wire: Wire) -> Wire:
    """Return the value with its clip carried out."""
    return widened(tape, wire) if wire.clipped else wire


def add(state: Lowering, node: Node) -> Wire:
    """x + y."""
    return _sum(state, node, 1.0)


def sub(state: Lowering, node: Node) -> Wire:
    """x − y."""
    return _sum(state, node, -1.0)


def _sum(state: Lowering, node: Node, sign: float) -> Wire:
    x, y = node.inputs
    if state.is_constant(y):
        return plus_constant(state, _spread(state, node, x), sign * state.constant(y))
    if state.is_constant(x):
        negated = _spread(state, node, y).scaled(sign, 0.0)
        return plus_constant(state, negated, state.constant(x))
    a, b = settled(state.tape, state.wire(x)), settled(state.tape, state.wire(y)).scaled(sign, 0.0)
    shape = state.graph.shapes[node.output]
    if a.shape != shape:
        a, b = b, a
    if a.shape != shape:
        a = expanded(state.tape, a, shape)
    return _blend(state.tape, a, ordered(state.tape, b, a.order))


def _spread(state: Lowering, node: Node, name: str) -> Wire:
    """Return an operand, without a clip and in the shape of the node's result."""
    return expanded(
        state.tape, settled(state.tape, state.wire(name)), state.graph.shapes[node.output]
    )


def plus_constant(state: Lowering, x: Wire, constant: Floats) -> Wire:
    """Add a constant: for nothing where it is a number or one for each last channel."""
    aligned = _aligned(constant, x)
    if prod(aligned.shape[:-1]) == 1:
        return x.scaled(1.0, aligned.reshape(-1))
    size = reach(constant)
    integers = np.rint(aligned / size * 2 ** (WIDE_BITS - 1)).astype(np.int64)
    slot = state.tape.constant(integers, DType.INT32)
    y = Wire(slot, x.order, np.full(1, size / 2 ** (WIDE_BITS - 1)))
    return _blend(state.tape, x, y)


def _aligned(constant: Floats, x: Wire) -> Floats:
    """Return a constant with x's dimensions in the machine's order."""
    full = constant.reshape((1,) * (len(x.order) - constant.ndim) + constant.shape)
    return full.transpose(x.order)


def _blend(tape: Tape, x: Wire, y: Wire) -> Wire:
    """Return x + y, laid out alike, as wide numbers; y is spread over x, or constant."""
    x, y = _softened(x, y), _softened(y, x)
    if not y.uniform and y.slot.shape[-1] != x.slot.shape[-1]:
        y = widened(tape, y)
    total = _numbers(x) + _numbers(y)
    limit = 2 ** (WIDE_BITS - 1)
    scale = reach(total) / limit
    fixed = fixed_point(
        (x.scale / scale, y.scale / scale),
        (magnitude(x.slot.interval), magnitude(y.slot.interval)),
        (x.offset + y.offset) / scale,
    )
    constants = (
        tape.constant(squeezed(c), DType.INT32) for c in (*fixed.multipliers, fixed.offset)
    )
    x_factor, y_factor, offset = constants
    build = partial(Blend, up=fixed.up, shift=fixed.shift, dtype=DType.INT32, lo=-limit, hi=limit)
    slot = tape.op(build, x.slot, x_factor, y.slot, y_factor, offset)
    return Wire(slot, x.order, np.full(1, scale))


def _numbers(wire: Wire) -> Floats:
    """Return calibration data in the machine's order; a constant has no items."""
    return wire.slot.data * wire.scale + wire.offset


def _softened(mask: Wire, other: Wire) -> Wire:
    """Return a mask of zeros and very negative numbers with the latter no lower than need be."""
    numbers = _numbers(mask)
    lowest = float(numbers.min())
    if lowest > _MASKED or not np.all((numbers == 0) | (numbers <= _MASKED)):
        return mask
    if not mask.uniform:
        return mask
    enough = float(np.ptp(_numbers(other))) + _BEYOND
    return mask.scaled(min(1.0, enough / -lowest), 0.0)


def mul(state: Lowering, node: Node) -> Wire:
    """x · y."""
    x, y = node.inputs
    if state.is_constant(y):
        return times_constant(state, _spread(state, node, x), state.constant(y))
    if state.is_constant(x):
        return times_constant(state, _spread(state, node, y), state.constant(x))
    return _multiplied(state, node, state.wire(x), state.wire(y))


def _multiplied(state: Lowering, node: Node, x: Wire, y: Wire) -> Wire:
    shape = state.graph.shapes[node.output]
    if x.shape != shape:
        x, y = y, x
    x = widened(state.tape, expanded(state.tape, x, shape))
    y = widened(state.tape, ordered(state.tape, y, x.order))
    slot = state.tape.op(Multiply, x.slot, y.slot)
    return Wire(slot, x.order, x.scale * y.scale)


def times_constant(state: Lowering, x: Wire, constant: Floats) -> Wire:
    """Multiply by a constant: for nothing where it is a number or one for each last channel."""
    aligned = _aligned(constant, x)
    if prod(aligned.shape[:-1]) == 1:
        return x.scaled(aligned.reshape(-1), 0.0)
    x = widened(state.tape, x)
    scale = max(float(np.abs(constant).max()), 1e-20) / (2 ** (WIDE_BITS - 1) - 1)
    y = state.tape.constant(np.rint(aligned / scale).astype(np.int64), DType.INT32)
    return Wire(state.tape.op(Multiply, x.slot, y), x.order, x.scale * scale)


def div(state: Lowering, node: Node) -> Wire:
    """x ÷ y: y constant, or computed and never negative; x ÷ ‖x‖ is recognised beforehand."""
    x, y = node.inputs
    if state.is_constant(y):
        return times_constant(state, _spread(state, node, x), 1 / state.constant(y))
    if state.is_constant(x):
        raise unsupported(node, "dividing by a computed value: use reciprocal and a product")
    numerator = widened(state.tape, _spread(state, node, x))
    divisor = widened(state.tape, state.wire(y))
    if divisor.slot.interval.lo < 0 and divisor.slot.data.min() < 0:
        raise unsupported(node, "the divisor can be negative: divide by its absolute value")
    if divisor.slot.interval.lo < 0:
        divisor = widened(state.tape, divisor.clip(0.0, inf))
    divisor = ordered(state.tape, divisor, numerator.order)
    divisors = as_int32(state.tape, divisor.slot)
    bound = reach(state.reference)
    limit = 2 ** (WIDE_BITS - 1)
    ratio = float(numerator.scale[0] / divisor.scale[0])
    fine = ratio / (bound / limit)
    shift = int(np.clip(_QUOTIENT_BITS - np.floor(np.log2(fine)), 0, 30))
    multiplier = max(1, round(fine * 2**shift))
    build = partial(
        Divide, multiplier=multiplier, shift=shift, dtype=DType.INT32, lo=-limit, hi=limit
    )
    slot = state.tape.op(build, numerator.slot, divisors)
    return Wire(slot, numerator.order, np.full(1, ratio / multiplier * 2**shift))


def relu(state: Lowering, node: Node) -> Wire:
    """A clip, which the next rescaling carries out."""
    return state.wire(node.inputs[0]).clip(0.0, inf)


def clamp(state: Lowering, node: Node) -> Wire:
    """A clip, which the next rescaling carries out."""
    return state.wire(node.inputs[0]).clip(node.number("low"), node.number("high"))


def expanded(tape: Tape, wire: Wire, shape: tuple[int, ...]) -> Wire:
    """Return the value repeated along its axes of length 1 to the given shape."""
    if wire.shape == shape:
        return wire
    missing = len(shape) - len(wire.order)
    if missing:
        raise ValueError("operands of elementwise ops have the same number of dimensions")
    for axis, (have, want) in enumerate(zip(wire.shape, shape, strict=True)):
        if have != want:
            if wire.order[-1] == axis:
                wire = wire if wire.uniform else widened(tape, wire)
            wire = _repeated(tape, wire, wire.order.index(axis), want)
    return wire


def _repeated(tape: Tape, wire: Wire, dimension: int, count: int) -> Wire:
    """Join copies, at most sixteen at a time."""
    slot, length = wire.slot, 1
    scale, offset = wire.scale, wire.offset
    pieces = {1: slot}
    while length < count:
        times = min(_MAX_PARTS, count // length)
        if times > 1:
            slot = tape.op(partial(_concat, dimension), *([slot] * times))
            length *= times
            pieces[length] = slot
            continue
        rest = max(piece for piece in pieces if piece <= count - length)
        slot = tape.op(partial(_concat, dimension), slot, pieces[rest])
        length += rest
    if dimension == len(wire.order) - 1:
        scale, offset = scale[:1], offset[:1]
    return Wire(slot, wire.order, scale, offset, wire.low, wire.high)


def _concat(dimension: int, *values: int) -> Concat:
    return Concat(values, dimension)
