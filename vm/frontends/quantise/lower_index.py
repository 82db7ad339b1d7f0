"""Numbers that select: embeddings, and positions of the largest."""

from functools import partial
from typing import Final

import numpy as np

from ...ops import Argmax, Gather, TopK
from ...types import DType
from ..graph import Node
from .lower_elementwise import settled
from .lowering import Lowering, ordered_last
from .rescale import combined, limited, widened
from .tape import Ints, Slot
from .weights import decibels, quantise_weights
from .wire import Wire

_ENOUGH: Final = 34.0
"""An embedding with this SQNR in dB needs no second table."""
_COMPARED_BITS: Final = 24


def embedding(state: Lowering, node: Node) -> Wire:
    """Rows of one table of seven bits with a scale per column, or of two where that is coarse."""
    table = state.constant(node.inputs[0])
    ids = state.wire(node.inputs[1])
    rows = limited(state.tape, ids, 0, len(table) - 1)
    order = (*ids.order, len(ids.order))
    used = np.unique(rows.data)
    weights = quantise_weights(table.T)
    rounded = weights.integers.T * weights.scale
    if decibels(table[used], rounded[used] - table[used]) >= _ENOUGH:
        return Wire(_gathered(state, rows, weights.integers.T), order, weights.scale)
    scale = np.maximum(np.abs(table).max(axis=0), 1e-20) / (63 * 64)
    whole = np.rint(table / scale).astype(np.int64)
    high = (whole + 32) >> 6
    low, top = (_gathered(state, rows, part) for part in (whole - (high << 6), high))
    return Wire(combined(state.tape, low, top), order, scale)


def _gathered(state: Lowering, rows: Slot, table: Ints) -> Slot:
    return state.tape.op(Gather, rows, state.tape.constant(table, DType.INT8))


def _comparable(state: Lowering, name: str) -> Wire:
    """Return a value whose integers compare as its numbers do along the last axis."""
    x = ordered_last(state.tape, settled(state.tape, state.wire(name)))
    if x.uniform and x.scale[0] > 0:
        return x
    return widened(state.tape, x, _COMPARED_BITS)


def argmax(state: Lowering, node: Node) -> Wire:
    """The position of the largest of each row."""
    x = _comparable(state, node.inputs[0])
    return Wire(state.tape.op(Argmax, x.slot), x.order[:-1])


def topk(state: Lowering, node: Node) -> Wire:
    """The positions of the largest of each row."""
    x = _comparable(state, node.inputs[0])
    return Wire(state.tape.op(partial(TopK, k=node.integer("k")), x.slot), x.order)


def cast(state: Lowering, node: Node) -> Wire:
    """Counts are numbers."""
    return state.wire(node.inputs[0])
