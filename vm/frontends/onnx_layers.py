"""Layers of an ONNX model: products, normalisation, reductions, choices.

(Meanings: ONNX operator reference, opsets 13 to 21.)
"""

from math import prod

import numpy as np

from .onnx_call import Call, axis_of
from .torch_values import GraphWriter, Operand, Traced, Unsupported, without_ones


def gemm(w: GraphWriter, call: Call) -> Operand:
    """alpha·A·B + beta·C, with A and B transposed on demand."""
    a, b = (_turned(w, call, i, name) for i, name in enumerate(("transA", "transB")))
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    c = call.optional(2)
    if isinstance(a, Traced) and not isinstance(b, Traced):
        weights = np.asarray(b.T * alpha, np.float32)
        if c is None:
            return w.linear(a, weights, None)
        if not isinstance(c, Traced) and prod(c.shape[:-1]) == 1 and c.size in (1, len(weights)):
            bias = np.broadcast_to(np.asarray(c * beta, np.float32).reshape(-1), len(weights))
            return w.linear(a, weights, bias)
    product = _scaled(w, w.matmul(a, b), alpha)
    return product if c is None else w.elementwise("add", product, _scaled(w, c, beta))


def _turned(w: GraphWriter, call: Call, position: int, name: str) -> Operand:
    x = call.operand(position)
    if len(x.shape) != 2:
        raise Unsupported("Gemm multiplies matrices: use MatMul")
    if not call.integer(name, 0):
        return x
    return w.swapped(x) if isinstance(x, Traced) else x.T


def _scaled(w: GraphWriter, x: Operand, factor: float) -> Operand:
    if factor == 1:
        return x
    return w.elementwise("mul", x, np.asarray(factor)) if isinstance(x, Traced) else x * factor


def matmul(w: GraphWriter, call: Call) -> Traced:
    a, b = call.operand(0), call.operand(1)
    if len(a.shape) >= 2 and len(b.shape) == 1:  # a vector stands for a column
        column = b.viewed((*b.shape, 1)) if isinstance(b, Traced) else b.reshape(-1, 1)
        product = w.matmul(a, column)
        return product.viewed(product.shape[:-1])
    return w.matmul(a, b)


def _over_last(w: GraphWriter, x: Traced, axis: int) -> tuple[Traced, list[int]]:
    """Return x as floats with `axis` moved to the end, and the order of dimensions."""
    order = [i for i in range(len(x.shape)) if i != axis] + [axis]
    return w.number(w.permuted(x, order)), order


