"""Functions of one number, by table.

Seven bits in, any function out: one Lookup. Where that loses too much, twelve bits in: the high
digit picks a knot and a slope, the low one goes along the slope.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from ...limits import OPERAND_MAX, OPERAND_MIN
from ...ops import Add, Digit, Lookup, Multiply
from ...types import DType
from ..floats import UNARY_FUNCTIONS
from ..graph import Node
from .encodings import Encoding, best_encoding, sample, spanning
from .lower_elementwise import settled
from .lowering import Lowering, unsupported
from .rescale import reach, rescaled, to_operand
from .tape import Floats, Ints
from .uses import PRODUCTS
from .weights import decibels
from .wire import Wire

_OPERANDS: Final = np.arange(OPERAND_MIN, OPERAND_MAX + 1)
_SHRINKS: Final = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
_SEGMENTS: Final = 64
_RESULT_BITS: Final = 22
_HUGE: Final = 1e30
_MARGIN: Final = 0.05
_PARTS: Final = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.08)
_NEGLIGIBLE: Final = 64
"""Units of the result, of which there are 2²², that no line is worth two ops for."""


def unary(state: Lowering, node: Node) -> Wire:
    """A function of each element: seven bits where products alone read it and that is enough."""
    x = state.wire(node.inputs[0])
    if state.uses.only_for(node.output, PRODUCTS):
        values = sample(x.real())
        wanted = _function(node, values)
        source, result = _least_error(node, values, wanted), best_encoding(wanted)
        found = result.rounded(_function(node, source.rounded(values)))
        if np.isfinite(found).all() and decibels(wanted, found - wanted) >= state.floor:
            return _direct(state, node, x, source, result)
    return _interpolated(state, node, x)


def _function(node: Node, x: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return UNARY_FUNCTIONS[node.text("function")](x.astype(np.float64))


def _direct(state: Lowering, node: Node, x: Wire, source: Encoding, result: Encoding) -> Wire:
    slot = to_operand(state.tape, x, np.full(1, source.scale), np.full(1, source.offset))
    exact = _function(node, (_OPERANDS - source.zero) * source.scale)
    exact = np.clip(np.nan_to_num(exact), -_HUGE, _HUGE)
    table = np.clip(np.rint(exact / result.scale) + result.zero, OPERAND_MIN, OPERAND_MAX)
    y = state.tape.op(Lookup, slot, state.tape.constant(table.astype(np.int64), DType.INT8))
    return Wire(y, x.order, np.full(1, result.scale), np.full(1, result.offset))


def _least_error(node: Node, values: Floats, wanted: Floats) -> Encoding:
    """Return the encoding of the argument with the least error of the result."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    candidates = [spanning(low * a, high * b) for a in _SHRINKS for b in _SHRINKS]
    errors: list[float] = []
    for candidate in candidates:
        error = np.square(_function(node, candidate.rounded(values)) - wanted).sum()
        errors.append(float(error) if np.isfinite(error) else np.inf)
    return candidates[int(np.argmin(errors))]


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """A function as 64 chords over [low, high], and straight lines beyond."""

    low: float
    high: float
    knots: Floats
    """(65,)"""
    below: float
    above: float
    """Slopes of the lines."""

    def __call__(self, x: Floats) -> Floats:
        places = np.linspace(self.low, self.high, _SEGMENTS + 1)
        beyond = self.above * np.maximum(x - self.high, 0) + self.below * np.minimum(
            x - self.low, 0
        )
        return np.interp(x, places, self.knots) + beyond


def _curve(node: Node, low: float, high: float, ends: tuple[float, float]) -> _Curve:
    """Return the chords over [low, high], and lines from there to the ends of the domain."""
    places = np.linspace(low, high, _SEGMENTS + 1)
    first, last = _function(node, np.array(ends))
    knots = _function(node, places)
    below = (knots[0] - first) / (low - ends[0]) if low > ends[0] else 0.0
    above = (last - knots[-1]) / (ends[1] - high) if high < ends[1] else 0.0
    return _Curve(low, high, knots, float(below), float(above))


def _best_curve(node: Node, values: Floats) -> _Curve:
    """Return the curve with the least squared error on the values."""
    ends = _domain(node, float(values.min()), float(values.max()))
    centre = min(max(0.0, ends[0]), ends[1])
    curves = [
        _curve(node, centre + (ends[0] - centre) * a, centre + (ends[1] - centre) * b, ends)
        for a in _PARTS
        for b in _PARTS
        if (ends[1] - centre) * b > (ends[0] - centre) * a
    ]
    wanted = _function(node, values)
    errors = [float(np.square(curve(values) - wanted).sum()) for curve in curves]
    best = int(np.nanargmin(errors)) if np.isfinite(errors).any() else 0
    if not np.isfinite(errors[best]):
        span = f"[{ends[0]:.4g}, {ends[1]:.4g}]"
        raise unsupported(node, f"{node.text('function')} is not finite over {span}")
    return curves[best]


def _interpolated(state: Lowering, node: Node, x: Wire) -> Wire:
    """Twelve bits of the argument within the curve, sixteen beyond."""
    tape = state.tape
    x = settled(tape, x)
    values = sample(x.real())
    curve = _best_curve(node, values)
    last = _SEGMENTS * 64
    step = (curve.high - curve.low) / last
    place = rescaled(tape, x, step, curve.low, (0, last - 1))
    segment, along = (tape.op(partial(Digit, shift=shift), place) for shift in (6, 0))
    scale = reach(_function(node, values)) / 2**_RESULT_BITS
    heights = np.rint(curve.knots[:-1] / scale).astype(np.int64)
    slopes = np.rint(np.diff(curve.knots) / scale / 64).astype(np.int64)
    base = tape.op(Lookup, segment, tape.constant(_upper_half(heights), DType.INT32))
    slope = tape.op(Lookup, segment, tape.constant(_upper_half(slopes), DType.INT32))
    y = tape.op(partial(Add, factor=1), base, tape.op(Multiply, slope, along))
    most = 2 ** (_RESULT_BITS + 1)
    for line, end, upper in ((curve.above, curve.high, True), (curve.below, curve.low, False)):
        if abs(line) * (values.max() - values.min()) > scale * _NEGLIGIBLE:
            clamp = (0, most) if upper == (line > 0) else (-most, 0)
            beyond = rescaled(tape, x, scale / line, end, clamp)
            y = tape.op(partial(Add, factor=1), y, beyond)
    return Wire(y, x.order, np.full(1, scale))


def _upper_half(entries: Ints) -> Ints:
    """Return a table whose entries for 0 … 63 are these; the others are never read."""
    return np.concatenate([np.full(-OPERAND_MIN, entries[0]), entries])


def _domain(node: Node, low: float, high: float) -> tuple[float, float]:
    """Return the range to tabulate: what was seen and a little more where the function allows."""
    margin = max((high - low) * _MARGIN, 1e-12)
    finite = [
        bool(np.isfinite(_function(node, np.array([end]))).all())
        for end in (low - margin, high + margin)
    ]
    below = finite[0] and not (low > 0 >= low - margin)
    return low - margin * below, high + margin * finite[1]
