"""PyTorch modules as float graphs, through `torch.export`.

A module is a function of one item here: the graph computes module(item[None])[0], which is what
the machine can do, as its items never meet. The trace is therefore taken with a batch of one.
Layers that the float graph has are kept whole, all other ops are decomposed to core ATen; what does
not depend on the input is computed by PyTorch and becomes a constant. Afterwards the graph is run
on the example and compared with the module.
"""

import warnings
from collections.abc import Mapping, Sequence
from operator import getitem
from typing import Any, Final, TypeAlias, cast

import numpy as np
import torch
from torch.fx import Node as TraceNode

from ...core.errors import UserError
from . import floats
from .graph import Graph, GraphInput, pruned
from .torch_call import Call
from .torch_ops import OPS
from .torch_values import GraphWriter, Traced, Unsupported

Example: TypeAlias = torch.Tensor | Sequence[torch.Tensor]

_TOLERANCE: Final = 0.01
"""Largest deviation of the graph from the module, as a part of the output's range: float32 differs
by less than 10⁻⁴, a wrong graph by more than this."""
_COMPARED_ITEMS: Final = 4


def graph_of_module(module: torch.nn.Module, example: Example, maximum: int | None = None) -> Graph:
    """Return the graph of a module in evaluation mode.

    `example` is a batch (items, …) of typical inputs, or one batch for each argument of `forward`.
    Integer inputs become graph inputs of kind "index" from 0 to `maximum`; by default what the
    embedding tables allow, or the example's largest entry where nothing is looked up.

    Raises UserError naming every op that has no counterpart, and what to do; where the module is in
    training mode, cannot be traced, has several outputs, or the graph's result deviates from the
    module's on the example.
    """
    examples = [example] if isinstance(example, torch.Tensor) else list(example)
    _check(module, examples)
    exported = _export(module, [data[:1] for data in examples])
    graph = _Reader(exported, examples, maximum).read()
    _compare(graph, module, [data[:_COMPARED_ITEMS] for data in examples])
    return graph


def _check(module: torch.nn.Module, examples: Sequence[torch.Tensor]) -> None:
    if any(part.training for part in module.modules()):
        raise UserError("the module is in training mode: call module.eval() first")
    if not examples or any(data.ndim == 0 or len(data) == 0 for data in examples):
        raise UserError("give an example batch (items, …) with at least one item")


def _export(
    module: torch.nn.Module, examples: Sequence[torch.Tensor]
) -> torch.export.ExportedProgram:
    table = torch.export.default_decompositions()
    for op in list(table.keys()):
        if _name(op) in OPS:
            table.pop(op)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch's, about its own code
            exported = torch.export.export(module, tuple(examples), strict=False)
            return exported.run_decompositions(table)
    except Exception as error:  # anything the module itself may raise
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"PyTorch cannot trace the module ({first[0]}): remove branches on values and calls "
            "outside of PyTorch from forward, and check the example's shape"
        ) from error


def _name(op: object) -> str:
    """Return an ATen op's name without overload."""
    packet = getattr(op, "overloadpacket", None)
    return str(getattr(packet, "__name__", getattr(op, "__name__", op)))


