"""The float graph: what every front end reads models into, and what the quantiser reads.

A straight line of nodes, each an op of `graph_ops` over values by name: graph inputs, constants
and earlier nodes' outputs. All shapes are static and are those of *one item*: at run time every
computed value has one more leading dimension, that of the items of a batch, and a constant has
not, it is the same for all items. No op ever mixes items. Axes count the dimensions of an item,
from 0 and never from the end. A value is "float", or "index": integers that select (token ids) or
count, which `embedding` and `cast` read.

Building a `Graph` checks it: a graph in hand has known ops, complete attributes, defined names and
shapes that fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UserError
from .graph_ops import OPS, Attribute, Attributes, Kind, Shape, ValueType

Constant: TypeAlias = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input: `shape` is that of one item.

    kind "float": numbers, whose range calibration finds. kind "index": integers from 0 to
    `maximum`, both included.
    """

    name: str
    shape: Shape
    kind: Kind = "float"
    maximum: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One op: `inputs` and `output` are names of values.

    `attributes` are exactly those that the op's entry in `graph_ops.OPS` names. `source` is the
    name a person finds in the original model; messages and reports use it.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes = field(default_factory=dict[str, Attribute])
    source: str = ""

    def integer(self, name: str) -> int:
        """Return an integer (or boolean) attribute."""
        value = self.attributes[name]
        if not isinstance(value, int):
            raise TypeError(f"attribute {name} of {self.op} is not an integer")
        return value

    def number(self, name: str) -> float:
        """Return a float attribute."""
        value = self.attributes[name]
        if not isinstance(value, (int, float)):
            raise TypeError(f"attribute {name} of {self.op} is not a number")
        return float(value)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute of several integers."""
        value = self.attributes[name]
        if not isinstance(value, tuple):
            raise TypeError(f"attribute {name} of {self.op} is not a tuple")
        return value

    def text(self, name: str) -> str:
        """Return a string attribute."""
        value = self.attributes[name]
        if not isinstance(value, str):
            raise TypeError(f"attribute {name} of {self.op} is not a string")
        return value


@dataclass(frozen=True)
class Graph:
    """A model in floats. Raises UserError where it is inconsistent.

    `constants` are float or integer arrays without an item dimension. `types` (and `shapes`)
    cover every input, constant and node output. `output` is computed, not an input or constant.
    """

    inputs: tuple[GraphInput, ...]
    constants: Mapping[str, Constant]
    nodes: tuple[Node, ...]
    output: str
    types: Mapping[str, ValueType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        types = _given_types(self.inputs, self.constants)
        for node in self.nodes:
            if node.output in types:
                raise UserError(f"{_where(node)}: the name {node.output} is taken")
            types[node.output] = _node_type(node, types)
        if self.output not in {node.output for node in self.nodes}:
            raise UserError(f"the graph's output {self.output} is not the output of any node")
        object.__setattr__(self, "types", types)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of one item of every value, and of every constant."""
        return {name: value.shape for name, value in self.types.items()}


def pruned(graph: Graph) -> Graph:
    """Return the graph without nodes and constants on which its output does not depend.

    Inputs stay: they are what users pass.
    """
    needed, kept = {graph.output}, list[Node]()
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    return Graph(graph.inputs, constants, tuple(reversed(kept)), graph.output)


def _given_types(
    inputs: tuple[GraphInput, ...], constants: Mapping[str, Constant]
) -> dict[str, ValueType]:
    types: dict[str, ValueType] = {}
    for entry in inputs:
        if entry.name in types or entry.name in constants:
            raise UserError(f"the name of input {entry.name} is taken")
        if any(length < 1 for length in entry.shape):
            raise UserError(f"input {entry.name} has shape {entry.shape}: lengths must be fixed")
        types[entry.name] = ValueType(entry.shape, entry.kind, False)
    for name, array in constants.items():
        if array.dtype.kind not in "fiu":
            raise UserError(f"constant {name} is {array.dtype}, neither floats nor integers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"constant {name} holds numbers that are not finite")
        types[name] = ValueType(array.shape, "float" if array.dtype.kind == "f" else "index", True)
    return types


def _node_type(node: Node, types: Mapping[str, ValueType]) -> ValueType:
    """Return the type of the node's output."""
    op = OPS.get(node.op)
    if op is None:
        raise UserError(f"{_where(node)}: there is no op of this name")
    missing = [name for name in node.inputs if name not in types]
    if missing:
        raise UserError(f"{_where(node)}: {', '.join(missing)} is not defined before it")
    try:
        return op.result(tuple(types[name] for name in node.inputs), node.attributes)
    except UserError as error:
        raise UserError(f"{_where(node)}: {error}") from None


def _where(node: Node) -> str:
    return f"{node.op} {node.source or node.output}"
