"""Choosing what integers stand for: ranges that lose least, and fixed-point constants.

An operand q in [−64, 63] stands for scale·(q − zero), after Jacob et al. (arXiv 1712.05877). Ranges
are not the extremes seen but those with the least squared error over the calibration data: a rare
outlier is cut off where that lets all others be written more finely.
"""

from dataclasses import dataclass
from math import floor, inf, log2
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...limits import MAX_SHIFT, MIN_SHIFT, OPERAND_MAX, OPERAND_MIN
from .tape import Floats

_LEVELS: Final = OPERAND_MAX - OPERAND_MIN
_SMALLEST: Final = 1e-30
_SAMPLE: Final = 1 << 15
_SHRINKS: Final = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
_MULTIPLIER_BITS: Final = 31
_WIDE_BITS: Final = 62


@dataclass(frozen=True, slots=True)
class Encoding:
    """real = scale·(q − zero), q in [−64, 63]."""

    scale: float
    zero: int

    @property
    def offset(self) -> float:
        """The real number that q = 0 stands for."""
        return -self.scale * self.zero

    def rounded(self, x: Floats) -> Floats:
        """Return what remains of x after encoding and decoding."""
        q = np.clip(np.rint(x / self.scale) + self.zero, OPERAND_MIN, OPERAND_MAX)
        return (q - self.zero) * self.scale


def spanning(low: float, high: float) -> Encoding:
    """Return the encoding that covers [low, high] and zero, which it represents exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / _LEVELS
    if scale < _SMALLEST:  # nothing but zeros; any scale will do
        return Encoding(1.0, 0)
    zero = int(np.clip(np.rint(OPERAND_MIN - low / scale), OPERAND_MIN, OPERAND_MAX))
    needed = [scale]
    if zero > OPERAND_MIN:
        needed.append(-low / (zero - OPERAND_MIN))
    if zero < OPERAND_MAX:
        needed.append(high / (OPERAND_MAX - zero))
    return Encoding(max(needed), zero)


def symmetric(bound: float) -> Encoding:
    """Return the encoding of [−bound, bound] whose zero is 0."""
    return Encoding(bound / OPERAND_MAX if bound > _SMALLEST else 1.0, 0)


def sample(x: Floats) -> Floats:
    """Return a flat selection of the elements that always holds the extremes.

    Not every so many-th, which might be those of a few channels.
    """
    flat = x.reshape(-1)
    if flat.size <= _SAMPLE:
        return flat
    picked = flat[np.random.default_rng(0).integers(0, flat.size, _SAMPLE)]
    return np.concatenate([picked, [flat.min(), flat.max()]])


def best_encoding(x: Floats, low: float = -inf, high: float = inf) -> Encoding:
    """Return the encoding with the least squared error on x, clipped to [low, high]."""
    values = sample(np.clip(x, low, high))
    bottom, top = float(min(values.min(), 0)), float(max(values.max(), 0))
    both = _least(values, [spanning(bottom * c, top * c) for c in _SHRINKS])
    low_end, high_end = (
        both.scale * (OPERAND_MIN - both.zero),
        both.scale * (OPERAND_MAX - both.zero),
    )
    ends = [spanning(max(low_end, bottom) * c, high_end) for c in _SHRINKS]
    ends += [spanning(low_end, min(high_end, top) * c) for c in _SHRINKS]
    return _least(values, [both, *ends])


def best_symmetric(x: Floats) -> Encoding:
    """Return the encoding around 0 with the least squared error on x."""
    values = sample(x)
    bound = float(np.abs(values).max())
    return _least(values, [symmetric(bound * c) for c in _SHRINKS])


def _least(values: Floats, candidates: list[Encoding]) -> Encoding:
    errors = [float(np.square(e.rounded(values) - values).sum()) for e in candidates]
    return candidates[int(np.argmin(errors))]


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Constants of one rescaling: (Σ xᵢ·multiplierᵢ + (offset << up)) >> shift."""

    multipliers: tuple[NDArray[np.int64], ...]
    offset: NDArray[np.int64]
    up: int
    shift: int


def fixed_point(
    factors: tuple[NDArray[Any], ...], magnitudes: tuple[int, ...], offset: NDArray[Any]
) -> FixedPoint:
    """Write real factors and an offset, in units of the result, as finely as the machine allows.

    `magnitudes` are the largest absolute values of the integers that the factors multiply.
    Factors whose product cannot matter within the 62 bits of an intermediate round to 0.
    """
    largest = max(float(np.abs(f).max()) for f in factors)
    total = sum(
        float(np.abs(f).max()) * m for f, m in zip(factors, magnitudes, strict=True)
    ) + float(np.abs(offset).max())
    room = [MAX_SHIFT, _WIDE_BITS - 1 - log2(max(total, 1.0))]
    if largest > 0:
        room.append(_MULTIPLIER_BITS - 1e-6 - log2(largest))
    shift = max(floor(min(room)), MIN_SHIFT)
    multipliers = tuple(np.rint(f * 2.0**shift).astype(np.int64) for f in factors)
    wide = float(np.abs(offset).max()) * 2.0**shift
    up = max(0, floor(log2(max(wide, 1.0))) + 2 - _MULTIPLIER_BITS)
    raised = np.rint(offset * 2.0 ** (shift - up)).astype(np.int64)
    return FixedPoint(multipliers, raised, up, shift)
