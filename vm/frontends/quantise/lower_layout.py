"""Moving elements, and pooling them."""

from functools import partial
from math import prod
from typing import Final

import numpy as np

from ...limits import MAX_WINDOW
from ...ops import Concat as ConcatOp
from ...ops import MaxPool, RowSum, Slice, SumPool
from ...ops.fixed_point import magnitude
from ...types import DType
from ..graph import Node
from .encodings import best_encoding
from .lower_elementwise import expanded, settled, times_constant
from .lowering import Lowering, unsupported
from .rescale import ordered, reach, reshaped, to_operand, widened
from .tape import Floats, Slot, Tape
from .uses import PAIRS, PRODUCTS
from .wire import Wire, identity

_IMAGE: Final = (1, 2, 0)
_ELEMENTWISE: Final = frozenset({"add", "sub", "mul", "div"})
_MAX_PARTS: Final = 16
_INT32: Final = 2**31 - 1


def reshape(state: Lowering, node: Node) -> Wire:
    """Same elements; channels keep their scales only where the last dimension stays."""
    x, shape = state.wire(node.inputs[0]), node.integers("shape")
    lengths = x.shape
    moved = [axis for axis in x.order if lengths[axis] > 1]
    if not x.uniform and not (moved == sorted(moved) and x.slot.shape[-1] == shape[-1]):
        x = _unified(state, node, x)
    if moved != sorted(moved):
        x = ordered(state.tape, x)
    slot = reshaped(state.tape, x.slot, shape)
    return Wire(slot, identity(len(shape)), *_for_channels(x, shape), x.low, x.high)


