"""Several nodes that are one op of the machine: rows divided by their size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..graph import Graph, Node

_WRAPPING: Final = frozenset({"expand", "clamp"})


@dataclass(frozen=True, slots=True)
class UnitRows:
    """value = x ÷ √(Σx² [÷ n] + eps) over the last axis."""

    x: str
    averaged: bool
    eps: float


def find_unit_rows(graph: Graph) -> dict[str, UnitRows]:
    """Return, by output, the quotients that are normalisations of rows.

    Both x ÷ ‖x‖ (`torch.nn.functional.normalize`) and x · 1 ÷ √(mean x² + eps) (root mean square
    normalisation, Zhang and Sennrich, arXiv 1910.07467).
    """
    made = {node.output: node for node in graph.nodes}
    found: dict[str, UnitRows] = {}
    for node in graph.nodes:
        size = None
        if node.op == "div":
            size = _size(graph, made, node.inputs[0], node.inputs[1])
        elif node.op == "mul":
            for x, factor in (node.inputs, node.inputs[::-1]):
                inverse = _unwrapped(made, factor)
                if inverse is not None and _is_unary(inverse, "reciprocal"):
                    size = size or _size(graph, made, x, inverse.inputs[0])
        if size is not None:
            found[node.output] = size
    return found


def _unwrapped(made: Mapping[str, Node], name: str) -> Node | None:
    node = made.get(name)
    while node is not None and node.op in _WRAPPING:
        node = made.get(node.inputs[0])
    return node


def _is_unary(node: Node, function: str) -> bool:
    return node.op == "unary" and node.text("function") == function


def _size(graph: Graph, made: Mapping[str, Node], x: str, name: str) -> UnitRows | None:
    """Recognise √(Σx² [÷ n] + eps)."""
    root = _unwrapped(made, name)
    if root is None or not _is_unary(root, "sqrt") or x not in graph.types:
        return None
    total, eps = made.get(root.inputs[0]), 0.0
    if total is not None and total.op == "add":
        constants = [i for i in total.inputs if i in graph.constants]
        others = [i for i in total.inputs if i not in graph.constants]
        if len(constants) != 1 or graph.constants[constants[0]].size != 1:
            return None
        eps, total = (
            float(np.asarray(graph.constants[constants[0]]).reshape(-1)[0]),
            made.get(others[0]),
        )
    if total is None or total.op not in ("sum", "mean"):
        return None
    square = made.get(total.inputs[0])
    squared = square is not None and (
        (_is_unary(square, "square") and square.inputs == (x,))
        or (square.op == "mul" and square.inputs == (x, x))
    )
    last = len(graph.types[x].shape) - 1
    if not squared or total.integers("axes") != (last,):
        return None
    return UnitRows(x, total.op == "mean", eps)


def needed_nodes(graph: Graph, replaced: Mapping[str, UnitRows]) -> Sequence[Node]:
    """Return the nodes still to be lowered, in order; a replaced one reads only its x."""
    needed, kept = {graph.output}, list[Node]()
    for node in reversed(graph.nodes):
        if node.output in needed:
            whole = replaced.get(node.output)
            inputs = node.inputs if whole is None else (whole.x,)
            needed.update(inputs)
            kept.append(
                node if whole is None else Node(node.op, inputs, node.output, {}, node.source)
            )
    return kept[::-1]
