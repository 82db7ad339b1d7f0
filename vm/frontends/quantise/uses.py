"""What values are for: an encoding is chosen with an eye on who reads it."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..graph import Graph, Node
from .tape import Floats

PRODUCTS: Final = frozenset({"linear", "conv"})
"""Ops that multiply by registered weights, and read operands."""
PAIRS: Final = frozenset({"matmul"})
PASSING: Final = frozenset(
    {"reshape", "transpose", "slice", "concat", "expand", "max_pool", "relu", "clamp"}
)
"""Ops that hand on the integers they get."""


class Uses:
    """The readers of every value, and which products read two operands for each number."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], two_limbed: frozenset[str]) -> None:
        """Note the readers among `nodes`; `two_limbed` names products by their output."""
        self._graph = graph
        self.two_limbed = two_limbed
        self._readers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in set(node.inputs):
                self._readers.setdefault(name, []).append(node)

    def readers(self, name: str) -> Sequence[Node]:
        """Return the nodes that read a value themselves."""
        return self._readers.get(name, ())

    def ends(self, name: str) -> list[Node]:
        """Return the nodes that a value reaches through ops that only hand it on."""
        found: list[Node] = []
        for node in self.readers(name):
            found += self.ends(node.output) if node.op in PASSING else [node]
        return found

    def only_for(self, name: str, ops: frozenset[str]) -> bool:
        """Whether all uses of a value are of these ops, and want no more than one operand."""
        return not self._is_answer(name) and all(
            node.op in ops and node.output not in self.two_limbed for node in self.ends(name)
        )

    def _is_answer(self, name: str) -> bool:
        passing = (node for node in self.readers(name) if node.op in PASSING)
        return name == self._graph.output or any(self._is_answer(n.output) for n in passing)

    def weights(self, name: str) -> list[Floats]:
        """Return the weights (n, k) of all linear layers that read a value themselves."""
        return [
            np.asarray(self._graph.constants[node.inputs[1]], np.float64)
            for node in self.readers(name)
            if node.op == "linear" and node.inputs[0] == name
        ]
