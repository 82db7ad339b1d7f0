"""Values while a PyTorch module is read, and the writer that turns them into nodes.

The module is traced with a batch of one item, so every tensor of the trace is that item's, with
dimensions of length 1 wherever the module moved the batch. Reshapes are lazy: a traced value keeps
the shape that the module sees beside the shape of the graph value that holds its elements, and a
node is written only when an op wants another shape. Lengths of 1 are left out where no op needs
them, which keeps items within the machine's four dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .graph import Constant, GraphInput, Node
from .graph_ops import OPS, Attribute, Kind, Shape, ValueType

MASKED: Final = -1e4
"""Added to a score, it leaves nothing of the score's weight after a softmax."""
_MASKING: Final = -1e6
"""Constants at or below are masks (−∞, −10⁹, the smallest float); they become MASKED."""

Numbers: TypeAlias = NDArray[Any]


class Unsupported(Exception):
    """An op, or a use of it, that has no counterpart. Its text says what to do instead."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A computed value: `shape` in the module, `held` in the graph; same elements in C order."""

    name: str
    held: Shape
    shape: Shape
    kind: Kind = "float"
    truth: bool = False
    """Stands for a boolean tensor: floats 0 and 1."""

    def viewed(self, shape: Shape) -> "Traced":
        """Return the same elements in another shape of the module."""
        return Traced(self.name, self.held, shape, self.kind, self.truth)


Operand: TypeAlias = Traced | Numbers
"""Computed, or a constant (scalars are arrays of shape ())."""


def limited(array: Numbers) -> Numbers:
    """Return a float constant as float32, masks made finite."""
    wide = np.asarray(array, np.float64)
    return np.where(wide <= _MASKING, MASKED, wide).astype(np.float32)


def is_masking(operand: Operand) -> bool:
    """Tell a constant that masks everything it covers."""
    return not isinstance(operand, Traced) and bool((operand <= _MASKING).all())


def without_ones(shape: Shape) -> Shape:
    """Return the lengths other than 1."""
    return tuple(length for length in shape if length != 1)


