"""Every op of the float graph, quantised and run on the machine, beside its float meaning."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.vm.frontends import floats
from pouw.vm.frontends.graph import Graph, GraphInput, Node
from pouw.vm.frontends.quantise import Quantised, quantise

Sqnr = Callable[[Quantised, Graph, Any], float]
Run = Callable[[Quantised, Any], NDArray[Any]]
Constants = dict[str, NDArray[Any]]
RNG = np.random.default_rng(0)


def chain(shape: tuple[int, ...], *steps: tuple[Any, ...], **constants: NDArray[Any]) -> Graph:
    """Return a line of nodes: (op, attributes, operands…); "." is the value so far."""
    nodes: list[Node] = []
    value = "x"
    for i, (op, attributes, *others) in enumerate(steps):
        operands = [value if other == "." else other for other in others] or [value]
        value = f"v{i}"
        nodes.append(Node(op, tuple(operands), value, attributes, f"{op} {i}"))
    return Graph((GraphInput("x", shape),), constants, tuple(nodes), value)


def normal(*shape: int, size: float = 1.0) -> NDArray[Any]:
    return (RNG.normal(size=shape) * size).astype(np.float32)


WINDOW = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0, 1, 1)}
CONV = {"stride": (2, 1), "padding": (1, 0, 1, 1), "dilation": (1, 1)}
LINEAR = ("linear", {}, ".", "w", "b")
SELF = ("mul", {}, ".", ".")


CASES: dict[str, tuple[Graph, float]] = {
    "linear": (chain((3, 40), LINEAR, w=normal(20, 40), b=normal(20)), 28),
    "linear after relu": (
        chain(
            (40,), LINEAR, ("relu", {}), ("linear", {}, ".", "u"),
            w=normal(50, 40), b=normal(50), u=normal(9, 50),
        ),
        27,
    ),
    "conv": (
        chain(
            (4, 9, 8), ("conv", {**CONV, "groups": 1}, ".", "w", "b"), ("relu", {}),
            w=normal(6, 4, 3, 2), b=normal(6),
        ),
        28,
    ),
    "conv of relu6": (
        chain(
            (4, 9, 8), ("clamp", {"low": 0.0, "high": 1.0}),
            ("conv", {**CONV, "groups": 1}, ".", "w"), w=normal(6, 4, 3, 2),
        ),
        28,
    ),
    "grouped conv": (
        chain((4, 9, 8), ("conv", {**CONV, "groups": 2}, ".", "w"), w=normal(6, 2, 3, 2)), 28,
    ),
    "dilated conv": (
        chain(
            (2, 9, 8), ("conv", {**CONV, "dilation": (2, 3), "groups": 1}, ".", "w"),
            w=normal(6, 2, 3, 2),
        ),
        28,
    ),
    "batch norm": (
        chain(
            (4, 6, 6), ("conv", {**CONV, "groups": 1}, ".", "w"),
            ("affine", {"axis": 0}, ".", "scale", "shift"), ("relu", {}), ("max_pool", WINDOW),
            w=normal(5, 4, 3, 2), scale=normal(5), shift=normal(5),
        ),
        27,
    ),
    "affine of rows": (
        chain((4, 5), ("affine", {"axis": 0}, ".", "s", "t"), s=normal(4), t=normal(4)), 60,
    ),
    "average without padding": (
        chain((3, 7, 6), ("avg_pool", {**WINDOW, "count_padding": False})), 60,
    ),
    "average with padding": (
        chain((3, 7, 6), ("avg_pool", {**WINDOW, "count_padding": True})), 60,
    ),
    "mean of an image": (chain((3, 7, 6), ("mean", {"axes": (1, 2)})), 60),
    "sum over the last": (chain((3, 7, 6), ("sum", {"axes": (0, 2)})), 60),
    "add a table": (chain((3, 5), ("add", {}, "t", "."), t=normal(3, 5)), 60),
    "subtract from": (chain((3, 5), ("sub", {}, "t", "."), t=normal(5)), 60),
    "multiply by a table": (chain((3, 5), ("mul", {}, ".", "t"), t=normal(3, 1)), 60),
    "square by product": (chain((3, 5), SELF), 60),
    "divide by a number": (chain((3, 5), ("div", {}, ".", "t"), t=np.array([7], np.float32)), 60),
    "divide by a sum": (
        Graph(
            (GraphInput("x", (3, 5)),), {},
            (
                Node("unary", ("x",), "e", {"function": "exp"}),
                Node("sum", ("e",), "s", {"axes": (1,)}),
                Node("div", ("e", "s"), "y"),
            ),
            "y",
        ),
        45,
    ),
    "spread both ways": (
        Graph(
            (GraphInput("x", (3, 5)),), {},
            (
                Node("mean", ("x",), "r", {"axes": (1,)}),
                Node("mean", ("x",), "c", {"axes": (0,)}),
                Node("add", ("r", "c"), "y"),
            ),
            "y",
        ),
        55,
    ),
    "expanded and joined": (
        Graph(
            (GraphInput("x", (1, 5)),), {"t": normal(2, 5)},
            (
                Node("expand", ("x",), "e", {"shape": (37, 5)}),
                Node("concat", ("e", "t", "x"), "y", {"axis": 0}),
            ),
            "y",
        ),
        55,
    ),
    "slices in another order": (
        chain(
            (4, 6, 5), ("transpose", {"perm": (2, 0, 1)}),
            ("slice", {"axis": 1, "start": 1, "stop": 4, "step": 2}),
            ("reshape", {"shape": (5, 12)}),
        ),
        60,
    ),
    "heads of a layer": (
        chain(
            (6, 8), LINEAR, ("reshape", {"shape": (6, 4, 3)}), ("transpose", {"perm": (1, 0, 2)}),
            w=normal(12, 8), b=normal(12),
        ),
        28,
    ),
    "softmax": (chain((4, 9), ("softmax", {})), 50),
    "layer norm": (
        chain((4, 32), ("layer_norm", {"eps": 1e-5}, ".", "g", "b"), g=normal(32), b=normal(32)),
        50,
    ),
    "layer norm into a product": (
        chain(
            (4, 32), ("layer_norm", {"eps": 1e-5}, ".", "g", "b"), ("linear", {}, ".", "w"),
            g=normal(32), b=normal(32), w=normal(16, 32),
        ),
        28,
    ),
    "attention": (
        Graph(
            (GraphInput("x", (2, 6, 8)),), {},
            (
                Node("transpose", ("x",), "t", {"perm": (0, 2, 1)}),
                Node("matmul", ("x", "t"), "s"),
                Node("softmax", ("s",), "p"),
                Node("matmul", ("p", "x"), "y"),
            ),
            "y",
        ),
        20,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_op_is_close_to_floats(name: str, sqnr: Sqnr) -> None:
    graph, least = CASES[name]
    shape = graph.inputs[0].shape
    rng = np.random.default_rng(prod(shape))
    model = quantise(graph, rng.normal(size=(100, *shape)))
    assert sqnr(model, graph, rng.normal(size=(30, *shape))) > least
    assert len(model.report.nodes) == len(graph.nodes)


@pytest.mark.parametrize("function", sorted(floats.UNARY_FUNCTIONS))
def test_functions_by_table(function: str, sqnr: Sqnr) -> None:
    rng = np.random.default_rng(5)
    positive = function in ("sqrt", "reciprocal")
    x = (
        rng.uniform(0.3, 4, (200, 20))
        if positive
        else np.clip(rng.normal(size=(200, 20)) * 3, -6, 6)
    )
    step = ("unary", {"function": function})
    alone = chain((20,), step)
    assert sqnr(quantise(alone, x[:100]), alone, x[100:]) > 38
    one, other = ("linear", {}, ".", "w"), ("linear", {}, ".", "u")
    between = chain((20,), one, step, other, w=np.eye(20, dtype=np.float32), u=normal(20, 20))
    assert sqnr(quantise(between, x[:100]), between, x[100:]) > 20


def test_wide_tables_reach_beyond_their_curve(sqnr: Sqnr) -> None:
    """A few large numbers among many small ones: gelu is a line there."""
    graph = chain((50,), ("unary", {"function": "gelu"}))
    x = np.random.default_rng(6).normal(size=(60, 50))
    x[:, 0] *= 100
    model = quantise(graph, x)
    assert sqnr(model, graph, x) > 45
    small = x[:, 1:]
    assert model.report.nodes[0].mean_error < 0.02 * np.abs(small).mean()


def test_embeddings_and_positions(sqnr: Sqnr) -> None:
    graph = Graph(
        (GraphInput("ids", (7,), "index", 29),),
        {"table": normal(30, 16), "places": normal(7, 16)},
        (Node("embedding", ("table", "ids"), "e"), Node("add", ("e", "places"), "y")),
        "y",
    )
    ids = np.random.default_rng(2).integers(0, 30, (20, 7))
    assert sqnr(quantise(graph, ids), graph, ids[::-1]) > 32


@pytest.mark.parametrize(("op", "attributes"), [("argmax", {}), ("topk", {"k": 3})])
def test_choices_are_those_of_floats(op: str, attributes: dict[str, int], run: Run) -> None:
    graph = chain((5, 9), LINEAR, (op, attributes), w=normal(9, 9), b=normal(9))
    x = np.random.default_rng(3).normal(size=(60, 5, 9))
    model = quantise(graph, x)
    found = run(model, x)
    assert found.dtype == np.int32
    assert np.mean(found == floats.output(graph, {"x": x})) > 0.95
    assert model.report.metric == "agreement" and model.report.score > 0.95


def test_two_inputs_and_a_mask(sqnr: Sqnr) -> None:
    """The mean of the rows that count, from floats and a mask in one program input."""
    nodes = (
        Node("cast", ("mask",), "m"),
        Node("reshape", ("m",), "column", {"shape": (6, 1)}),
        Node("mul", ("x", "column"), "kept"),
        Node("sum", ("kept",), "total", {"axes": (0,)}),
        Node("sum", ("column",), "count", {"axes": (0,)}),
        Node("clamp", ("count",), "some", {"low": 1e-9, "high": 1e9}),
        Node("div", ("total", "some"), "y"),
    )
    inputs = (GraphInput("x", (6, 4)), GraphInput("mask", (6,), "index", 1))
    graph = Graph(inputs, {}, nodes, "y")
    rng = np.random.default_rng(4)
    data = {"x": rng.normal(size=(50, 6, 4)), "mask": rng.integers(0, 2, (50, 6))}
    data["mask"][:, 0] = 1
    assert sqnr(quantise(graph, data), graph, data) > 50


def test_masked_attention(sqnr: Sqnr) -> None:
    """Scores that a mask puts far below count for nothing, whatever number it adds."""
    inputs = (GraphInput("s", (2, 5, 5)), GraphInput("mask", (5,), "index", 1))
    nodes = (
        Node("cast", ("mask",), "m"),
        Node("sub", ("one", "m"), "absent"),
        Node("mul", ("absent", "low"), "bias"),
        Node("reshape", ("bias",), "row", {"shape": (1, 1, 5)}),
        Node("expand", ("row",), "rows", {"shape": (2, 5, 5)}),
        Node("add", ("s", "rows"), "z"),
        Node("softmax", ("z",), "y"),
    )
    rng = np.random.default_rng(7)
    data = {"s": rng.normal(size=(40, 2, 5, 5)) * 3, "mask": rng.integers(0, 2, (40, 5))}
    data["mask"][:, 2] = 1
    for low in (-1e4, float(np.finfo(np.float32).min)):
        constants = {"one": np.array([1], np.float32), "low": np.array([low], np.float32)}
        graph = Graph(inputs, constants, nodes, "y")
        assert sqnr(quantise(graph, data), graph, data) > 45
