"""Layers of a traced module: products, attention, normalisation, convolutions and pooling."""

from math import prod

import numpy as np

from .graph_ops import Shape
from .torch_call import Call
from .torch_masks import hide
from .torch_values import GraphWriter, Traced, Unsupported, without_ones


def linear(w: GraphWriter, call: Call) -> Traced:
    """A product with constant weights."""
    return w.linear(call.traced("input"), call.weights(), call.constant("bias"))


def addmm(w: GraphWriter, call: Call) -> Traced:
    """self + mat1·mat2."""
    call.refuse("beta", 1, "addmm with beta and alpha of 1 only")
    call.refuse("alpha", 1, "addmm with beta and alpha of 1 only")
    right, bias = call.operand("mat2"), call.operand("self")
    if isinstance(right, Traced) or isinstance(bias, Traced) or bias.shape != right.shape[-1:]:
        return w.elementwise("add", w.matmul(call.operand("mat1"), right), bias)
    return w.linear(call.traced("mat1"), right.T, bias)


def matmul(w: GraphWriter, call: Call) -> Traced:
    """A product of matrices, of which one may be constant."""
    other = "other" if "other" in call.arguments else "mat2"
    return w.matmul(call.operand("self"), call.operand(other))


def attention(w: GraphWriter, call: Call) -> Traced:
    """softmax(query·keyᵀ·scale + mask)·value."""
    call.refuse("enable_gqa", False, "repeat keys and values for every head instead")
    query, key = call.traced("query"), call.traced("key")
    scores = w.matmul(query, w.swapped(key))
    scale = call.number("scale", query.shape[-1] ** -0.5)
    scores = w.elementwise("mul", scores, np.asarray(scale))
    if call.arguments.get("is_causal"):
        scores = hide(w, scores, np.triu(np.ones(scores.shape[-2:], np.bool_), 1))
    if call.arguments.get("attn_mask") is not None:
        mask = call.operand("attn_mask")
        if mask.truth if isinstance(mask, Traced) else mask.dtype.kind == "b":
            scores = hide(w, scores, w.negation(mask))
        else:
            scores = w.elementwise("add", scores, mask)
    return w.matmul(_softmax_last(w, scores), call.operand("value"))


def _softmax_last(w: GraphWriter, x: Traced) -> Traced:
    x = w.number(x)
    source = w.held(x, (*without_ones(x.shape[:-1]), x.shape[-1]))
    return w.traced(w.emit("softmax", source), x.shape)


def softmax(w: GraphWriter, call: Call) -> Traced:
    """Along any dimension."""
    x = call.traced()
    axis, last = call.axis("dim", len(x.shape)), len(x.shape) - 1
    order = [i for i in range(last + 1) if i != axis] + [axis]
    result = _softmax_last(w, w.permuted(x, order))
    return w.permuted(result, [order.index(i) for i in range(last + 1)])


def layer_norm(w: GraphWriter, call: Call) -> Traced:
    """Over the last dimensions, which become one."""
    x = w.number(call.traced("input"))
    count = len(call.integers("normalized_shape", len(call.listed("normalized_shape"))))
    normalised = prod(x.shape[-count:])
    gamma, beta = call.constant("weight"), call.constant("bias")
    constants = [
        (np.full(normalised, fill, np.float32) if given is None else given).reshape(normalised)
        for given, fill in ((gamma, 1.0), (beta, 0.0))
    ]
    source = w.held(x, (*without_ones(x.shape[:-count]), normalised))
    names = [w.constant(array) for array in constants]
    name = w.emit("layer_norm", source, *names, eps=call.number("eps", 1e-5))
    return w.traced(name, x.shape)


def embedding(w: GraphWriter, call: Call) -> Traced:
    """Rows of a constant table."""
    table, ids = call.weights(), call.traced("indices")
    if ids.kind != "index":
        raise Unsupported("look up integers of the input: pass token ids as they are")
    name = w.emit("embedding", w.constant(table), w.held(ids, without_ones(ids.shape)))
    return w.traced(name, (*ids.shape, table.shape[1]))


def reduce(op: str, w: GraphWriter, call: Call) -> Traced:
    """mean or sum, over dimensions longer than 1."""
    x = w.number(call.traced())
    axes = [a for a in call.axes("dim", len(x.shape)) if x.shape[a] != 1]
    if not axes:
        return x.viewed(call.shape)
    kept = [i for i, length in enumerate(x.shape) if length != 1]
    source = w.held(x, without_ones(x.shape))
    positions = tuple(sorted(kept.index(axis) for axis in axes))
    return w.traced(w.emit(op, source, axes=positions), call.shape)