def softmax(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    axis = axis_of(call.integer("axis", -1), len(x.shape))
    moved, order = _over_last(w, x, axis)
    source = w.held(moved, (*without_ones(moved.shape[:-1]), moved.shape[-1]))
    result = w.traced(w.emit("softmax", source), moved.shape)
    return w.permuted(result, [order.index(i) for i in range(len(order))])


def argmax(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    axis = axis_of(call.integer("axis", 0), len(x.shape))
    if call.integer("select_last_index", 0):
        raise Unsupported("select the first of equal entries: select_last_index=0")
    moved, _ = _over_last(w, x, axis)
    source = w.held(moved, (*without_ones(moved.shape[:-1]), moved.shape[-1]))
    kept = (1,) if call.integer("keepdims", 1) else ()
    return w.traced(w.emit("argmax", source), (*x.shape[:axis], *kept, *x.shape[axis + 1 :]))


def topk(w: GraphWriter, call: Call) -> tuple[Operand | None, ...]:
    """Positions only; the values would need a look-up by computed positions."""
    x, k = call.traced(), call.lengths(1) or ()
    axis = axis_of(call.integer("axis", -1), len(x.shape))
    if axis != len(x.shape) - 1 or not call.integer("largest", 1) or len(k) != 1:
        raise Unsupported("the largest of the last dimension only")
    source = w.held(w.number(x), (*without_ones(x.shape[:-1]), x.shape[-1]))
    return (None, w.traced(w.emit("topk", source, k=k[0]), (*x.shape[:-1], k[0])))


def layer_norm(w: GraphWriter, call: Call) -> Traced:
    x = w.number(call.traced())
    axis = axis_of(call.integer("axis", -1), len(x.shape))
    normalised = prod(x.shape[axis:])
    beta = np.zeros((), np.float32) if call.optional(2) is None else call.weights(2)
    constants = [
        w.constant(np.broadcast_to(array, x.shape[axis:]).reshape(normalised))
        for array in (call.weights(1), beta)
    ]
    source = w.held(x, (*without_ones(x.shape[:axis]), normalised))
    eps = call.number("epsilon", 1e-5)
    return w.traced(w.emit("layer_norm", source, *constants, eps=eps), x.shape)


def batch_norm(w: GraphWriter, call: Call) -> Traced:
    """In use, not in training: a scale and a shift per channel."""
    if call.integer("training_mode", 0):
        raise Unsupported("export the model in evaluation mode")
    x = w.number(call.traced())
    if len(x.shape) < 2 or x.shape[0] != 1:
        raise Unsupported("normalise the channels of one item only")
    gamma, beta, mean, variance = (call.weights(i).astype(np.float64) for i in range(1, 5))
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + call.number("epsilon", 1e-5))
    held = (x.shape[1], *without_ones(x.shape[2:]))
    source = w.held(x, x.held if x.held[:1] == held[:1] else held)
    constants = [w.constant(array.astype(np.float32)) for array in (scale, beta - mean * scale)]
    return w.traced(w.emit("affine", source, *constants, axis=0), x.shape)


def reduce(op: str, w: GraphWriter, call: Call) -> Traced:
    x = w.number(call.traced())
    axes = call.axes(1, len(x.shape))
    if not axes and call.integer("noop_with_empty_axes", 0):
        return x
    return reduced(op, w, x, axes or tuple(range(len(x.shape))), call.integer("keepdims", 1) == 1)


def reduced(op: str, w: GraphWriter, x: Traced, axes: tuple[int, ...], keep: bool) -> Traced:
    """Sum or average over axes."""
    shape = tuple(
        1 if i in axes else length for i, length in enumerate(x.shape) if keep or i not in axes
    )
    kept = [i for i, length in enumerate(x.shape) if length != 1]
    positions = tuple(kept.index(axis) for axis in sorted(axes) if axis in kept)
    if not positions:
        return x.viewed(shape)
    return w.traced(w.emit(op, w.held(x, without_ones(x.shape)), axes=positions), shape)


def euclidean(w: GraphWriter, call: Call) -> Traced:
    """ReduceL2: the root of the sum of squares."""
    x = w.number(call.traced())
    squares = w.traced(w.emit("unary", x.name, function="square"), x.shape)
    operands = (squares, *call.operands[1:])
    total = reduce("sum", w, Call(call.op, operands, call.attributes, 1))
    return w.traced(w.emit("unary", total.name, function="sqrt"), total.shape)


def scaler(w: GraphWriter, call: Call) -> Traced:
    """ai.onnx.ml Scaler: (x − offset)·scale."""
    offset, scale = (np.asarray(call.attributes[n], np.float32) for n in ("offset", "scale"))
    return w.elementwise("mul", w.elementwise("sub", call.traced(), offset), scale)


def extract(w: GraphWriter, call: Call) -> Traced:
    """ai.onnx.ml ArrayFeatureExtractor: labels of classes, where these are their positions."""
    labels, positions = call.operand(0), call.operand(1)
    if isinstance(labels, Traced) or not isinstance(positions, Traced):
        raise Unsupported("take labels by a computed position only")
    if not np.array_equal(labels.reshape(-1), np.arange(labels.size)):
        raise Unsupported("labels other than 0, 1, 2, …: choose the output of probabilities")
    return positions.viewed((1, prod(positions.shape)))
