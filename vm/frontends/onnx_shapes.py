"""Ops of ONNX that move elements without computing: shapes, slices, look-ups.

The upper half computes shapes and bounds, which constants share; the lower half writes nodes.
"""

from itertools import pairwise
from math import prod
from typing import Final

import numpy as np

from .graph_ops import Shape
from .onnx_call import Call, axis_of
from .torch_values import GraphWriter, Numbers, Operand, Traced, Unsupported, without_ones

_MAX_PICKS: Final = 256
"""Positions gathered one by one."""


def reshaped(call: Call, shape: Shape) -> Shape:
    """Return the shape that Reshape or Flatten makes of `shape`."""
    if call.op == "Flatten":
        axis = call.integer("axis", 1)
        axis = axis if axis == len(shape) else axis_of(axis, len(shape))
        return (prod(shape[:axis]), prod(shape[axis:]))
    wanted = list(call.lengths(1) or ())
    if not call.integer("allowzero", 0):
        wanted = [shape[i] if v == 0 and i < len(shape) else v for i, v in enumerate(wanted)]
    if wanted.count(-1) == 1:
        rest = prod(v for v in wanted if v != -1)
        wanted[wanted.index(-1)] = prod(shape) // rest if rest else 0
    if prod(wanted) != prod(shape) or any(v < 0 for v in wanted):
        raise Unsupported(
            f"an item of shape {shape} cannot become {tuple(wanted)}: export with a dynamic batch "
            "dimension, so that the batch size is not written into the model"
        )
    return tuple(wanted)


def squeezed(call: Call, shape: Shape) -> Shape:
    """Return the shape that Squeeze makes of `shape`."""
    axes = call.axes(1, len(shape))
    if axes is None:
        return without_ones(shape)
    if any(shape[axis] != 1 for axis in axes):
        raise Unsupported(f"axes {axes} of {shape} are not all of length 1")
    return tuple(length for i, length in enumerate(shape) if i not in axes)


def unsqueezed(call: Call, shape: Shape) -> Shape:
    """Return the shape that Unsqueeze makes of `shape`."""
    given = call.lengths(1) or ()
    dimensions = len(shape) + len(given)
    axes = {axis_of(axis, dimensions) for axis in given}
    if len(axes) != len(given):
        raise Unsupported(f"axes {given} repeat")
    lengths = iter(shape)
    return tuple(1 if i in axes else next(lengths) for i in range(dimensions))


def slices(call: Call, shape: Shape) -> list[slice]:
    """Return one slice per dimension for Slice."""
    starts, ends = call.lengths(1) or (), call.lengths(2) or ()
    axes = call.axes(3, len(shape)) or tuple(range(len(starts)))
    steps = call.lengths(4) or (1,) * len(starts)
    cuts = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise Unsupported("slice with positive steps only")
        cuts[axis_of(axis, len(shape))] = slice(start, end, step)
    return cuts


