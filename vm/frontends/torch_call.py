"""A call of an ATen op, as the functions that translate it read it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from .graph_ops import Shape
from .torch_values import GraphWriter, Numbers, Operand, Traced, Unsupported


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an op: arguments by their ATen names, and the shape and dtype of its result."""

    arguments: Mapping[str, object]
    shape: Shape
    dtype: torch.dtype | None

    def operand(self, name: str) -> Operand:
        """Return a tensor or scalar argument."""
        value = self.arguments[name]
        if isinstance(value, Traced):
            return value
        if isinstance(value, torch.Tensor):
            return value.detach().cpu().numpy()
        if isinstance(value, (bool, int, float)):
            return np.asarray(value)
        raise Unsupported(f"{name} must be a tensor or a number")

    def traced(self, name: str = "self") -> Traced:
        """Return an argument that must be computed."""
        value = self.operand(name)
        if not isinstance(value, Traced):
            raise Unsupported(f"{name} must depend on the input")
        return value

    def constant(self, name: str) -> Numbers | None:
        """Return an argument that must be constant, or None."""
        if self.arguments[name] is None:
            return None
        value = self.operand(name)
        if isinstance(value, Traced):
            raise Unsupported(f"{name} must not depend on the input")
        return value

    def weights(self, name: str = "weight") -> Numbers:
        """Return an argument that must be a constant tensor."""
        value = self.constant(name)
        if value is None:
            raise Unsupported(f"{name} is missing")
        return value

    def integer(self, name: str, default: int = 0) -> int:
        """Return an integer argument."""
        value = self.arguments.get(name)
        return value if isinstance(value, int) else default

    def number(self, name: str, default: float) -> float:
        """Return a number, `default` where it is None."""
        value = self.arguments.get(name)
        return float(value) if isinstance(value, (int, float)) else default

    def integers(self, name: str, count: int) -> Shape:
        """Return a list of `count` integers; one stands for all."""
        value = self.arguments[name]
        numbers = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(numbers) == 1:
            numbers *= count
        if len(numbers) != count or not all(isinstance(v, int) for v in numbers):
            raise Unsupported(f"{name} must be {count} integers")
        return tuple(v for v in numbers if isinstance(v, int))

    def axis(self, name: str, dimensions: int) -> int:
        """Return a dimension, counted from 0."""
        return self.integer(name) % max(dimensions, 1)

    def axes(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Return dimensions, counted from 0; all where none are given."""
        value = self.arguments.get(name)
        if isinstance(value, int):
            value = [value]
        if not isinstance(value, (list, tuple)) or not value:
            return tuple(range(dimensions))
        return tuple(v % dimensions for v in value if isinstance(v, int))

    def refuse(self, name: str, usual: object, advice: str) -> None:
        """Refuse an argument that is not as usual."""
        if self.arguments.get(name, usual) != usual:
            raise Unsupported(advice)

    def listed(self, name: str) -> list[object]:
        """Return the entries of a list argument."""
        value = self.arguments[name]
        return list(value) if isinstance(value, (list, tuple)) else [value]


Result: TypeAlias = Traced | torch.Tensor | tuple[Traced, ...]
Handler: TypeAlias = Callable[[GraphWriter, Call], Result]
