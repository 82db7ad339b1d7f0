"""The walk over the graph: what each node's lowering has in hand, and what it leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....core.errors import UserError
from ..graph import Graph, Node
from .encodings import best_symmetric
from .rescale import Operand8, ordered, to_operand, two_limbs
from .tape import Floats, Slot, Tape
from .uses import PASSING, Uses
from .weights import balanced, choose_encoding, decibels, product_sqnr
from .wire import Wire

_BIAS_SAMPLES: Final = 32
"""Fewer results of a channel say little about its mean error."""


@dataclass(slots=True)
class Product:
    """What a product lost by itself: a candidate for two limbs, or one that has them."""

    sqnr: float
    """Of its result in dB, its own operands' rounding alone."""
    macs: int
    """Per item, of one limb."""
    limbs: int


@dataclass
class Lowering:
    """State of one pass over the graph."""

    graph: Graph
    tape: Tape
    wires: dict[str, Wire]
    uses: Uses
    floor: float
    """An SQNR in dB below which a table, or a product with two operands per number, is refined."""
    reference: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    """The current node's result in floats."""
    losses: dict[str, float] = field(default_factory=dict[str, float])
    products: dict[str, Product] = field(default_factory=dict[str, Product])
    operands: dict[tuple[str, bool], Operand8] = field(
        default_factory=dict[tuple[str, bool], Operand8]
    )

    def __post_init__(self) -> None:
        self._makers = {node.output: node for node in self.graph.nodes}

    def wire(self, name: str) -> Wire:
        """Return a computed value."""
        return self.wires[name]

    def is_constant(self, name: str) -> bool:
        """Whether a value belongs to the model."""
        return name in self.graph.constants

    def constant(self, name: str) -> Floats:
        """Return a constant of the model in float64."""
        return np.asarray(self.graph.constants[name], np.float64)

    def linear_operand(self, node: Node) -> Operand8:
        """Return the first operand of a linear layer: (…, k), a scale for each k or for all."""
        name, double = node.inputs[0], node.output in self.uses.two_limbed
        wire = ordered_last(self.tape, self.wires[name])
        if (name, double) not in self.operands:
            self.operands[name, double] = self._linear_operand(wire, name, double)
        operand = self.operands[name, double]
        rows = last_axis_rows(wire)
        w = self.constant(node.inputs[1])
        macs = w.size * (len(rows) // len(wire.slot.data))
        found = operand.real().reshape(rows.shape)
        sqnr = product_sqnr(rows, found, balanced(rows, w), operand.scale, operand.offset)
        self.products[node.output] = Product(sqnr, macs, len(operand.limbs))
        return operand

    def _linear_operand(self, wire: Wire, name: str, double: bool) -> Operand8:
        rows = last_axis_rows(wire)
        if double:
            low, high, scale = two_limbs(self.tape, wire, bound_of(rows))
            return Operand8((low, high), np.full(1, scale), np.zeros(1), wire.order)
        if wire.narrow and not wire.clipped:
            return Operand8((wire.slot,), wire.scale, wire.offset, wire.order)
        together = np.concatenate([balanced(rows, w) for w in self.uses.weights(name)])
        choice = choose_encoding(rows, together, shared=wire.clipped)
        slot = to_operand(self.tape, wire, choice.scale, choice.offset)
        return Operand8((slot,), choice.scale, choice.offset, wire.order)

    def narrowed(self, wire: Wire, name: str) -> Wire:
        """Return the value as operands of one symmetric scale, noting under a name what is lost."""
        slot, scale = symmetric_operand(self.tape, wire)
        result = Wire(slot, wire.order, np.full(1, scale))
        real = wire.real()
        self.losses[name] = decibels(real, result.real() - real)
        return result

    def lost(self, name: str) -> float:
        """Return the SQNR in dB of the rounding that a value has been through on its way here."""
        while name not in self.losses and name in self._makers:
            node = self._makers[name]
            if node.op not in PASSING:
                break
            name = node.inputs[0]
        return self.losses.get(name, 99.0)

    def forget(self, name: str) -> None:
        """Let go of a value that nobody reads any more."""
        self.wires.pop(name, None)
        for double in (False, True):
            self.operands.pop((name, double), None)

    def matched(self, wire: Wire) -> Wire:
        """Return the wire with its mean error over the calibration data made up for.

        Bias correction (Nagel et al., arXiv 1906.04721, §4.2), against the float model itself.
        The node's result must be laid out as the graph has it, but for the order of its axes.
        """
        axes = tuple(1 + axis for axis in range(len(wire.order)) if axis != wire.order[-1])
        error = self.reference - wire.real()
        samples = error.size // max(1, wire.slot.shape[-1])
        if samples < _BIAS_SAMPLES:
            return wire
        return wire.scaled(1.0, error.mean(axis=(0, *axes)))


def bound_of(x: Floats) -> float:
    return max(float(np.abs(x).max()), 1e-20)


def ordered_last(tape: Tape, wire: Wire) -> Wire:
    """Return the value with the graph's last axis as the machine's last dimension."""
    last = len(wire.order) - 1
    if wire.order[-1] == last:
        return wire
    return ordered(tape, wire)


def last_axis_rows(wire: Wire) -> Floats:
    """Return the calibration data as rows (…, k) in the machine's order, as real numbers."""
    real = np.clip(wire.slot.data * wire.scale + wire.offset, wire.low, wire.high)
    return real.reshape(-1, real.shape[-1])


def symmetric_operand(tape: Tape, wire: Wire) -> tuple[Slot, float]:
    """Return (int8, scale) with zero at 0: for products of computed values."""
    if wire.narrow and wire.plain:
        return wire.slot, float(wire.scale[0])
    scale = best_symmetric(wire.real()).scale
    return to_operand(tape, wire, np.full(1, scale), np.zeros(1)), scale


Lower: TypeAlias = Callable[[Lowering, Node], Wire]


def unsupported(node: Node, why: str) -> UserError:
    """Return the error for what the machine cannot express."""
    return UserError(f"{node.op} {node.source or node.output}: {why}")
