"""ONNX models as float graphs.

A model is read as a function of one item, as the machine's items never meet: with a batch of one
and fixed lengths everywhere, the chains of small ops by which exporters compute shapes and masks
depend on constants only and are folded. What remains is written as a graph, in which decomposed
layers are put together again (`onnx_patterns`).
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
from onnx import NodeProto, ValueInfoProto

from ...core.errors import UserError
from .graph import Graph, GraphInput, pruned
from .graph_ops import Shape
from .onnx_call import Call, Handler, attributes_of
from .onnx_file import MAX_DIMENSIONS, OnnxModel, read_onnx
from .onnx_fold import DTYPES, Folder
from .onnx_ops import ADVICE, GENERAL_ADVICE, OPS
from .onnx_patterns import fused
from .torch_values import GraphWriter, Operand, Traced, Unsupported

_MAX_ELEMENTS: Final = 2**28
"""Numbers in one value of one item."""
_MAX_NAMED: Final = 8
"""Nodes named per complaint, and complaints told."""
_DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")
_LARGEST: Final[Mapping[str, int]] = {"bool": 1, "uint8": 255, "int8": 127}
"""Largest entry by the type of an input."""


def graph_of_onnx(
    source: bytes | str | Path,
    *,
    output: str | None = None,
    dimensions: Mapping[str, int] | None = None,
    maximum: Mapping[str, int] | None = None,
) -> Graph:
    """Return the graph of an ONNX model, given by its path or its bytes.

    The first dimension of every input is the batch: of length 1 or free. `dimensions` fixes other
    free lengths by their names in the model ("sequence"). `output` chooses one of several outputs.
    `maximum` gives the largest entry of integer inputs, by input; without it, what the tables allow
    in which an input is looked up.

    Raises UserError where the file is damaged, too large or of another opset than 13 to 21; where
    lengths or largest entries are not known; and, once for all of them, for every op that has no
    counterpart, with what to do.
    """
    model = read_onnx(source)
    reader = _Reader(model, _chosen(model, output), dimensions or {})
    return reader.read(maximum or {})


def _chosen(model: OnnxModel, output: str | None) -> str:
    names = ", ".join(model.outputs[:_MAX_NAMED])
    if output is None and len(model.outputs) == 1:
        return model.outputs[0]
    if output is None:
        raise UserError(f"the model has outputs {names}: choose one")
    if output not in model.outputs:
        raise UserError(f"the model has no output {output}: choose one of {names}")
    return output


class _Complaints:
    """Everything that is not supported, told at once."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], list[str]] = {}

    def add(self, node: NodeProto, advice: str) -> None:
        self._nodes.setdefault((node.op_type, advice), []).append(_source(node))

    def tell(self) -> None:
        """Raise UserError if there are any."""
        if not self._nodes:
            return
        lines = [
            f"{op} ({_some(names)}): {advice}"
            for (op, advice), names in list(self._nodes.items())[:_MAX_NAMED]
        ]
        more = len(self._nodes) - len(lines)
        rest = f"; and {more} more" if more else ""
        raise UserError(f"parts of this model have no counterpart: {'; '.join(lines)}{rest}")


