"""From a float graph and typical inputs to a program, its weights, codec and report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....core.errors import RuleViolation, UserError
from ...check import check_program
from ...ops import Reshape
from ...program import Program
from ..floats import walk
from ..graph import Graph, Node
from . import (
    lower_attention,
    lower_elementwise,
    lower_index,
    lower_layout,
    lower_linear,
    lower_norm,
    lower_tables,
)
from .codec import Codec, Decoder, Encoder
from .inputs import open_tape
from .lowering import Lower, Lowering, Product
from .patterns import find_unit_rows, needed_nodes
from .report import NodeReport, Report, errors_of, score_of
from .tape import Slot, Tape
from .uses import Uses
from .wire import Wire

Progress: TypeAlias = Callable[[float, str], None]
"""Gets the share done, from 0 to 1, and what comes next."""

_LOWER: Final[Mapping[str, Lower]] = {
    "linear": lower_linear.linear,
    "conv": lower_linear.conv,
    "matmul": lower_attention.matmul,
    "softmax": lower_attention.softmax,
    "affine": lower_elementwise.affine,
    "add": lower_elementwise.add,
    "sub": lower_elementwise.sub,
    "mul": lower_elementwise.mul,
    "div": lower_elementwise.div,
    "relu": lower_elementwise.relu,
    "clamp": lower_elementwise.clamp,
    "unary": lower_tables.unary,
    "layer_norm": lower_norm.layer_norm,
    "embedding": lower_index.embedding,
    "argmax": lower_index.argmax,
    "topk": lower_index.topk,
    "cast": lower_index.cast,
    "max_pool": lower_layout.max_pool,
    "avg_pool": lower_layout.avg_pool,
    "mean": lower_layout.mean,
    "sum": lower_layout.sum_,
    "reshape": lower_layout.reshape,
    "transpose": lower_layout.transpose,
    "expand": lower_layout.expand,
    "concat": lower_layout.concat,
    "slice": lower_layout.slice_,
}


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """What registering the model takes, and what its users need."""

    program: Program
    weights: bytes
    encoder: Encoder
    decoder: Decoder
    report: Report

    @property
    def codec(self) -> Codec:
        """Encoder and decoder, as kept beside the program."""
        return Codec(1, self.encoder, self.decoder)


def quantise(
    graph: Graph,
    calibration: ArrayLike | Mapping[str, ArrayLike],
    *,
    progress: Progress | None = None,
    floor: float = 32.0,
    extra: float = 0.25,
) -> Quantised:
    """Quantise a model. `calibration`: typical inputs (items, …), by name where there are several.

    Some dozens of items do; ranges and biases are taken from them. Products that lose more than
    `floor` dB by themselves get their inputs in two operands of thirteen bits together, the worst
    first, for at most `extra` times the model's multiply-accumulates; tables likewise, for free.
    Raises UserError where the model or data do not fit, naming the node.
    """
    data = _given(graph, calibration)
    tell = progress or _silent
    first = _Pass(graph, data, frozenset(), floor)
    first.run(lambda share, text: tell(share / 2, text))
    chosen = _worst(first.state.products, floor, extra)
    last = first
    if chosen:
        last = _Pass(graph, data, chosen, floor)
        last.run(lambda share, text: tell((1 + share) / 2, text))
    result = last.finished()
    tell(1.0, "done")
    return result


def _silent(share: float, text: str) -> None:
    """Report to nobody."""


def _given(
    graph: Graph, calibration: ArrayLike | Mapping[str, ArrayLike]
) -> dict[str, NDArray[Any]]:
    """Return the calibration data by input, checked."""
    names = ", ".join(entry.name for entry in graph.inputs)
    if not isinstance(calibration, Mapping):
        if len(graph.inputs) != 1:
            raise UserError(f"the model has the inputs {names}: give calibration data by name")
        calibration = {graph.inputs[0].name: calibration}
    if set(calibration) != {entry.name for entry in graph.inputs}:
        raise UserError(f"the model's inputs are {names}: give calibration data for each")
    data = {name: np.asarray(array) for name, array in calibration.items()}
    for entry in graph.inputs:
        array = data[entry.name]
        if array.ndim == 0 or array.shape[1:] != entry.shape or len(array) == 0:
            raise UserError(
                f"calibration data for {entry.name} is {array.shape}: "
                f"give (items, …) with items of {entry.shape}"
            )
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise UserError(f"calibration data for {entry.name} must be finite numbers")
    return data


def _worst(products: Mapping[str, Product], floor: float, extra: float) -> frozenset[str]:
    """Return the products that get two limbs: the worst first, as far as the budget goes."""
    budget = extra * sum(product.macs for product in products.values())
    chosen: set[str] = set()
    for name, product in sorted(products.items(), key=lambda entry: entry[1].sqnr):
        if product.sqnr < floor and product.macs <= budget:
            chosen.add(name)
            budget -= product.macs
    return frozenset(chosen)


class _Pass:
    """One walk over the graph."""

    def __init__(
        self,
        graph: Graph,
        data: Mapping[str, NDArray[Any]],
        two_limbed: frozenset[str],
        floor: float,
    ) -> None:
        self._graph, self._data = graph, data
        self._replaced = find_unit_rows(graph)
        self._nodes = {node.output: node for node in needed_nodes(graph, self._replaced)}
        uses = Uses(graph, list(self._nodes.values()), two_limbed)
        opening = open_tape(graph, uses, data)
        self._encoder, self._tape = opening.encoder, opening.tape
        self.state = Lowering(graph, opening.tape, opening.wires, uses, floor)
        self._reports: list[NodeReport] = []
        self._metric = ("", 0.0)

    def run(self, tell: Progress) -> None:
        """Lower every node that is needed, in order."""
        last_use = {name: n.output for n in self._nodes.values() for name in n.inputs}
        done = 0
        for original, reference in walk(self._graph, self._data):
            node = self._nodes.get(original.output)
            if node is None:
                continue
            tell(done / len(self._nodes), f"{node.op} {node.source or node.output}")
            done += 1
            self.state.reference = reference
            wire = self._lowered(node)
            self.state.wires[node.output] = wire
            self._note(node, wire, reference)
            for name in set(node.inputs):
                if last_use[name] == node.output:
                    self.state.forget(name)

    def _lowered(self, node: Node) -> Wire:
        try:
            whole = self._replaced.get(node.output)
            if whole is not None:
                return lower_norm.unit_rows(
                    self.state, self.state.wire(whole.x), whole.eps, averaged=whole.averaged
                )
            return _LOWER[node.op](self.state, node)
        except UserError as error:
            where = f"{node.op} {node.source or node.output}"
            text = str(error)
            raise UserError(text if text.startswith(where) else f"{where}: {text}") from None

    def _note(self, node: Node, wire: Wire, reference: NDArray[Any]) -> None:
        index = self._graph.types[node.output].kind == "index"
        found = wire.real()
        sqnr, mean_error = errors_of(reference, found, index=index)
        product = self.state.products.get(node.output)
        self._reports.append(
            NodeReport(
                node.op,
                node.source or node.output,
                self._graph.shapes[node.output],
                sqnr,
                mean_error,
                None if product is None else product.sqnr,
                1 if product is None else product.limbs,
            )
        )
        if node.output == self._graph.output:
            self._metric = score_of(reference, found, index=index)

    def finished(self) -> Quantised:
        """Return the program that ends in the graph's output."""
        graph, wire = self._graph, self.state.wire(self._graph.output)
        slot = _result(self._tape, wire.slot)
        program, weights = self._tape.finish(slot)
        try:
            checked = check_program(program)
        except RuleViolation as error:
            raise UserError(f"the model does not fit the machine: {error}") from None
        decoder = Decoder(
            wire.shape,
            wire.order,
            graph.types[graph.output].kind,
            tuple(wire.scale.tolist()),
            tuple(wire.offset.tolist()),
            dtype="int8" if wire.narrow else "int32",
            low=wire.low if np.isfinite(wire.low) else None,
            high=wire.high if np.isfinite(wire.high) else None,
        )
        metric, score = self._metric
        report = Report(
            tuple(self._reports),
            metric,
            score,
            checked.rate.item_macs,
            checked.weight_bytes,
            checked.rate.item_bytes,
            sum(v.type.bytes for v in checked.values[program.first_result :]),
        )
        return Quantised(program, weights, self._encoder, decoder, report)


def _result(tape: Tape, slot: Slot) -> Slot:
    """Return the output as an op's result, which the input itself is not."""
    if slot is not tape.source:
        return slot
    return tape.op(partial(Reshape, shape=slot.shape), slot)