def argmax(w: GraphWriter, call: Call) -> Traced:
    """Along the last dimension."""
    x = w.number(call.traced())
    if call.arguments.get("dim") is None or call.axis("dim", len(x.shape)) != len(x.shape) - 1:
        raise Unsupported("argmax over the last dimension only: permute first")
    source = w.held(x, (*without_ones(x.shape[:-1]), x.shape[-1]))
    return w.traced(w.emit("argmax", source), call.shape)


def _image(x: Traced) -> Shape:
    """Return (c, h, w) of a batch of one image. 1-d signals get h = 1."""
    if len(x.shape) not in (3, 4) or x.shape[0] != 1:
        raise Unsupported("one image (channels, height, width) per item only")
    return x.shape[1:] if len(x.shape) == 4 else (x.shape[1], 1, x.shape[2])


def convolution(w: GraphWriter, call: Call) -> Traced:
    """Along one or two dimensions."""
    x, weights = w.number(call.traced("input")), call.weights()
    flat = weights.ndim == 3
    if flat:
        weights = weights[:, :, np.newaxis]
    count = 1 if flat else 2
    one, nothing = ((1,), (0,)) if flat else ((), ())
    if isinstance(call.arguments["padding"], str):
        raise Unsupported("write the padding as numbers")
    high, wide = (*nothing, *call.integers("padding", count))
    names = [w.constant(weights)]
    bias = call.constant("bias")
    if bias is not None:
        names.append(w.constant(bias))
    name = w.emit(
        "conv",
        w.held(x, _image(x)),
        *names,
        stride=(*one, *call.integers("stride", count)),
        padding=(high, high, wide, wide),
        dilation=(*one, *call.integers("dilation", count)),
        groups=call.integer("groups", 1),
    )
    return w.traced(name, call.shape)


def batch_norm(w: GraphWriter, call: Call) -> Traced:
    """In use, not in training: a scale and a shift per channel."""
    if call.arguments.get("training"):
        raise Unsupported("call eval() on the module first")
    x = w.number(call.traced("input"))
    mean, variance = call.weights("running_mean"), call.weights("running_var")
    gamma, beta = call.constant("weight"), call.constant("bias")
    scale = (1 if gamma is None else gamma) / np.sqrt(variance + call.number("eps", 1e-5))
    shift = (0 if beta is None else beta) - mean * scale
    if x.shape[0] != 1:
        raise Unsupported("normalise the channels of one item only")
    held = (x.shape[1], *without_ones(x.shape[2:]))
    source = w.held(x, x.held if x.held[:1] == held[:1] else held)
    return w.traced(w.emit("affine", source, w.constant(scale), w.constant(shift), axis=0), x.shape)


def pool(op: str, w: GraphWriter, call: Call) -> Traced:
    """max_pool or avg_pool."""
    call.refuse("divisor_override", None, "average by the window's size")
    x = w.number(call.traced())
    kernel = call.integers("kernel_size", 2)
    stride = call.integers("stride", 2) if call.arguments["stride"] else kernel
    high, wide = call.integers("padding", 2)
    if op == "max_pool" and call.integers("dilation", 2) != (1, 1):
        raise Unsupported("pool without dilation")
    extra = {}
    if op == "avg_pool":
        extra["count_padding"] = bool(call.arguments.get("count_include_pad", True))
    name = w.emit(
        op,
        w.held(x, _image(x)),
        kernel=kernel,
        stride=stride,
        padding=(high, high, wide, wide),
        **extra,
    )
    result = w.traced(name, call.shape)
    if prod(result.held) != prod(call.shape):
        raise Unsupported("pool without ceil_mode")
    return result


def adaptive_pool(w: GraphWriter, call: Call) -> Traced:
    """Windows that do not overlap, where the image divides into as many."""
    x = w.number(call.traced())
    c, height, width = _image(x)
    rows, columns = call.shape[-2:]
    if (rows, columns) == (1, 1):
        return reduce("mean", w, Call({"self": x, "dim": [-2, -1]}, call.shape, None))
    if height % rows or width % columns:
        raise Unsupported(f"choose an output size that divides {height}×{width}")
    window = (height // rows, width // columns)
    source = w.held(x, (c, height, width))
    name = w.emit(
        "avg_pool",
        source,
        kernel=window,
        stride=window,
        padding=(0, 0, 0, 0),
        count_padding=True,
    )
    return w.traced(name, call.shape)