def _some(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _source(node: NodeProto) -> str:
    """Return what a person finds in a viewer of ONNX files."""
    return (node.name or f"the node of {', '.join(node.output)}")[:200]


class _Reader:
    """Walks one model."""

    def __init__(self, model: OnnxModel, output: str, dimensions: Mapping[str, int]) -> None:
        self._model, self._output = model, output
        self._complaints = _Complaints()
        self._folder = Folder()
        shapes = _Shapes(dimensions)
        self._shapes = {entry.name: shapes.of(entry) for entry in model.inputs}
        inputs = tuple(_input(entry, shape[1:]) for entry, shape in self._entries())
        self._writer = GraphWriter(inputs)
        self._values: dict[str, Operand | None] = {"": None, **model.stored}
        """By name; None for what is not supported and complained of."""
        for entry in inputs:
            shape = self._shapes[entry.name]
            self._values[entry.name] = Traced(entry.name, entry.shape, shape, entry.kind)

    def _entries(self) -> list[tuple[ValueInfoProto, Shape]]:
        return [(entry, self._shapes[entry.name]) for entry in self._model.inputs]

    def read(self, maximum: Mapping[str, int]) -> Graph:
        """Return the graph."""
        with np.errstate(all="ignore"):  # numbers that are not finite are refused by the graph
            for node in _needed(self._model.nodes, self._output):
                self._read_node(node)
        self._complaints.tell()
        output = self._values[self._output]
        if not isinstance(output, Traced):
            raise UserError(f"the output {self._output} does not depend on the input")
        if output.shape[:1] != (1,):
            raise UserError(f"the output {output.shape} has no batch dimension in front")
        name = self._writer.held(output, output.shape[1:])
        writer = self._writer
        graph = fused(pruned(Graph(writer.inputs, writer.constants, tuple(writer.nodes), name)))
        types = {entry.name: _dtype(entry) for entry in self._model.inputs}
        inputs = tuple(
            _bounded(entry, graph, maximum, _LARGEST.get(types[entry.name].name))
            for entry in graph.inputs
        )
        return Graph(inputs, graph.constants, graph.nodes, graph.output)

    def _read_node(self, node: NodeProto) -> None:
        results: tuple[Operand | None, ...] = ()
        missing = [name for name in node.input if name and self._values.get(name) is None]
        if not missing:
            self._writer.source = _source(node)
            try:
                results = self._results(node)
            except (Unsupported, UserError) as error:
                self._complaints.add(node, str(error))
            except (ValueError, TypeError, LookupError, ArithmeticError) as error:
                # what Python and numpy say of attributes and operands that do not belong together
                self._complaints.add(node, f"operands and attributes do not fit ({error})"[:300])
        padded = (*results, *(None for _ in node.output))
        self._values.update(zip(node.output, padded, strict=False))
        self._values[""] = None

    def _results(self, node: NodeProto) -> tuple[Operand | None, ...]:
        if node.domain not in _DOMAINS:
            raise Unsupported(f"export without ops of {node.domain[:100]} (fusions of a runtime)")
        operands = tuple(self._values[name] for name in node.input)
        translate = self._handler(node.op_type, operands)
        call = Call(node.op_type, operands, attributes_of(node), len(node.output))
        found = translate(self._writer, call)
        results = found if isinstance(found, tuple) else (found,)
        for result in results:
            _check_size(result)
        return results

    def _handler(self, op: str, operands: tuple[Operand | None, ...]) -> Handler:
        if not any(isinstance(x, Traced) for x in operands):
            return lambda writer, call: self._folder.fold(call)
        if op not in OPS:
            raise Unsupported(ADVICE.get(op, GENERAL_ADVICE))
        return OPS[op]


def _check_size(result: Operand | None) -> None:
    if result is None:
        return
    if len(result.shape) > MAX_DIMENSIONS or prod(result.shape) > _MAX_ELEMENTS:
        raise Unsupported(f"its result exceeds {_MAX_ELEMENTS:,} numbers or 16 dimensions")


def _needed(nodes: tuple[NodeProto, ...], output: str) -> list[NodeProto]:
    """Return the nodes on which the output depends, in order."""
    wanted, kept = {output}, list[NodeProto]()
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


class _Shapes:
    """Shapes of inputs with a batch of one; free lengths have names."""

    def __init__(self, dimensions: Mapping[str, int]) -> None:
        self._lengths = dict(dimensions)
        self._batch: set[str] = set()

    def of(self, entry: ValueInfoProto) -> Shape:
        """Return the shape of an input, (1, *item). Raises UserError."""
        name = entry.name
        if entry.type.WhichOneof("value") != "tensor_type":
            raise UserError(f"input {name} is not a tensor")
        if not entry.type.tensor_type.HasField("shape"):
            raise UserError(f"the shape of input {name} is not known: export it with one")
        entries = entry.type.tensor_type.shape.dim
        if not 1 <= len(entries) <= MAX_DIMENSIONS:
            raise UserError(f"input {name} needs dimensions (batch, …), at most {MAX_DIMENSIONS}")
        first = entries[0]
        if first.HasField("dim_value") and first.dim_value > 1:
            raise UserError(
                f"input {name} has a fixed batch of {first.dim_value} in front: export the model "
                "with a dynamic batch dimension"
            )
        if first.dim_param:
            self._batch.add(first.dim_param)
        shape = (1, *(self._length(name, d.dim_value, d.dim_param) for d in list(entries)[1:]))
        if prod(shape) > _MAX_ELEMENTS:
            raise UserError(f"input {name} {shape} has more than {_MAX_ELEMENTS:,} numbers")
        return shape

    def _length(self, name: str, value: int, parameter: str) -> int:
        if parameter in self._batch:
            return 1
        length = self._lengths.get(parameter, value)
        if length < 1:
            called = parameter or "without a name"
            raise UserError(
                f"input {name} has a free dimension ({called}): give its length in `dimensions`, "
                "or export the model with fixed lengths"
            )
        return length


def _dtype(entry: ValueInfoProto) -> "np.dtype[np.generic]":
    code = entry.type.tensor_type.elem_type
    if code not in DTYPES:
        raise UserError(f"input {entry.name} must hold floats or integers")
    return np.dtype(DTYPES[code])


def _input(entry: ValueInfoProto, shape: Shape) -> GraphInput:
    return GraphInput(entry.name, shape, "float" if _dtype(entry).kind == "f" else "index")


_MOVES: Final = ("reshape", "transpose", "expand", "concat", "slice")


def _bounded(
    entry: GraphInput, graph: Graph, maximum: Mapping[str, int], largest: int | None
) -> GraphInput:
    """Return an integer input with its largest entry."""
    if entry.kind == "float":
        return entry
    reached, rows = {entry.name}, list[int]()
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        if node.op == "embedding":
            rows.append(len(graph.constants[node.inputs[0]]) - 1)
        elif node.op in _MOVES:
            reached.add(node.output)
    found = maximum.get(entry.name, max(rows) if rows else largest)
    if found is None:
        raise UserError(
            f"the largest entry of input {entry.name} is not known: give it in `maximum` "
            "(1 for a mask of zeros and ones)"
        )
    return GraphInput(entry.name, entry.shape, entry.kind, found)