def sections(call: Call, length: int) -> list[tuple[int, int]]:
    """Return (start, stop) of the parts that Split makes of an axis."""
    sizes = call.lengths(1)
    if sizes is None:
        parts = call.integer("num_outputs", call.outputs)
        size = -(-length // max(parts, 1))
        sizes = (
            (size,) * (parts - 1) + (length - size * (parts - 1),) if parts == call.outputs else ()
        )
    if len(sizes) != call.outputs or sum(sizes) != length or min(sizes) < 0:
        raise Unsupported(f"parts {sizes[:8]} do not make up {length}")
    ends = [int(v) for v in np.cumsum(sizes)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def reshape(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    return x.viewed(reshaped(call, x.shape))


def squeeze(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    return x.viewed(squeezed(call, x.shape))


def unsqueeze(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    return x.viewed(unsqueezed(call, x.shape))


def transpose(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    perm = call.integers("perm", tuple(reversed(range(len(x.shape)))))
    if sorted(perm) != list(range(len(x.shape))):
        raise Unsupported(f"perm {perm} does not fit {x.shape}")
    return w.permuted(x, perm)


def slice_(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    for axis, cut in enumerate(slices(call, x.shape)):
        start, stop, step = cut.indices(x.shape[axis])
        if stop <= start:
            raise Unsupported("the slice is empty")
        x = w.cut(x, axis, start, stop, step)
    return x


def split(w: GraphWriter, call: Call) -> tuple[Operand | None, ...]:
    x = call.traced()
    axis = axis_of(call.integer("axis", 0), len(x.shape))
    return tuple(
        w.cut(x, axis, start, stop) if stop > start else None
        for start, stop in sections(call, x.shape[axis])
    )


def concat(w: GraphWriter, call: Call) -> Traced:
    parts = [call.operand(i) for i in range(len(call.operands))]
    axis = axis_of(call.integer("axis", 0), len(parts[0].shape))
    return joined(w, [part for part in parts if prod(part.shape)], axis)


def joined(w: GraphWriter, parts: list[Operand], axis: int) -> Traced:
    """Join along an axis; numbers where one part holds numbers."""
    if any(not isinstance(v, Traced) or v.kind == "float" for v in parts):
        parts = [w.number(v) if isinstance(v, Traced) else v.astype(np.float32) for v in parts]
    shape = [*parts[0].shape]
    shape[axis] = sum(part.shape[axis] for part in parts)
    if len(parts) == 1 and isinstance(parts[0], Traced):
        return parts[0]
    kept = [i for i, length in enumerate(shape) if length != 1 or i == axis]
    names = [
        w.held(part, tuple(part.shape[i] for i in kept))
        if isinstance(part, Traced)
        else w.constant(part.reshape([part.shape[i] for i in kept]))
        for part in parts
    ]
    return w.traced(w.emit("concat", *names, axis=kept.index(axis)), tuple(shape))


def expand(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    return w.spread(x, np.broadcast_shapes(x.shape, call.lengths(1) or ()))


def tile(w: GraphWriter, call: Call) -> Traced:
    x, repeats = call.traced(), call.lengths(1) or ()
    if any(r != 1 and length != 1 for r, length in zip(repeats, x.shape, strict=True)):
        raise Unsupported("repeat along dimensions of length 1 only: concatenate instead")
    shape = tuple(r * length for r, length in zip(repeats, x.shape, strict=True))
    return w.spread(x, shape)


def pad(w: GraphWriter, call: Call) -> Traced:
    """Constants before and after, joined."""
    x, pads, value = call.traced(), call.lengths(1) or (), call.constant(2)
    axes = call.axes(3, len(x.shape)) or tuple(range(len(x.shape)))
    if call.text("mode", "constant") != "constant" or min(pads) < 0 or len(pads) != 2 * len(axes):
        raise Unsupported("pad with constants only, and cut with Slice")
    fill = 0.0 if value is None else float(value.item())
    for i, axis in enumerate(axes):
        before, after = (_block(x.shape, axis, n, fill) for n in (pads[i], pads[i + len(axes)]))
        x = joined(w, [*before, x, *after], axis)
    return x


def _block(shape: Shape, axis: int, length: int, fill: float) -> list[Operand]:
    if length == 0:
        return []
    block = (*shape[:axis], length, *shape[axis + 1 :])
    if prod(block) > _MAX_PADDING:
        raise Unsupported("pad by less")
    return [np.full(block, fill, np.float32)]


_MAX_PADDING: Final = 2**22


def gather(w: GraphWriter, call: Call) -> Traced:
    data, positions = call.operand(0), call.operand(1)
    axis = axis_of(call.integer("axis", 0), len(data.shape))
    if isinstance(positions, Traced):
        return _look_up(w, data, positions, axis)
    if not isinstance(data, Traced):
        raise Unsupported("no operand depends on the input")
    return picked(w, data, axis, positions)


def _look_up(w: GraphWriter, table: Operand, ids: Traced, axis: int) -> Traced:
    if isinstance(table, Traced) or axis != 0:
        raise Unsupported("look up rows of a constant table only")
    if ids.kind != "index":
        raise Unsupported("look up integers of the input: pass token ids as they are")
    rows = table.reshape(len(table), -1).astype(np.float32)
    name = w.emit("embedding", w.constant(rows), w.held(ids, without_ones(ids.shape)))
    return w.traced(name, (*ids.shape, *table.shape[1:]))


def picked(w: GraphWriter, x: Traced, axis: int, positions: Numbers) -> Traced:
    """Return x at constant positions of an axis, as numpy's take."""
    length = x.shape[axis]
    wanted = [int(p) for p in positions.reshape(-1)[: _MAX_PICKS + 1]]
    if positions.dtype.kind not in "iu" or not all(-length <= p < length for p in wanted):
        raise Unsupported(f"positions are not among {length}")
    wanted = [p % length for p in wanted]
    rest = (*x.shape[:axis], *positions.shape, *x.shape[axis + 1 :])
    steps = {b - a for a, b in pairwise(wanted)}
    if positions.size and len(wanted) == positions.size and (len(wanted) == 1 or steps == {1}):
        return w.cut(x, axis, wanted[0], wanted[-1] + 1).viewed(rest)
    if not 0 < positions.size <= _MAX_PICKS:
        raise Unsupported(f"pick one range, or at most {_MAX_PICKS} positions")
    parts: list[Operand] = [w.cut(x, axis, p, p + 1) for p in wanted]
    return joined(w, parts, axis).viewed(rest)


def gather_nd(w: GraphWriter, call: Call) -> Traced:
    """Pick by constant tuples of positions along the first dimensions."""
    x, tuples = call.traced(), call.array(1)
    depth = tuples.shape[-1] if tuples.ndim else 0
    if call.integer("batch_dims", 0) or tuples.dtype.kind not in "iu" or depth > len(x.shape):
        raise Unsupported("gather by positions along the first dimensions only")
    picks, rest = x.shape[:depth], x.shape[depth:]
    flat = np.zeros(tuples.shape[:-1], np.int64)
    for i, length in enumerate(picks):
        positions = np.where(tuples[..., i] < 0, tuples[..., i] + length, tuples[..., i])
        if ((positions < 0) | (positions >= length)).any():
            raise Unsupported(f"positions are not among {length}")
        flat = flat * length + positions
    return picked(w, x.viewed((prod(picks), *rest)), 0, flat)


def shape(w: GraphWriter, call: Call) -> Numbers:
    """Shapes are known: the item's, with a batch of one."""
    cut = slice(call.integer("start", 0), call.attributes.get("end"))
    return np.asarray(call.traced().shape[cut], np.int64)


def size(w: GraphWriter, call: Call) -> Numbers:
    return np.asarray(prod(call.traced().shape), np.int64)
