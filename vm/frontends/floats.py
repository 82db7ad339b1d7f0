"""Evaluating a float graph in numpy: the reference that calibration and accuracy are measured by.

One function per op, in float32 (indices in int64), on batches: computed values are (items, …),
constants have no item dimension. Meanings are those of `graph_ops`.
"""

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ...core.errors import UserError
from .graph import Graph, GraphInput, Node

Value: TypeAlias = NDArray[Any]
"""float32 or int64, (items, …) unless constant."""
Evaluate: TypeAlias = Callable[[Node, tuple[Value, ...], tuple[int, ...]], Value]
"""Node, its operands, the item shape of its result."""


def walk(graph: Graph, inputs: Mapping[str, ArrayLike]) -> Iterator[tuple[Node, Value]]:
    """Yield every node with its output for a batch, in order.

    `inputs` has (items, *shape) for each graph input. Values are dropped after their last use, so
    a caller who keeps none needs little memory. Raises UserError where inputs do not fit.
    """
    values = _given(graph, inputs)
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        operands = tuple(values[name] for name in node.inputs)
        result = EVALUATE[node.op](node, operands, graph.types[node.output].shape)
        for name in set(node.inputs):
            if last_use[name] == i:
                del values[name]
        if node.output in last_use:
            values[node.output] = result
        yield node, result


def evaluate(graph: Graph, inputs: Mapping[str, ArrayLike]) -> dict[str, Value]:
    """Return the outputs of all nodes by name. Raises UserError."""
    return {node.output: value for node, value in walk(graph, inputs)}


def output(graph: Graph, inputs: Mapping[str, ArrayLike]) -> Value:
    """Return the graph's output, (items, …). Raises UserError."""
    found = [value for node, value in walk(graph, inputs) if node.output == graph.output]
    return found[0]


def _given(graph: Graph, inputs: Mapping[str, ArrayLike]) -> dict[str, Value]:
    if set(inputs) != {entry.name for entry in graph.inputs}:
        names = ", ".join(entry.name for entry in graph.inputs)
        raise UserError(f"the model's inputs are {names}, not {', '.join(inputs) or 'none'}")
    values: dict[str, Value] = {
        name: array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        for name, array in graph.constants.items()
    }
    for entry in graph.inputs:
        values[entry.name] = _input(entry, inputs[entry.name])
    if len({len(values[entry.name]) for entry in graph.inputs}) > 1:
        raise UserError("the inputs hold different numbers of items")
    return values


def _input(entry: GraphInput, data: ArrayLike) -> Value:
    array = np.asarray(data)
    if array.ndim == 0 or array.shape[1:] != entry.shape or len(array) == 0:
        raise UserError(
            f"input {entry.name} is {array.shape}: give (items, …) with items of {entry.shape}"
        )
    if entry.kind == "float":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise UserError(f"input {entry.name} holds numbers that are not finite")
        return array
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > entry.maximum:
        raise UserError(f"input {entry.name} must hold integers from 0 to {entry.maximum}")
    return array.astype(np.int64)


def erf(x: Value) -> Value:
    """Error function, absolute error below 1.5·10⁻⁷ (Abramowitz and Stegun, 7.1.26)."""
    magnitude = np.abs(x).astype(np.float64)
    t = 1 / (1 + 0.3275911 * magnitude)
    series = np.polyval([1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 0], t)
    return (np.sign(x) * (1 - series * np.exp(-magnitude * magnitude))).astype(x.dtype)


def _sigmoid(x: Value) -> Value:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _softplus(x: Value) -> Value:
    return np.logaddexp(x, np.zeros_like(x))


def _gelu(x: Value) -> Value:
    return 0.5 * x * (1 + erf(x * np.float32(0.5**0.5)))


def _gelu_tanh(x: Value) -> Value:
    return 0.5 * x * (1 + np.tanh(np.float32((2 / np.pi) ** 0.5) * (x + 0.044715 * x * x * x)))


def _hard_sigmoid(x: Value) -> Value:
    return np.clip(x / 6 + 0.5, 0, 1)


UNARY_FUNCTIONS: Final[Mapping[str, Callable[[Value], Value]]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "silu": lambda x: x * _sigmoid(x),
    "erf": erf,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "softplus": _softplus,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": lambda x: x * _hard_sigmoid(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "mish": lambda x: x * np.tanh(_softplus(x)),
}
"""The functions named in `graph_ops.UNARY`, on float32 arrays; the quantiser tabulates them."""


