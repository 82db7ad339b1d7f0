"""What becomes of each ATen op of a traced PyTorch module: one small function per op.

The table `OPS` is keyed by the op's name without overload. `torch_import` calls an entry only where
an operand is computed; what depends on constants alone has been evaluated by PyTorch itself.
(Meanings: PyTorch 2.13, native_functions.yaml.)
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import prod
from typing import Final

import numpy as np
import torch

from . import torch_layers as layers
from . import torch_masks as masks
from .torch_call import Call, Handler, Result
from .torch_values import GraphWriter, Numbers, Traced, Unsupported


def _view(w: GraphWriter, call: Call) -> Traced:
    """Another shape, the same elements in the same order."""
    return call.traced().viewed(call.shape)


def _dropout(w: GraphWriter, call: Call) -> Traced:
    return call.traced("input").viewed(call.shape)


def _convert(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    if call.dtype == torch.bool:
        return w.truth(x)
    if call.dtype is not None and call.dtype.is_floating_point:
        return w.number(x)
    if x.kind == "float" and not x.truth:
        raise Unsupported("numbers cannot become integers inside a model; round outside of it")
    return x


def _filled(w: GraphWriter, call: Call) -> torch.Tensor:
    """A constant of the shape of a computed value, like full_like."""
    return torch.full(call.shape, call.number("fill_value", 0.0), dtype=call.dtype)


def _arithmetic(op: str, w: GraphWriter, call: Call) -> Traced:
    call.refuse("alpha", 1, "multiply by alpha separately")
    x, y = call.operand("self"), call.operand("other")
    if op == "div":
        call.refuse("rounding_mode", None, "divide without rounding")
        if not isinstance(y, Traced):
            return w.elementwise("mul", x, 1 / y.astype(np.float64))
    return w.elementwise(op, x, y)


def _rsub(w: GraphWriter, call: Call) -> Traced:
    call.refuse("alpha", 1, "multiply by alpha separately")
    return w.elementwise("sub", call.operand("other"), call.operand("self"))


def _neg(w: GraphWriter, call: Call) -> Traced:
    return w.elementwise("mul", call.traced(), np.asarray(-1.0))


def _pow(w: GraphWriter, call: Call) -> Traced:
    functions = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
    function = functions.get(call.number("exponent", 0.0))
    if function is None:
        raise Unsupported("powers of 2, 1/2 and −1 only")
    return _of(w, call.traced(), "unary", function=function)


def _of(w: GraphWriter, x: Traced, op: str, **attributes: float | str) -> Traced:
    """An op on each element by itself."""
    return w.traced(w.emit(op, w.number(x).name, **attributes), x.shape)


def _function(function: str, w: GraphWriter, call: Call) -> Traced:
    for name in ("alpha", "scale", "input_scale", "beta"):  # of elu and softplus
        call.refuse(name, 1, f"{function} with its usual parameters only")
    return _of(w, call.traced(), "unary", function=function)


def _relu(w: GraphWriter, call: Call) -> Traced:
    return _of(w, call.traced(), "relu")


def _gelu(w: GraphWriter, call: Call) -> Traced:
    exact = call.arguments.get("approximate", "none") == "none"
    return _of(w, call.traced(), "unary", function="gelu" if exact else "gelu_tanh")


def _rsqrt(w: GraphWriter, call: Call) -> Traced:
    root = _of(w, call.traced(), "unary", function="sqrt")
    return _of(w, root, "unary", function="reciprocal")


def _clamp(low: str, high: str, w: GraphWriter, call: Call) -> Traced:
    limits = {"low": call.number(low, -np.inf), "high": call.number(high, np.inf)}
    return _of(w, call.traced(), "clamp", **limits)


def _permute(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    return w.permuted(x, call.axes("dims", len(x.shape)))


def _transpose(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    order = list(range(len(x.shape)))
    first = call.axis("dim0" if "dim0" in call.arguments else "", len(order))
    second = call.axis("dim1" if "dim1" in call.arguments else "", len(order))
    if "dim0" not in call.arguments:  # t()
        first, second = 0, len(order) - 1
    order[first], order[second] = second, first
    return w.permuted(x, order)


def _expand(w: GraphWriter, call: Call) -> Traced:
    return w.spread(call.traced(), call.shape)


def _repeat(w: GraphWriter, call: Call) -> Traced:
    """Each dimension is spread along a new one in front of it, which it then absorbs."""
    x = call.traced()
    times = call.integers("repeats", len(call.shape))
    padded = (1,) * (len(times) - len(x.shape)) + x.shape
    apart = x.viewed(tuple(length for old in padded for length in (1, old)))
    joint = tuple(length for pair in zip(times, padded, strict=True) for length in pair)
    return w.spread(apart, joint).viewed(call.shape)


def _slice(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    axis = call.axis("dim", len(x.shape))
    bounds = slice(call.integer("start"), call.integer("end", x.shape[axis]), call.integer("step"))
    return w.cut(x, axis, *bounds.indices(x.shape[axis]))


def _select_one(w: GraphWriter, call: Call) -> Traced:
    x = call.traced()
    axis = call.axis("dim", len(x.shape))
    index = call.integer("index") % x.shape[axis]
    return w.cut(x, axis, index, index + 1).viewed(call.shape)


def _index(w: GraphWriter, call: Call) -> Traced:
    """Constant positions that only repeat x along new dimensions, as masks are spread."""
    x = call.traced()
    chosen: list[Numbers | slice] = []
    for entry in call.listed("indices"):
        if isinstance(entry, Traced):
            raise Unsupported("choose by constant positions, or from an nn.Embedding")
        chosen.append(entry.numpy() if isinstance(entry, torch.Tensor) else slice(None))
    positions = np.arange(prod(x.shape)).reshape(x.shape)[tuple(chosen)]
    core = positions
    for axis in range(positions.ndim):
        first = core.take([0], axis)
        core = first if (core == first).all() else core
    if not np.array_equal(core.ravel(), np.arange(prod(x.shape))):
        raise Unsupported("choose by slices, as in x[:, 2:5]")
    return w.spread(x.viewed(core.shape), positions.shape)


def _split(w: GraphWriter, call: Call) -> tuple[Traced, ...]:
    """Parts of given sizes, or of one size but for the last."""
    x = call.traced()
    axis = call.axis("dim", len(x.shape))
    sizes = call.arguments.get("split_sizes", call.arguments.get("split_size"))
    if isinstance(sizes, int):
        ends = [*range(sizes, x.shape[axis], sizes), x.shape[axis]]
    else:
        ends = list(np.cumsum(np.asarray(sizes)).tolist())
    return tuple(
        w.cut(x, axis, start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)
    )


def _unbind(w: GraphWriter, call: Call) -> tuple[Traced, ...]:
    x = call.traced()
    axis = call.axis("dim", len(x.shape))
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    return tuple(w.cut(x, axis, i, i + 1).viewed(rest) for i in range(x.shape[axis]))


def _cat(w: GraphWriter, call: Call) -> Traced:
    parts = [Call({"part": part}, (), None).operand("part") for part in call.listed("tensors")]
    axis = call.axis("dim", len(call.shape))
    kept = [i for i, length in enumerate(call.shape) if length != 1 or i == axis]
    names = [
        w.held(part, tuple(part.shape[i] for i in kept))
        if isinstance(part, Traced)
        else w.constant(part.reshape([part.shape[i] for i in kept]))
        for part in parts
    ]
    return w.traced(w.emit("concat", *names, axis=kept.index(axis)), call.shape)


def _first(handler: Handler, w: GraphWriter, call: Call) -> Result:
    """An op with several results of which models use the first."""
    result = handler(w, call)
    return (result,) if isinstance(result, Traced) else result


_VIEWS: Final = (
    *("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten"),
    *("clone", "contiguous", "alias", "detach"),
)
_FUNCTIONS: Final = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "silu",
    "erf": "erf",
    "exp": "exp",
    "sqrt": "sqrt",
    "abs": "abs",
    "reciprocal": "reciprocal",
    "softplus": "softplus",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "elu": "elu",
    "mish": "mish",
}


def _all(names: Iterable[str], handler: Handler) -> dict[str, Handler]:
    return dict.fromkeys(names, handler)


def _each(
    names: Mapping[str, str], handler: Callable[[str, GraphWriter, Call], Result]
) -> dict[str, Handler]:
    """Return, by ATen name, the handler with the name that it goes by here."""
    return {aten: partial(handler, name) for aten, name in names.items()}


OPS: Final[Mapping[str, Handler]] = {
    **_all(_VIEWS, _view),
    **_each(_FUNCTIONS, _function),
    **_each({op: op for op in ("add", "sub", "mul", "div")}, _arithmetic),
    **_each({op: op for op in ("eq", "ne", "gt", "ge", "lt", "le")}, masks.compare),
    **_each({op: op for op in ("mean", "sum")}, layers.reduce),
    **_all(("to", "_to_copy"), _convert),
    **_all(("full_like", "zeros_like"), _filled),
    **_all(("matmul", "mm", "bmm"), layers.matmul),
    **_all(("softmax", "_softmax"), layers.softmax),
    **_all(("transpose", "t"), _transpose),
    **_all(("split", "split_with_sizes"), _split),
    **_all(("logical_not", "bitwise_not"), masks.negate),
    **_all(("logical_and", "bitwise_and"), masks.conjunction),
    **_all(("conv1d", "conv2d"), layers.convolution),
    "dropout": _dropout,
    "linear": layers.linear,
    "addmm": layers.addmm,
    "scaled_dot_product_attention": layers.attention,
    "masked_fill": masks.masked_fill,
    "where": masks.where,
    "rsub": _rsub,
    "neg": _neg,
    "pow": _pow,
    "rsqrt": _rsqrt,
    "relu": _relu,
    "gelu": _gelu,
    "clamp": partial(_clamp, "min", "max"),
    "clamp_min": partial(_clamp, "min", ""),
    "hardtanh": partial(_clamp, "min_val", "max_val"),
    "layer_norm": layers.layer_norm,
    "embedding": layers.embedding,
    "permute": _permute,
    "expand": _expand,
    "repeat": _repeat,
    "slice": _slice,
    "index": _index,
    "select": _select_one,
    "unbind": _unbind,
    "cat": _cat,
    "argmax": layers.argmax,
    "batch_norm": layers.batch_norm,
    "_native_batch_norm_legit_no_training": partial(_first, layers.batch_norm),
    "max_pool2d": partial(layers.pool, "max_pool"),
    "max_pool2d_with_indices": partial(_first, partial(layers.pool, "max_pool")),
    "avg_pool2d": partial(layers.pool, "avg_pool"),
    "adaptive_avg_pool2d": layers.adaptive_pool,
}
