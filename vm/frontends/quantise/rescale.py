"""Turning wires into the integers an op wants: operands, wide numbers, another order of axes."""

from dataclasses import dataclass
from functools import partial
from math import ceil, floor, inf
from typing import Final

import numpy as np

from ...limits import OPERAND_MAX, OPERAND_MIN
from ...ops import Add, Affine, Bias, Relu, Requantise, Reshape, Transpose
from ...ops.fixed_point import magnitude
from ...types import DType
from .encodings import fixed_point
from .tape import Floats, Ints, Slot, Tape
from .wire import Wire, identity

WIDE_BITS: Final = 16
"""Wide numbers lie in ±2¹⁵: two of them multiply, and a row of 1,200 has its size taken."""
_MARGIN: Final = 2.0
"""Wide ranges reach so much farther than calibration did: a bit costs nothing there."""
_FINE: Final = 1 / 4
"""A bias is rounded to units of an accumulator; it may be if those are so small a part."""
_INT32: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Operand8:
    """A value as one or two operands: scale·(limbs[0] + 64·limbs[1]) + offset, per channel."""

    limbs: tuple[Slot, ...]
    scale: Floats
    offset: Floats
    order: tuple[int, ...]

    def real(self) -> Floats:
        """Return the calibration data as real numbers, in the machine's order."""
        q = sum(limb.data.astype(np.int64) << 6 * i for i, limb in enumerate(self.limbs))
        return q * self.scale + self.offset

    @property
    def zeros(self) -> tuple[int, ...]:
        """The integers that stand for zero in each limb, where there are any."""
        zero = int(np.rint(-self.offset[0] / self.scale[0]))
        return (zero,) if len(self.limbs) == 1 else (0, 0)


def to_operand(tape: Tape, wire: Wire, scale: Floats, offset: Floats) -> Slot:
    """Return int8 with real = scale·q + offset, each (1,) or (n,), clipped to what fits."""
    lows, highs = (wire.low - offset) / scale, (wire.high - offset) / scale
    if wire.clipped and (np.ptp(_finite(lows)) > 0 or np.ptp(_finite(highs)) > 0):
        wire = widened(tape, wire)
        lows, highs = np.array([-inf]), np.array([inf])
    lo = int(np.rint(max(OPERAND_MIN, min(float(lows[0]), OPERAND_MAX))))
    hi = int(np.rint(min(OPERAND_MAX, max(float(highs[0]), OPERAND_MIN))))
    factor, shift = wire.scale / scale, (wire.offset - offset) / scale
    if wire.narrow and np.all(factor == 1) and np.all(shift == 0) and not wire.clipped:
        return wire.slot
    bias = np.rint(shift / factor) if np.all(factor > 0) else np.full(1, np.inf)
    room = magnitude(wire.slot.interval) + float(np.abs(bias).max())
    if wire.narrow or np.any(factor <= 0) or factor.max() > _FINE or room > _INT32:
        return _affine(tape, wire.slot, factor, shift, (DType.INT8, lo, hi))
    slot = wire.slot
    if np.any(bias != 0):
        channels = np.broadcast_to(bias, slot.shape[-1:])
        slot = tape.op(Bias, slot, tape.constant(channels.astype(np.int64), DType.INT32))
    fixed = fixed_point((factor,), (magnitude(slot.interval),), np.zeros(1))
    multiplier = tape.constant(squeezed(np.maximum(fixed.multipliers[0], 1)), DType.INT32)
    return tape.op(partial(_requantise, fixed.shift, lo, hi), slot, multiplier)


def _finite(x: Floats) -> Floats:
    return np.where(np.isfinite(x), x, 0.0)


def _requantise(shift: int, lo: int, hi: int, x: int, multiplier: int) -> Requantise:
    return Requantise(x, multiplier, shift, lo, hi)


def squeezed(x: Ints) -> Ints:
    """Return one number instead of many that are the same."""
    return x[:1] if np.all(x == x[0]) else x


def _affine(
    tape: Tape, slot: Slot, factor: Floats, shift: Floats, result: tuple[DType, int, int]
) -> Slot:
    dtype, lo, hi = result
    fixed = fixed_point((factor,), (magnitude(slot.interval),), shift)
    multiplier = tape.constant(squeezed(fixed.multipliers[0]), DType.INT32)
    offset = tape.constant(squeezed(fixed.offset), DType.INT32)
    build = partial(Affine, up=fixed.up, shift=fixed.shift, dtype=dtype, lo=lo, hi=hi)
    return tape.op(build, slot, multiplier, offset)


def reach(x: Floats) -> float:
    """Return how far a wide encoding of x should reach from zero."""
    return max(float(np.abs(x).max()) * _MARGIN, 1e-20)


