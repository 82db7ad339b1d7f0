"""Layers that an exporter took apart, put together again; works on any float graph.

Functions of one value (GELU through erf or tanh, x·sigmoid(x), …) are recognised by what they
compute, not by how they are written: a part of the graph that reads one value and consists of
elementwise ops is evaluated on a grid and compared with the functions the graph has. Layer
normalisation and bias additions are recognised by their nodes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .floats import EVALUATE, UNARY_FUNCTIONS
from .graph import Constant, Graph, Node, pruned

Producers: TypeAlias = Mapping[str, Node]

_GRID: Final = np.linspace(-8, 8, 161, dtype=np.float32)
_TOLERANCE: Final = 3e-5
"""The exact and the approximate GELU differ by 4.7·10⁻⁴."""
_ELEMENTWISE: Final = ("add", "sub", "mul", "div", "relu", "clamp", "unary")
_DEEPEST: Final = 12
"""Nodes in one function."""


def fused(graph: Graph) -> Graph:
    """Return an equal graph with layers put together."""
    graph = _rebuilt(graph, dict(graph.constants), _functions(graph))
    return _absorbed(_normalised(graph))


def _rebuilt(graph: Graph, constants: dict[str, Constant], nodes: Sequence[Node]) -> Graph:
    return pruned(Graph(graph.inputs, constants, tuple(nodes), graph.output))


def _functions(graph: Graph) -> list[Node]:
    """Replace nodes that end a function of one earlier value."""
    producers = {node.output: node for node in graph.nodes}
    return [_function(node, producers, graph.constants) for node in graph.nodes]


def _function(node: Node, producers: Producers, constants: Mapping[str, Constant]) -> Node:
    if node.op not in ("add", "sub", "mul", "div", "unary"):
        return node
    part = _elementwise_part(node, producers, constants)
    seen: set[str] = set()
    for start in reversed(part):  # the earliest first: the largest function
        for root in start.inputs:
            if root in constants or root in seen:
                continue
            seen.add(root)
            name = _name_of(node, root, part, constants)
            if name is not None:
                return Node("unary", (root,), node.output, {"function": name}, node.source)
    return node


def _elementwise_part(
    node: Node, producers: Producers, constants: Mapping[str, Constant]
) -> list[Node]:
    """Return nodes before `node`, itself first, that compute it element by element."""
    part, at = [node], 0
    while at < len(part) and len(part) < _DEEPEST:
        for name in part[at].inputs:
            before = producers.get(name)
            if before is not None and before not in part and _simple(before, constants):
                part.append(before)
        at += 1
    return part if _simple(node, constants) else []


def _simple(node: Node, constants: Mapping[str, Constant]) -> bool:
    numbers = (constants[name].size == 1 for name in node.inputs if name in constants)
    return node.op in _ELEMENTWISE and all(numbers)


def _name_of(
    node: Node, root: str, part: Sequence[Node], constants: Mapping[str, Constant]
) -> str | None:
    """Return the function of `root` that `node` is, or None."""
    if node.op == "unary" and node.inputs == (root,):
        return None
    values: dict[str, NDArray[Any] | None] = {root: _GRID}
    producers = {one.output: one for one in part}
    with np.errstate(all="ignore"):
        result = _value(node.output, values, producers, constants)
        if result is None:
            return None
        for name, function in UNARY_FUNCTIONS.items():
            wanted = function(_GRID)
            if np.allclose(result, wanted, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=False):
                return name
    return None


def _value(
    name: str,
    values: dict[str, NDArray[Any] | None],
    producers: Producers,
    constants: Mapping[str, Constant],
) -> NDArray[Any] | None:
    """Evaluate a value on the grid; None if it depends on more than the root."""
    if name in constants:
        return constants[name].astype(np.float32).reshape(())
    if name not in values:
        node = producers.get(name)
        values[name] = None
        if node is not None:
            operands = [_value(one, values, producers, constants) for one in node.inputs]
            known = tuple(one for one in operands if one is not None)
            if len(known) == len(operands):
                values[name] = EVALUATE[node.op](node, known, ())
    return values[name]


def _normalised(graph: Graph) -> Graph:
    """Replace (x − mean) / √(mean of squares + eps) over the last axis."""
    producers = {node.output: node for node in graph.nodes}
    constants, nodes = dict(graph.constants), list[Node]()
    for node in graph.nodes:
        found = _normalised_value(node, graph, producers)
        if found is not None:
            x, eps = found
            width = graph.types[x].shape[-1:]
            names = (f"{node.output}.gamma", f"{node.output}.beta")
            constants.update(zip(names, (np.ones(width), np.zeros(width)), strict=True))
            attributes = {"eps": eps}
            node = Node("layer_norm", (x, *names), node.output, attributes, node.source)
        nodes.append(node)
    return _rebuilt(graph, constants, nodes)


def _normalised_value(node: Node, graph: Graph, producers: Producers) -> tuple[str, float] | None:
    """Return (x, eps) if the node is (x − mean) / √(mean of squares + eps)."""
    centred, root = _quotient(node, producers)
    total = _made_by(root, "unary", producers, "sqrt")
    shifted = producers.get(total.inputs[0]) if total else None
    if centred is None or shifted is None or shifted.op != "add":
        return None
    eps = [graph.constants[name] for name in shifted.inputs if name in graph.constants]
    rest = [name for name in shifted.inputs if name not in graph.constants]
    variance = _made_by(rest[0] if rest else None, "mean", producers)
    squares = _made_by(variance.inputs[0] if variance else None, "unary", producers, "square")
    difference = _made_by(centred, "sub", producers)
    average = _made_by(difference.inputs[1] if difference else None, "mean", producers)
    if len(eps) != 1 or eps[0].size != 1 or not (variance and squares and difference and average):
        return None
    x = difference.inputs[0]
    last = (len(graph.types[x].shape) - 1,)
    fits = (
        squares.inputs == (centred,)
        and average.inputs == (x,)
        and average.attributes["axes"] == variance.attributes["axes"] == last
    )
    return (x, float(eps[0].item())) if fits else None


def _quotient(node: Node, producers: Producers) -> tuple[str | None, str | None]:
    """Return numerator and denominator of a division or of a product with a reciprocal."""
    if node.op == "div":
        return node.inputs[0], node.inputs[1]
    if node.op == "mul":
        for one, other in (node.inputs, node.inputs[::-1]):
            reciprocal = _made_by(other, "unary", producers, "reciprocal")
            if reciprocal is not None:
                return one, reciprocal.inputs[0]
    return None, None


def _made_by(
    name: str | None, op: str, producers: Producers, function: str | None = None
) -> Node | None:
    node = producers.get(name) if name is not None else None
    if node is None or node.op != op or node.attributes.get("function") != function:
        return None
    return node


def _absorbed(graph: Graph) -> Graph:
    """Take scales and shifts by constants into the layer before them, where no one else reads it.

    A shift into linear, conv and layer_norm; a scale of every channel into layer_norm and, from
    batch normalisation, into linear and conv.
    """
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    constants, producers = dict(graph.constants), dict[str, Node]()
    for node in graph.nodes:
        scale_shift = _scale_shift(node, constants)
        if scale_shift is not None:
            x, scale, shift = scale_shift
            before = producers.get(x)
            if before is not None and uses[x] == 1:
                node = _merged(node, before, scale, shift, constants, graph) or node
        producers[node.output] = node
    return _rebuilt(graph, constants, list(producers.values()))


def _scale_shift(
    node: Node, constants: Mapping[str, Constant]
) -> tuple[str, Constant | None, Constant | None] | None:
    """Return (x, scale, shift) if the node is x·scale + shift."""
    if node.op == "affine":
        return node.inputs[0], constants[node.inputs[1]], constants[node.inputs[2]]  # (c,) each
    if node.op in ("add", "mul"):
        for x, other in (node.inputs, node.inputs[::-1]):
            if other in constants:
                one = constants[other]
                return (x, one, None) if node.op == "mul" else (x, None, one)
    return None


def _merged(
    node: Node,
    before: Node,
    scale: Constant | None,
    shift: Constant | None,
    constants: dict[str, Constant],
    graph: Graph,
) -> Node | None:
    """Return the layer `before` with scale and shift in it, or None where they do not fit."""
    shape = graph.types[before.output].shape
    if before.op not in ("linear", "conv", "layer_norm") or graph.types[node.output].shape != shape:
        return None
    axis = 0 if before.op == "conv" else len(shape) - 1
    if node.op == "affine" and node.integer("axis") != axis:
        return None
    if node.op == "mul" and before.op != "layer_norm":
        return None
    channels = shape[axis]
    trailing = 0 if node.op == "affine" else len(shape) - axis - 1
    factor = _channels(scale, channels, trailing, 1.0)
    term = _channels(shift, channels, trailing, 0.0)
    if factor is None or term is None:
        return None
    x, w, *rest = before.inputs
    weights = constants[w] * factor.reshape(-1, *(1,) * (constants[w].ndim - 1))
    bias = constants[rest[0]] * factor if rest else np.zeros(channels)
    names = (f"{node.output}.weight", f"{node.output}.bias")
    constants[names[0]] = weights.astype(np.float32)
    constants[names[1]] = (bias + term).astype(np.float32)
    return Node(before.op, (x, *names), node.output, before.attributes, before.source)


def _channels(
    array: Constant | None, channels: int, trailing: int, usual: float
) -> NDArray[np.float64] | None:
    """Return one number per channel, or None; `trailing` dimensions follow the channel's."""
    if array is None or array.size == 1:
        return np.full(channels, usual if array is None else float(array.item()))
    along = array.shape[-1 - trailing] if array.ndim > trailing else 0
    return array.reshape(-1).astype(np.float64) if along == array.size == channels else None