class _Reader:
    """Walks one exported program."""

    def __init__(
        self,
        exported: torch.export.ExportedProgram,
        examples: Sequence[torch.Tensor],
        maximum: int | None,
    ) -> None:
        self._trace = exported.graph
        self._values: dict[TraceNode, Any] = {}
        """Per trace node: Traced, a tensor, a tuple of these, or None for what is unsupported."""
        self._complaints: list[str] = []
        self._maximum = maximum
        placeholders = {node.name: node for node in self._trace.nodes if node.op == "placeholder"}
        names = exported.graph_signature.user_inputs
        users = [placeholders[name] for name in names if isinstance(name, str)]
        self._examples = {node.name: data for node, data in zip(users, examples, strict=True)}
        inputs = tuple(_input(name, data) for name, data in self._examples.items())
        self._writer = GraphWriter(inputs)
        for node, entry in zip(users, inputs, strict=True):
            self._values[node] = Traced(entry.name, entry.shape, (1, *entry.shape), entry.kind)
        self._read_stored(exported, placeholders)

    def _read_stored(
        self, exported: torch.export.ExportedProgram, placeholders: Mapping[str, TraceNode]
    ) -> None:
        """Fill in parameters, buffers and tensors that the module holds."""
        signature = exported.graph_signature
        stored = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        for name, target in stored.items():
            tensor = exported.state_dict.get(target, exported.constants.get(target))
            self._values[placeholders[name]] = tensor

    def read(self) -> Graph:
        """Return the graph."""
        result: object = None
        for node in self._trace.nodes:
            if node.op == "call_function":
                self._values[node] = self._value(node)
            elif node.op == "get_attr":
                self._complain(node, "keep tensors as buffers, and do not nest functions")
            elif node.op == "output":
                result = node.args[0]
        if self._complaints:
            raise UserError("this module has no counterpart: " + "; ".join(self._complaints))
        return self._finish(result)

    def _value(self, node: TraceNode) -> object:
        arguments = _arguments(node)
        read = {name: self._read(value) for name, value in arguments.items()}
        flat = [leaf for value in read.values() for leaf in _leaves(value)]
        name = _name(node.target)
        if any(leaf is _UNKNOWN for leaf in flat):
            return _UNKNOWN  # complained of already
        if name.startswith("_assert"):
            return None
        if node.target is getitem:
            return cast(Any, read["self"])[read["index"]]
        if not any(isinstance(leaf, Traced) for leaf in flat):
            with torch.no_grad():
                return cast(Any, node.target)(*map(self._read, node.args), **self._keywords(node))
        return self._translate(name, node, read)

    def _keywords(self, node: TraceNode) -> dict[str, object]:
        return {name: self._read(value) for name, value in node.kwargs.items()}

    def _translate(self, name: str, node: TraceNode, arguments: Mapping[str, object]) -> object:
        handler = OPS.get(name)
        if handler is None:
            self._complain(node, "replace it by ops that have one")
            return _UNKNOWN
        self._writer.source = _source(node)
        first = _leaves(node.meta.get("val"))[0]
        shape = tuple(first.shape) if isinstance(first, torch.Tensor) else ()
        dtype = first.dtype if isinstance(first, torch.Tensor) else None
        try:
            return handler(self._writer, Call(arguments, shape, dtype))
        except (Unsupported, UserError) as error:
            self._complain(node, str(error))
            return _UNKNOWN

    def _complain(self, node: TraceNode, advice: str) -> None:
        self._complaints.append(f"{_name(node.target)} in {_source(node)}: {advice}")

    def _read(self, value: object) -> object:
        """Replace trace nodes by what they stand for."""
        if isinstance(value, TraceNode):
            return self._values.get(value, _UNKNOWN)
        if isinstance(value, (list, tuple)):
            return [self._read(entry) for entry in value]
        return value

    def _finish(self, result: object) -> Graph:
        outputs = [leaf for leaf in _leaves(self._read(result)) if leaf is not None]
        if len(outputs) != 1 or not isinstance(outputs[0], Traced):
            raise UserError("forward must return one tensor that depends on its input")
        output = outputs[0]
        if output.shape[:1] != (1,):
            raise UserError(f"the output {output.shape} has no batch dimension in front")
        name = self._writer.held(output, output.shape[1:])
        writer = self._writer
        graph = pruned(Graph(writer.inputs, writer.constants, tuple(writer.nodes), name))
        inputs = tuple(self._bounded(entry, graph) for entry in graph.inputs)
        return Graph(inputs, graph.constants, graph.nodes, graph.output)

    def _bounded(self, entry: GraphInput, graph: Graph) -> GraphInput:
        if entry.kind == "float":
            return entry
        rows = [len(graph.constants[n.inputs[0]]) for n in graph.nodes if n.op == "embedding"]
        seen = int(self._examples[entry.name].max())
        found = self._maximum if self._maximum is not None else max([r - 1 for r in rows] or [seen])
        if found < seen:
            raise UserError(f"the example holds {seen}, above the largest index {found}")
        return GraphInput(entry.name, entry.shape, entry.kind, found)


class _Unknown:
    """The value of an op that is not supported."""


_UNKNOWN: Final = _Unknown()


def _input(name: str, data: torch.Tensor) -> GraphInput:
    shape = tuple(data.shape[1:])
    if data.dtype.is_floating_point:
        return GraphInput(name, shape)
    if data.dtype == torch.bool or int(data.min()) < 0:
        raise UserError(f"input {name} must hold floats, or integers from 0")
    return GraphInput(name, shape, "index", int(data.max()))


def _arguments(node: TraceNode) -> dict[str, object]:
    """Return the arguments by name, defaults included."""
    if node.target is getitem:
        return {"self": node.args[0], "index": node.args[1]}
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(i): value for i, value in enumerate((*node.args, *node.kwargs.values()))}
    found: dict[str, object] = {}
    for position, argument in enumerate(schema.arguments):
        if position < len(node.args):
            found[argument.name] = node.args[position]
        elif argument.name in node.kwargs:
            found[argument.name] = node.kwargs[argument.name]
        elif argument.has_default_value():
            found[argument.name] = argument.default_value
    return found


def _leaves(value: object) -> list[object]:
    if isinstance(value, (list, tuple)):
        return [leaf for entry in cast(Sequence[object], value) for leaf in _leaves(entry)]
    return [value]


def _source(node: TraceNode) -> str:
    """Return the module's path and the trace's name: what a person can look for."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = stack[-1][0] if stack else ""
    return f"{path} ({node.name})" if path else node.name


def _compare(graph: Graph, module: torch.nn.Module, examples: Sequence[torch.Tensor]) -> None:
    """Refuse a graph that computes something else than the module. Raises UserError."""
    with torch.no_grad():
        result = module(*examples)
    expected = cast(torch.Tensor, _leaves(result)[0]).cpu().numpy()
    inputs = {
        entry.name: data.cpu().numpy() for entry, data in zip(graph.inputs, examples, strict=True)
    }
    found = floats.output(graph, inputs)
    if found.shape != expected.shape:
        raise UserError(f"items of {found.shape[1:]} came out, not {expected.shape[1:]}")
    if expected.dtype.kind != "f":
        return  # indices jump where floats are close
    deviation = float(np.abs(found - expected).max())
    if not deviation <= _TOLERANCE * max(float(np.abs(expected).max()), 1e-6):
        raise UserError(
            f"the traced module deviates by {deviation:.3g} from the original on the example: does "
            "it mix items of a batch, or is an item masked completely?"
        )
