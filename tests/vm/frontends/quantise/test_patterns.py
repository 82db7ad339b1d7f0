"""Rows divided by their size are recognised, and only those."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pouw.vm.frontends.graph import Graph, GraphInput, Node
from pouw.vm.frontends.quantise import Quantised, quantise
from pouw.vm.frontends.quantise.patterns import find_unit_rows, needed_nodes
from pouw.vm.ops import Normalise

SIZE = (
    Node("unary", ("x",), "square", {"function": "square"}),
    Node("sum", ("square",), "total", {"axes": (1,)}),
    Node("unary", ("total",), "root", {"function": "sqrt"}),
)
UNIT = (
    *SIZE,
    Node("clamp", ("root",), "some", {"low": 1e-12, "high": 1e30}),
    Node("expand", ("some",), "wide", {"shape": (3, 16)}),
    Node("div", ("x", "wide"), "y"),
)
ROOT_MEAN_SQUARE = (
    Node("mul", ("x", "x"), "square"),
    Node("mean", ("square",), "mean", {"axes": (1,)}),
    Node("add", ("mean", "eps"), "more"),
    Node("unary", ("more",), "root", {"function": "sqrt"}),
    Node("unary", ("root",), "inverse", {"function": "reciprocal"}),
    Node("mul", ("inverse", "x"), "y"),
)
OTHER_AXIS = (
    SIZE[0],
    Node("sum", ("square",), "total", {"axes": (0,)}),
    SIZE[2],
    Node("div", ("x", "root"), "y"),
)
OTHER_VALUE = (*SIZE, Node("relu", ("x",), "z"), Node("div", ("z", "root"), "y"))


def graph_of(nodes: tuple[Node, ...]) -> Graph:
    constants = {"eps": np.array([0.01], np.float32)} if nodes is ROOT_MEAN_SQUARE else {}
    return Graph((GraphInput("x", (3, 16)),), constants, nodes, "y")


@pytest.mark.parametrize("nodes", [UNIT, ROOT_MEAN_SQUARE])
def test_is_one_op_of_the_machine(
    nodes: tuple[Node, ...], sqnr: Callable[[Quantised, Graph, Any], float]
) -> None:
    graph = graph_of(nodes)
    found = find_unit_rows(graph)
    assert list(found) == ["y"] and [n.output for n in needed_nodes(graph, found)] == ["y"]
    x = np.random.default_rng(0).normal(size=(20, 3, 16))
    model = quantise(graph, x)
    assert [type(op) for op in model.program.ops] == [Normalise]
    assert sqnr(model, graph, x) > 60


@pytest.mark.parametrize("nodes", [OTHER_AXIS, OTHER_VALUE])
def test_leaves_other_quotients_alone(nodes: tuple[Node, ...]) -> None:
    assert not find_unit_rows(graph_of(nodes))