def widened(tape: Tape, wire: Wire, bits: int = WIDE_BITS, bound: float | None = None) -> Wire:
    """Return the value as int32 with one positive scale, no offset and at most `bits` bits.

    `bound` is the largest absolute value that must not be clipped; from calibration by default.
    """
    limit = 2 ** (bits - 1)
    small = magnitude(wire.slot.interval) <= limit
    if bound is None and wire.plain and small:
        return wire
    if bound is None and wire.counts and small:
        slot = limited(tape, wire, ceil(max(wire.low, -limit)), floor(min(wire.high, limit)))
        return Wire(slot, wire.order)
    if bound is None and small and wire.rectified:
        return Wire(tape.op(Relu, wire.slot), wire.order, wire.scale, wire.offset)
    scale = (reach(wire.real()) if bound is None else bound) / limit
    lo = int(max(-limit, np.rint(max(wire.low, -limit * scale) / scale)))
    hi = int(min(limit, np.rint(min(wire.high, limit * scale) / scale)))
    result = (DType.INT32, lo, max(lo, hi))
    slot = _affine(tape, wire.slot, wire.scale / scale, wire.offset / scale, result)
    return Wire(slot, wire.order, np.full(1, scale))


def rescaled(tape: Tape, wire: Wire, step: float, start: float, clamp: tuple[int, int]) -> Slot:
    """Return (value − start) ÷ step as int32 in `clamp`; the wire has no clip of its own."""
    offset = np.broadcast_to((wire.offset - start) / step, wire.scale.shape)
    return _affine(tape, wire.slot, wire.scale / step, offset, (DType.INT32, *clamp))


def limited(tape: Tape, wire: Wire, lo: int, hi: int) -> Slot:
    """Return the integers as int32, held to [lo, hi] as the machine sees it."""
    if not wire.narrow and lo <= wire.slot.interval.lo and wire.slot.interval.hi <= hi:
        return wire.slot
    return _affine(tape, wire.slot, np.ones(1), np.zeros(1), (DType.INT32, lo, hi))


def as_int32(tape: Tape, slot: Slot) -> Slot:
    """Return the same integers in 32 bits."""
    if slot.dtype is DType.INT32:
        return slot
    return tape.op(partial(Add, factor=1), slot, tape.constant(np.array([0]), DType.INT32))


def two_limbs(tape: Tape, wire: Wire, bound: float) -> tuple[Slot, Slot, float]:
    """Return (low, high, scale): real = scale·(low + 64·high), thirteen bits of it.

    Both are signed, so there is no zero to make up for: high is the nearest multiple of 64, low
    what remains, in [−32, 31].
    """
    limit = OPERAND_MAX * 64
    scale = bound / limit
    lo = int(np.clip(np.rint(wire.low / scale), -limit, limit))
    hi = int(np.clip(np.rint(wire.high / scale), -limit, limit))
    whole = _affine(
        tape, wire.slot, wire.scale / scale, wire.offset / scale, (DType.INT32, lo, max(lo, hi))
    )
    high = requantised(tape, whole, 6)
    rest = tape.op(partial(Add, factor=-64), whole, high)
    return requantised(tape, rest, 0), high, scale


def requantised(tape: Tape, slot: Slot, shift: int) -> Slot:
    """Return slot ÷ 2^shift, rounded, as int8."""
    double = tape.constant(np.array([2]), DType.INT32)
    return tape.op(partial(_requantise, shift + 1, OPERAND_MIN, OPERAND_MAX), slot, double)


def combined(tape: Tape, low: Slot, high: Slot) -> Slot:
    """Return low + 64·high."""
    return tape.op(partial(Add, factor=64), low, high)


def reshaped(tape: Tape, slot: Slot, shape: tuple[int, ...]) -> Slot:
    """Return the same elements in another shape."""
    return slot if slot.shape == shape else tape.op(partial(Reshape, shape=shape), slot)


def ordered(tape: Tape, wire: Wire, order: tuple[int, ...] | None = None) -> Wire:
    """Return the value with its machine dimensions in the given order of the graph's axes."""
    wanted = identity(len(wire.order)) if order is None else order
    if wire.order == wanted:
        return wire
    lengths = wire.shape
    shape = tuple(lengths[axis] for axis in wanted)
    moved = [axis for axis in wanted if lengths[axis] > 1]
    stays = moved == [axis for axis in wire.order if lengths[axis] > 1]
    last_stays = wire.order[-1] == wanted[-1]
    if not wire.uniform and not last_stays:
        wire = widened(tape, wire)
    elif wire.uniform:
        wire = Wire(wire.slot, wire.order, wire.scale[:1], wire.offset[:1], wire.low, wire.high)
    if stays:
        slot = reshaped(tape, wire.slot, shape)
    else:
        perm = tuple(wire.order.index(axis) for axis in wanted)
        slot = tape.op(partial(Transpose, perm=perm), wire.slot)
    return Wire(slot, wanted, wire.scale, wire.offset, wire.low, wire.high)
