"""A node of an ONNX model, as the functions that translate it read it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from onnx import AttributeProto, NodeProto

from .onnx_file import array_of
from .torch_values import GraphWriter, Numbers, Operand, Traced, Unsupported

Result: TypeAlias = Operand | tuple[Operand | None, ...]
"""One value, or one per output of the node; None for an output that cannot be given."""


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes: numbers, texts, tuples and arrays. Raises UserError."""
    return {entry.name: _attribute(entry) for entry in node.attribute}


def _attribute(entry: AttributeProto) -> object:
    match entry.type:
        case AttributeProto.INT:
            return entry.i
        case AttributeProto.FLOAT:
            return entry.f
        case AttributeProto.STRING:
            return entry.s.decode("utf-8", "replace")
        case AttributeProto.INTS:
            return tuple(entry.ints)
        case AttributeProto.FLOATS:
            return tuple(entry.floats)
        case AttributeProto.STRINGS:
            return tuple(text.decode("utf-8", "replace") for text in entry.strings)
        case AttributeProto.TENSOR:
            return array_of(entry.t)
        case _:
            raise Unsupported(f"its attribute {entry.name} is not supported")


@dataclass(frozen=True, slots=True)
class Call:
    """A node: operands by position (None where left out), attributes by name."""

    op: str
    operands: tuple[Operand | None, ...]
    attributes: Mapping[str, Any]
    outputs: int

    def operand(self, position: int) -> Operand:
        """Return an operand that must be there."""
        value = self.optional(position)
        if value is None:
            raise Unsupported(f"operand {position} is missing")
        return value

    def optional(self, position: int) -> Operand | None:
        """Return an operand, or None where it is left out."""
        return self.operands[position] if position < len(self.operands) else None

    def traced(self, position: int = 0) -> Traced:
        """Return an operand that must be computed."""
        value = self.operand(position)
        if not isinstance(value, Traced):
            raise Unsupported(f"operand {position} must depend on the input")
        return value

    def constant(self, position: int) -> Numbers | None:
        """Return an operand that must be constant, or None where it is left out."""
        value = self.optional(position)
        if isinstance(value, Traced):
            raise Unsupported(f"operand {position} must not depend on the input")
        return value

    def weights(self, position: int) -> Numbers:
        """Return a constant operand as float32."""
        value = self.constant(position)
        if value is None:
            raise Unsupported(f"operand {position} is missing")
        return np.asarray(value, np.float32)

    def array(self, position: int) -> Numbers:
        """Return a constant operand as it is."""
        value = self.constant(position)
        if value is None:
            raise Unsupported(f"operand {position} is missing")
        return value

    def lengths(self, position: int) -> tuple[int, ...] | None:
        """Return a constant operand of integers, or None where it is left out."""
        value = self.constant(position)
        if value is None:
            return None
        if value.dtype.kind not in "iu" or value.size > _MAX_LIST:
            raise Unsupported(f"operand {position} must be a short list of integers")
        return tuple(int(v) for v in value.reshape(-1))

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise Unsupported(f"{name} must be an integer")
        return value

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            raise Unsupported(f"{name} must be a number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise Unsupported(f"{name} must be a text")
        return value

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return an attribute of several integers."""
        value = self.attributes.get(name, default)
        if not isinstance(value, tuple) or len(value) > _MAX_LIST:
            raise Unsupported(f"{name} must be a short list of integers")
        return tuple(int(v) for v in value)

    def axes(self, position: int, dimensions: int) -> tuple[int, ...] | None:
        """Return axes given as an operand or, in older opsets, as an attribute."""
        found = self.lengths(position)
        if found is None and "axes" in self.attributes:
            found = self.integers("axes", ())
        return None if found is None else tuple(axis_of(v, dimensions) for v in found)


_MAX_LIST: Final = 2**12
"""Entries of a list of lengths, axes or positions."""

Handler: TypeAlias = Callable[[GraphWriter, Call], Result]


def axis_of(axis: int, dimensions: int) -> int:
    """Return an axis counted from 0."""
    if not -dimensions <= axis < dimensions:
        raise Unsupported(f"axis {axis} is not one of {dimensions} dimensions")
    return axis % dimensions