@dataclass(slots=True)
class GraphWriter:
    """Collects constants and nodes; every node's source is the one set last."""

    inputs: tuple[GraphInput, ...]
    constants: dict[str, Constant] = field(default_factory=dict[str, Constant])
    nodes: list[Node] = field(default_factory=list[Node])
    source: str = ""
    _types: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    _known: dict[tuple[object, ...], str] = field(default_factory=dict[tuple[object, ...], str])

    def __post_init__(self) -> None:
        for entry in self.inputs:
            self._types[entry.name] = ValueType(entry.shape, entry.kind, False)

    def constant(self, array: Numbers) -> str:
        """Add a constant; floats become float32."""
        data = limited(array) if array.dtype.kind in "fb" else array
        name = f"constant_{len(self.constants)}"
        if data.size == 1:  # one constant, so that nodes that use it can be equal
            name = self._known.setdefault((data.dtype.str, data.shape, data.item()), name)
        self.constants[name] = data
        kind: Kind = "float" if data.dtype.kind == "f" else "index"
        self._types[name] = ValueType(data.shape, kind, True)
        return name

    def emit(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node, or return the value of an equal one. Raises UserError where it is invalid."""
        key = (op, inputs, tuple(sorted(attributes.items())))
        if key in self._known:
            return self._known[key]
        name = f"{op}_{len(self.nodes)}"
        self._types[name] = OPS[op].result(
            tuple(self._types[value] for value in inputs), attributes
        )
        self.nodes.append(Node(op, inputs, name, attributes, self.source))
        self._known[key] = name
        return name

    def traced(self, name: str, shape: Shape, *, truth: bool = False) -> Traced:
        """Return the graph value `name` as a value of the module."""
        return Traced(name, self._types[name].shape, shape, self._types[name].kind, truth)

    def held(self, x: Traced, shape: Shape) -> str:
        """Return the name of a graph value with x's elements in `shape`."""
        return x.name if x.held == shape else self.emit("reshape", x.name, shape=shape)

    def number(self, x: Traced) -> Traced:
        """Return x as floats."""
        if x.kind == "float":
            return x
        return self.traced(self.emit("cast", x.name), x.shape)

    def truth(self, x: Traced) -> Traced:
        """Return x ≠ 0 as 0 or 1. x is boolean or non-negative integers."""
        if x.truth:
            return x
        if x.kind == "float":
            raise Unsupported("compare integers only, as in `mask != 0`")
        name = self.emit("clamp", self.number(x).name, low=0.0, high=1.0)
        return self.traced(name, x.shape, truth=True)

    def negation(self, x: Operand) -> Operand:
        """Return 1 − x of booleans."""
        if not isinstance(x, Traced):
            return 1 - np.asarray(x, np.float32)
        name = self.emit("sub", self.constant(np.ones((), np.float32)), self.truth(x).name)
        return self.traced(name, x.shape, truth=True)

    def elementwise(self, op: str, x: Operand, y: Operand) -> Traced:
        """Add, subtract, multiply or divide; at least one operand is computed."""
        shape = np.broadcast_shapes(x.shape, y.shape)
        operands = [self.number(v) if isinstance(v, Traced) else v for v in (x, y)]
        computed = [v for v in operands if isinstance(v, Traced)]
        scalars = all(isinstance(v, Traced) or v.size == 1 for v in operands)
        if scalars and len({(v.held, v.shape) for v in computed}) == 1:
            names = [v.name if isinstance(v, Traced) else self._scalar(v) for v in operands]
            return self.traced(self.emit(op, *names), shape)
        kept = [axis for axis, length in enumerate(shape) if length != 1]
        names = [self._aligned(v, len(shape), kept) for v in operands]
        return self.traced(self.emit(op, *names), shape)

    def _scalar(self, array: Numbers) -> str:
        return self.constant(array.astype(np.float32).reshape(()))

    def _aligned(self, x: Operand, dimensions: int, kept: Sequence[int]) -> str:
        """Name x with `dimensions`, of which only `kept` are kept."""
        padded = (1,) * (dimensions - len(x.shape)) + tuple(x.shape)
        shape = tuple(padded[axis] for axis in kept)
        if isinstance(x, Traced):
            return self.held(x, shape)
        return self.constant(x.astype(np.float32).reshape(shape))

    def permuted(self, x: Traced, perm: Sequence[int]) -> Traced:
        """Return x with dimension i being perm[i] of before."""
        shape = tuple(x.shape[axis] for axis in perm)
        kept = [axis for axis, length in enumerate(x.shape) if length != 1]
        order = tuple(kept.index(axis) for axis in perm if x.shape[axis] != 1)
        if order == tuple(range(len(order))):
            return x.viewed(shape)
        name = self._transposed(self.held(x, without_ones(x.shape)), order)
        return Traced(name, self._types[name].shape, shape, x.kind, x.truth)

    def _transposed(self, name: str, perm: Shape) -> str:
        """Transpose; two in a row become one."""
        before = next((node for node in self.nodes if node.output == name), None)
        if before is not None and before.op == "transpose":
            inner = before.integers("perm")
            return self._transposed(before.inputs[0], tuple(inner[axis] for axis in perm))
        if perm == tuple(range(len(perm))):
            return name
        return self.emit("transpose", name, perm=perm)

    def cut(self, x: Traced, axis: int, start: int, stop: int, step: int = 1) -> Traced:
        """Return a slice of x along one axis, which stays."""
        shape = (*x.shape[:axis], len(range(start, stop, step)), *x.shape[axis + 1 :])
        if shape == x.shape:
            return x
        held = without_ones(x.shape)
        position = len(without_ones(x.shape[:axis]))
        name = self.emit(
            "slice", self.held(x, held), axis=position, start=start, stop=stop, step=step
        )
        return Traced(name, self._types[name].shape, shape, x.kind, x.truth)

    def spread(self, x: Traced, shape: Shape) -> Traced:
        """Return x repeated along lengths of 1 to `shape`."""
        padded = (1,) * (len(shape) - len(x.shape)) + x.shape
        if padded == shape:
            return x.viewed(shape)
        kept = [axis for axis, length in enumerate(shape) if length != 1]
        source = self.held(x, tuple(padded[axis] for axis in kept))
        name = self.emit("expand", source, shape=without_ones(shape))
        return Traced(name, self._types[name].shape, shape, x.kind, x.truth)

    def matmul(self, a: Operand, b: Operand) -> Traced:
        """Multiply matrices as `torch.matmul` does, from two dimensions on."""
        if min(len(a.shape), len(b.shape)) < 2:
            raise Unsupported("multiply matrices: unsqueeze the vector first")
        if not isinstance(b, Traced) and b.size == b.shape[-1] * b.shape[-2]:
            return self.linear(_computed(a), b.reshape(b.shape[-2:]).T, None)
        if not isinstance(a, Traced) and a.size == a.shape[-1] * a.shape[-2]:
            swapped = self.linear(self.swapped(_computed(b)), a.reshape(a.shape[-2:]), None)
            return self.swapped(swapped)
        a, b = self.number(_computed(a)), self.number(_computed(b))
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*batch, a.shape[-2], b.shape[-1])
        names = [
            self.held(
                self.spread(v, (*batch, *v.shape[-2:])), (*without_ones(batch), *v.shape[-2:])
            )
            for v in (a, b)
        ]
        return self.traced(self.emit("matmul", *names), shape)

    def swapped(self, x: Traced) -> Traced:
        """Exchange the last two dimensions."""
        last = len(x.shape) - 1
        return self.permuted(x, (*range(last - 1), last, last - 1))

    def linear(self, x: Traced, weights: Numbers, bias: Numbers | None) -> Traced:
        """Return x·weightsᵀ + bias over the last dimension."""
        x = self.number(x)
        source = self.held(x, (*without_ones(x.shape[:-1]), x.shape[-1]))
        constants = [self.constant(weights), *([] if bias is None else [self.constant(bias)])]
        name = self.emit("linear", source, *constants)
        return self.traced(name, (*x.shape[:-1], len(weights)))


def _computed(x: Operand) -> Traced:
    if not isinstance(x, Traced):
        raise Unsupported("products of batches with several constant matrices; use nn.Linear")
    return x
