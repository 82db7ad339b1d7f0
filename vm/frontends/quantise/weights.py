"""Weights to integers, and sharing a layer's difficulty between its weights and its input.

Weights have one scale per output channel, chosen for the least error where inputs are large.
Channels of the input that are larger than others are made smaller before they are quantised, and
their weights larger: SmoothQuant (Xiao et al., arXiv 2211.10438), with the exponent found by trial;
and moved to lie around zero (Wei et al., arXiv 2304.09145). Both are folded into constants that
the program has anyway.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .encodings import best_encoding
from .tape import Floats

_WEIGHT_MAX: Final = 63
_SHRINKS: Final = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.65, 0.55)
_ROUGHLY: Final = (1.0, 0.85)
_EXPONENTS: Final = (0.5, 0.65, 0.8, 1.0)
_USUAL: Final = 0.99
_ROWS: Final = 1536
_SMALLEST: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """w ≈ scale[n]·integers[n, k]."""

    integers: NDArray[np.int8]
    scale: Floats
    """(n,)"""


def quantise_weights(
    w: Floats, moments: Floats | None = None, shrinks: tuple[float, ...] = _SHRINKS
) -> Weights:
    """Return w (n, k) as integers in [−63, 63], a scale per row of least weighted error.

    `moments` (k,) are mean squares of the inputs that the columns meet.
    """
    largest = np.abs(w).max(axis=1)
    base = np.where(largest > _SMALLEST, largest, 1.0) / _WEIGHT_MAX
    importance = np.ones(w.shape[1]) if moments is None else moments
    best, scale = np.full(len(w), np.inf), base
    for shrink in shrinks:
        trial = base * shrink
        error = _rounded(w, trial) * trial[:, np.newaxis] - w
        loss = np.square(error) @ importance
        scale = np.where(loss < best, trial, scale)
        best = np.minimum(loss, best)
    return Weights(_rounded(w, scale).astype(np.int8), scale)


def _rounded(w: Floats, scale: Floats) -> Floats:
    return np.clip(np.rint(w / scale[:, np.newaxis]), -_WEIGHT_MAX, _WEIGHT_MAX)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """An encoding of a linear layer's input: real = scale·q + offset, per channel or for all."""

    scale: Floats
    offset: Floats
    sqnr: float
    """Of the layer's result, in dB, quantised input and weights against exact ones."""


def decibels(signal: Floats, error: Floats) -> float:
    """Return the ratio of two signals' powers in dB, between −99 and 99."""
    power, noise = float(np.square(signal).mean()), float(np.square(error).mean())
    if noise <= 0 or power <= 0:
        return 99.0 if noise <= power else -99.0
    return float(np.clip(10 * np.log10(power / noise), -99, 99))


def choose_encoding(x: Floats, w: Floats, *, shared: bool) -> Choice:
    """Return the encoding of x (rows, k) that hurts x·wᵀ least, w (n, k) the weights of all uses.

    Centres and sizes of channels come from half of the rows, and are judged by all: else those
    would win that fit a few rows too well. `shared` says that channels must share a zero: for
    padding, or a clip still to be carried out.
    """
    x, w = _sampled(x), w.astype(np.float32)
    seen = x[: max(1, len(x) // 2)]
    middle, mean = (seen.max(axis=0) + seen.min(axis=0)) / 2, seen.mean(axis=0)
    zero = np.zeros_like(middle)
    column = _floored(np.abs(w).max(axis=0))
    trials = [(zero, np.ones_like(middle))]
    for centre, measure in ((middle, _largest), (middle, _usual), (mean, _deviation)):
        offset = zero if shared else centre
        size = _floored(measure(np.abs(seen - offset)))
        trials += [(offset, size**e / column ** (1 - e)) for e in _EXPONENTS]
    choices = [_tried(x, w, *trial) for trial in trials]
    return max(choices, key=lambda choice: choice.sqnr)


def _largest(x: Floats) -> Floats:
    return x.max(axis=0)


def _usual(x: Floats) -> Floats:
    """Return what nearly all numbers of a channel do not exceed."""
    return np.quantile(x, _USUAL, axis=0)


def _deviation(x: Floats) -> Floats:
    return np.sqrt(np.square(x).mean(axis=0))


def _floored(size: Floats) -> Floats:
    """Return sizes of channels, none of them so small that its inverse would not matter."""
    return np.maximum(size, 1e-3 * size.max() + _SMALLEST).astype(np.float32)


def _tried(x: Floats, w: Floats, centre: Floats, smooth: Floats) -> Choice:
    """Return the best choice with these centres and proportions of channels."""
    wanted, centred = x @ w.T, x - centre
    encoding = best_encoding(centred / smooth)
    rounded = encoding.rounded(centred / smooth)
    weights = quantise_weights(w * smooth, np.square(rounded).mean(axis=0), _ROUGHLY)
    found = rounded @ (weights.integers * weights.scale[:, np.newaxis]).T
    error = found + centre @ w.T - wanted
    sqnr = decibels(wanted - wanted.mean(axis=0), error - error.mean(axis=0))
    scale = (smooth * encoding.scale).astype(np.float64)
    return Choice(scale, centre - scale * encoding.zero, sqnr)


def balanced(x: Floats, w: Floats) -> Floats:
    """Return w with the channels of x·wᵀ alike in size: each matters as much as any other.

    What follows usually rescales them: a normalisation, or the next layer's weights.
    """
    x = _sampled(x)
    size = (x @ w.T.astype(np.float32)).std(axis=0)
    size += 0.1 * np.sqrt(np.square(size).mean()) + _SMALLEST
    return w / size[:, np.newaxis]


def product_sqnr(x: Floats, found: Floats, w: Floats, scale: Floats, offset: Floats) -> float:
    """Return the SQNR in dB of found·wᵀ with w rounded, against x·wᵀ; see `Choice`.

    `found` (rows, k) is what the operands of this encoding make of x.
    """
    x, found, w = _sampled(x), _sampled(found), w.astype(np.float32)
    wanted = x @ w.T
    q = (found - offset) / scale
    weights = quantise_weights(w * scale, np.square(q).mean(axis=0), _ROUGHLY)
    result = q @ (weights.integers * weights.scale[:, np.newaxis]).T + (w * offset).sum(axis=1)
    error = result - wanted
    return decibels(wanted - wanted.mean(axis=0), error - error.mean(axis=0))


def _sampled(x: NDArray[Any]) -> Floats:
    """Return some of the rows in float32, the same ones for the same number of rows.

    Not every so many-th: rows repeat with the length of an item, and outliers sit at fixed places.
    """
    rows = np.random.default_rng(0).permutation(len(x))[:_ROWS]
    return x[rows].astype(np.float32)
