"""Normalisation of rows."""

from functools import partial
from math import floor, log2
from typing import Final

import numpy as np

from ...ops import Normalise
from ..graph import Node
from .lower_elementwise import settled
from .lowering import Lowering
from .rescale import WIDE_BITS, ordered, widened
from .wire import Wire

_BITS: Final = 16
_LARGEST_EPSILON: Final = 2**61


def layer_norm(state: Lowering, node: Node) -> Wire:
    """(x − mean) ÷ deviation; gamma and beta wait for whoever needs the result."""
    gamma, beta = (state.constant(name) for name in node.inputs[1:])
    x = settled(state.tape, state.wire(node.inputs[0]))
    if x.uniform and x.scale[0] > 0:
        x = Wire(x.slot, x.order, x.scale, np.zeros(1))  # a common offset does not matter
    unit = _normalised(state, x, node.number("eps"), centred=True)
    return unit.scaled(gamma, beta)


def unit_rows(state: Lowering, x: Wire, eps: float, *, averaged: bool) -> Wire:
    """Return x ÷ √(Σx² + eps) along the last axis, of the mean instead of the sum if `averaged`."""
    x, n = settled(state.tape, x), x.shape[-1]
    if averaged:
        return _normalised(state, x, eps, centred=False)
    return _normalised(state, x, eps / n, centred=False).scaled(1 / np.sqrt(n), 0.0)


def _normalised(state: Lowering, x: Wire, eps: float, *, centred: bool) -> Wire:
    n = x.shape[-1]
    bits = min(WIDE_BITS, floor((63 - 3 * log2(n)) / 2 - 0.01))
    x = ordered(state.tape, widened(state.tape, x, bits))
    epsilon = round(eps * n * n / float(x.scale[0]) ** 2)
    build = partial(
        Normalise, centred=centred, bits=_BITS, epsilon=max(1, min(epsilon, _LARGEST_EPSILON))
    )
    return Wire(state.tape.op(build, x.slot), x.order, np.full(1, 2.0**-_BITS))