def _for_channels(x: Wire, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    if x.uniform or not shape:
        return x.scale[:1], x.offset[:1]
    return x.scale, x.offset


def _unified(state: Lowering, node: Node, x: Wire) -> Wire:
    """Return the value with one scale for all channels."""
    if state.uses.only_for(node.output, PAIRS):
        return state.narrowed(x, node.output)
    return widened(state.tape, x)


def transpose(state: Lowering, node: Node) -> Wire:
    """Only the names of the axes change, until an op wants them in order."""
    x, perm = state.wire(node.inputs[0]), node.integers("perm")
    order = tuple(perm.index(axis) for axis in x.order)
    return Wire(x.slot, order, x.scale, x.offset, x.low, x.high)


def expand(state: Lowering, node: Node) -> Wire:
    """Nothing, where elementwise ops spread it anyway; copies elsewhere."""
    x = state.wire(node.inputs[0])
    readers = state.uses.readers(node.output)
    if readers and all(reader.op in _ELEMENTWISE for reader in readers):
        return x
    return expanded(state.tape, x, node.integers("shape"))


def slice_(state: Lowering, node: Node) -> Wire:
    """Some positions of an axis."""
    x, axis = state.wire(node.inputs[0]), node.integer("axis")
    start, stop, step = (node.integer(name) for name in ("start", "stop", "step"))
    dimension = x.order.index(axis)
    build = partial(Slice, axis=dimension, start=start, stop=stop, step=step)
    slot = state.tape.op(build, x.slot)
    scale, offset = x.scale, x.offset
    if dimension == len(x.order) - 1:
        cut = slice(start, stop, step)
        scale = scale[cut] if len(scale) > 1 else scale
        offset = offset[cut] if len(offset) > 1 else offset
    return Wire(slot, x.order, scale, offset, x.low, x.high)


def concat(state: Lowering, node: Node) -> Wire:
    """Values end to end, in one encoding."""
    tape, axis = state.tape, node.integer("axis")
    computed = [state.wire(name) for name in node.inputs if not state.is_constant(name)]
    order = computed[0].order
    exact = all(wire.exact for wire in computed) and all(
        state.graph.types[name].kind == "index" for name in node.inputs
    )
    if exact:
        parts = [_exact_part(state, name, order) for name in node.inputs]
        return Wire(_joined(tape, parts, order.index(axis)), order)
    bound = max(
        reach(state.constant(name) if state.is_constant(name) else state.wire(name).real())
        for name in node.inputs
    )
    if state.uses.only_for(node.output, PRODUCTS):
        encoding = best_encoding(state.reference)
        scale, offset = np.full(1, encoding.scale), np.full(1, encoding.offset)
        parts = [_narrow_part(state, name, order, scale, offset) for name in node.inputs]
        return Wire(_joined(tape, parts, order.index(axis)), order, scale, offset)
    wide = [_wide_part(state, name, order, bound) for name in node.inputs]
    return Wire(_joined(tape, [w.slot for w in wide], order.index(axis)), order, wide[0].scale)


def _exact_part(state: Lowering, name: str, order: tuple[int, ...]) -> Slot:
    if state.is_constant(name):
        return state.tape.constant(
            state.constant(name).astype(np.int64).transpose(order), DType.INT32
        )
    return ordered(state.tape, state.wire(name), order).slot


def _narrow_part(
    state: Lowering, name: str, order: tuple[int, ...], scale: Floats, offset: Floats
) -> Slot:
    if state.is_constant(name):
        q = np.clip(np.rint((state.constant(name) - offset) / scale), -64, 63)
        return state.tape.constant(q.astype(np.int64).transpose(order), DType.INT8)
    wire = state.wire(name)
    slot = to_operand(state.tape, wire, scale, offset)
    return ordered(state.tape, Wire(slot, wire.order), order).slot


def _wide_part(state: Lowering, name: str, order: tuple[int, ...], bound: float) -> Wire:
    if state.is_constant(name):
        scale = bound / 2**15
        q = np.rint(state.constant(name) / scale).astype(np.int64).transpose(order)
        return Wire(state.tape.constant(q, DType.INT32), order, np.full(1, scale))
    wire = state.wire(name)
    return ordered(state.tape, widened(state.tape, wire, bound=bound), order)


def _joined(tape: Tape, parts: list[Slot], dimension: int) -> Slot:
    def build(*values: int) -> ConcatOp:
        return ConcatOp(values, dimension)

    while len(parts) > 1:
        groups = [parts[i : i + _MAX_PARTS] for i in range(0, len(parts), _MAX_PARTS)]
        parts = [tape.op(build, *group) if len(group) > 1 else group[0] for group in groups]
    return parts[0]


def max_pool(state: Lowering, node: Node) -> Wire:
    """The largest of each window: scales that are positive do not disturb it."""
    x = ordered(state.tape, state.wire(node.inputs[0]), _IMAGE)
    if not x.narrow and state.uses.only_for(node.output, PRODUCTS):
        encoding = best_encoding(x.real())
        scale, offset = np.full(1, encoding.scale), np.full(1, encoding.offset)
        x = Wire(to_operand(state.tape, x, scale, offset), _IMAGE, scale, offset)
    if np.any(x.scale <= 0):
        x = widened(state.tape, x)
    build = partial(MaxPool, **_window(node))
    return Wire(state.tape.op(build, x.slot), _IMAGE, x.scale, x.offset, x.low, x.high)


def _window(node: Node) -> dict[str, tuple[int, ...]]:
    return {name: node.integers(name) for name in ("kernel", "stride", "padding")}


def avg_pool(state: Lowering, node: Node) -> Wire:
    """The sum of each window; the division is in the scale."""
    x = settled(state.tape, ordered(state.tape, state.wire(node.inputs[0]), _IMAGE))
    padded, taps = any(node.integers("padding")), prod(node.integers("kernel"))
    if (padded and np.any(x.offset != 0)) or magnitude(x.slot.interval) * taps > _INT32:
        x = widened(state.tape, x)
    build = partial(SumPool, fill=0, **_window(node))
    slot = state.tape.op(build, x.slot)
    mean = Wire(slot, _IMAGE, x.scale / taps, x.offset)
    if not padded or node.integer("count_padding"):
        return mean
    return times_constant(state, mean, taps / _counts(node, x.shape))


def _counts(node: Node, shape: tuple[int, ...]) -> Floats:
    """Return (oh, ow): how many positions of each window lie within the image."""
    top, bottom, left, right = node.integers("padding")
    counts: list[Floats] = []
    for i, (before, after) in enumerate(((top, bottom), (left, right))):
        length, kernel = shape[1 + i], node.integers("kernel")[i]
        starts = np.arange(0, before + length + after - kernel + 1, node.integers("stride")[i])
        first, last = np.maximum(starts, before), np.minimum(starts + kernel, before + length)
        counts.append((last - first).astype(np.float64))
    return np.outer(*counts)


def mean(state: Lowering, node: Node) -> Wire:
    """A sum; the division is in the scale."""
    axes = node.integers("axes")
    total = _summed(state, node)
    return total.scaled(1 / prod(state.wire(node.inputs[0]).shape[axis] for axis in axes), 0.0)


def sum_(state: Lowering, node: Node) -> Wire:
    """Sums over axes, which stay with length 1."""
    return _summed(state, node)


def _summed(state: Lowering, node: Node) -> Wire:
    tape, axes = state.tape, set(node.integers("axes"))
    x = settled(tape, state.wire(node.inputs[0]))
    x = expanded(tape, x, state.graph.shapes[node.inputs[0]])
    count = prod(x.shape[axis] for axis in axes)
    last = len(x.order) - 1
    if magnitude(x.slot.interval) * count > _INT32 or (x.order[last] in axes and not x.uniform):
        x = widened(tape, x)
    slot, shape = x.slot, list(x.slot.shape)
    dimension = last - 1
    while dimension >= 0:
        if x.order[dimension] not in axes:
            dimension -= 1
            continue
        first = dimension
        while first > 0 and x.order[first - 1] in axes:
            first -= 1
        run = prod(shape[first : dimension + 1])
        if run > MAX_WINDOW:
            raise unsupported(node, f"sums of {run} elements: reduce at most {MAX_WINDOW} at once")
        before, after = prod(shape[:first]), prod(shape[dimension + 1 :])
        image = reshaped(tape, slot, (before, run, after))
        build = partial(SumPool, kernel=(1, run), stride=(1, run), padding=(0, 0, 0, 0), fill=0)
        shape[first : dimension + 1] = [1] * (dimension + 1 - first)
        slot = reshaped(tape, tape.op(build, image), tuple(shape))
        dimension = first - 1
    scale, offset = x.scale, x.offset * count
    if x.order[last] in axes:
        slot = tape.op(RowSum, slot)
        scale, offset = scale[:1], offset[:1]
    return Wire(slot, x.order, scale, offset)