def _linear(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    x, w, *bias = operands
    result = x @ w.T
    return result + bias[0] if bias else result


def _matmul(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    return operands[0] @ operands[1]


def _windows(node: Node, x: Value, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Value:
    """View padded images (items, c, h, w) as (items, c, oh, ow, kh, kw)."""
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    sh, sw = node.integers("stride")
    windows = sliding_window_view(x, extent, axis=(2, 3))
    return windows[:, :, ::sh, ::sw, :: dilation[0], :: dilation[1]]


def _padded(node: Node, x: Value, fill: float) -> Value:
    top, bottom, left, right = node.integers("padding")
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)


def _conv(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    x, w, *bias = operands
    windows = _windows(node, _padded(node, x, 0), w.shape[2:], node.integers("dilation"))
    groups = node.integer("groups")
    parts = [
        np.tensordot(part, weights, axes=((1, 4, 5), (1, 2, 3)))
        for part, weights in zip(
            np.split(windows, groups, axis=1), np.split(w, groups), strict=True
        )
    ]
    result = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)
    return result + bias[0][:, np.newaxis, np.newaxis] if bias else result


def _max_pool(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    x = _padded(node, operands[0], -np.inf)
    return _windows(node, x, node.integers("kernel"), (1, 1)).max(axis=(4, 5))


def _avg_pool(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    x, kernel = operands[0], node.integers("kernel")
    total = _windows(node, _padded(node, x, 0), kernel, (1, 1)).sum(axis=(4, 5))
    if node.integer("count_padding"):
        return total / np.float32(prod(kernel))
    inside = _padded(node, np.ones_like(x[:1, :1]), 0)
    return total / _windows(node, inside, kernel, (1, 1)).sum(axis=(4, 5))


def _affine(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    x, scale, shift = operands
    along = (-1, *(1 for _ in shape[node.integer("axis") + 1 :]))
    return x * scale.reshape(along) + shift.reshape(along)


def _softmax(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    powers = np.exp(operands[0] - operands[0].max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _layer_norm(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    x, gamma, beta = operands
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(node.number("eps"))) * gamma + beta


def _embedding(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    table, ids = operands
    if ids.min() < 0 or ids.max() >= len(table):
        raise UserError(
            f"{node.source}: ids span {ids.min()} to {ids.max()}, the table has {len(table)} rows"
        )
    return table[ids]


def _item_axes(node: Node) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in node.integers("axes"))


def _expand(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    return np.broadcast_to(operands[0], (len(operands[0]), *shape))


def _concat(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    """Join; constants, which lack the item dimension, are repeated for every item."""
    items = next(len(x) for x in operands if x.ndim > len(shape))
    parts = [x if x.ndim > len(shape) else np.broadcast_to(x, (items, *x.shape)) for x in operands]
    return np.concatenate(parts, axis=1 + node.integer("axis"))


def _slice(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    cut = slice(node.integer("start"), node.integer("stop"), node.integer("step"))
    return operands[0][(*(slice(None),) * (1 + node.integer("axis")), cut)]


def _topk(node: Node, operands: tuple[Value, ...], shape: tuple[int, ...]) -> Value:
    order = np.argsort(-operands[0], axis=-1, kind="stable")
    return order[..., : node.integer("k")]


EVALUATE: Final[Mapping[str, Evaluate]] = {
    "linear": _linear,
    "matmul": _matmul,
    "conv": _conv,
    "affine": _affine,
    "add": lambda node, v, shape: v[0] + v[1],
    "sub": lambda node, v, shape: v[0] - v[1],
    "mul": lambda node, v, shape: v[0] * v[1],
    "div": lambda node, v, shape: v[0] / v[1],
    "relu": lambda node, v, shape: np.maximum(v[0], 0),
    "clamp": lambda node, v, shape: np.clip(v[0], node.number("low"), node.number("high")),
    "unary": lambda node, v, shape: UNARY_FUNCTIONS[node.text("function")](v[0]),
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "embedding": _embedding,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "mean": lambda node, v, shape: v[0].mean(axis=_item_axes(node), keepdims=True),
    "sum": lambda node, v, shape: v[0].sum(axis=_item_axes(node), keepdims=True),
    "reshape": lambda node, v, shape: v[0].reshape(len(v[0]), *shape),
    "transpose": lambda node, v, shape: v[0].transpose(
        0, *(axis + 1 for axis in node.integers("perm"))
    ),
    "expand": _expand,
    "concat": _concat,
    "slice": _slice,
    "argmax": lambda node, v, shape: v[0].argmax(axis=-1),
    "topk": _topk,
    "cast": lambda node, v, shape: v[0].astype(np.float32),
}
