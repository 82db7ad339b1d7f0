"""Layers that exporters take apart are put together again, and only those."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from pouw.vm.frontends.graph import Graph

from .test_onnx_import_ops import F32, judged, model_of, weights

node = helper.make_node
FLOAT = TensorProto.FLOAT


def functions(graph: Graph) -> Counter[Any]:
    return Counter(n.attributes.get("function", n.op) for n in graph.nodes)


def samples(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(11).normal(size=shape).astype(F32)


def normalisation(x: str, y: str, form: str) -> list[onnx.NodeProto]:
    """Layer normalisation as exporters before opset 17 write it."""
    root = {
        "div": [node("Div", [y + "d", y + "s"], [y + "n"])],
        "reciprocal": [
            node("Reciprocal", [y + "s"], [y + "r"]),
            node("Mul", [y + "d", y + "r"], [y + "n"]),
        ],
    }
    square = {
        "div": node("Pow", [y + "d", "two"], [y + "q"]),
        "reciprocal": node("Mul", [y + "d", y + "d"], [y + "q"]),
    }
    return [
        node("ReduceMean", [x], [y + "m"], axes=[-1]),
        node("Sub", [x, y + "m"], [y + "d"]),
        square[form],
        node("ReduceMean", [y + "q"], [y + "v"], axes=[-1]),
        node("Add", [y + "v", "eps"], [y + "e"]),
        node("Sqrt", [y + "e"], [y + "s"]),
        *root[form],
        node("Mul", [y + "n", "gamma"], [y + "g"]),
        node("Add", [y + "g", "beta"], [y]),
    ]


NORM = {
    "two": np.asarray(2, F32),
    "eps": np.asarray([1e-5], F32),
    "gamma": weights(8),
    "beta": weights(8),
}


@pytest.mark.parametrize("form", ["div", "reciprocal"])
def test_layer_normalisation_is_put_together(form: str) -> None:
    data = model_of(normalisation("x", "y", form), {"x": (FLOAT, ("n", 5, 8))}, NORM, opset=13)
    graph = judged(data, {"x": samples(4, 5, 8)})
    assert functions(graph) == {"layer_norm": 1}


def test_what_only_resembles_a_layer_normalisation_is_left() -> None:
    """The mean of one axis, the variance of another."""
    nodes = normalisation("x", "y", "div")
    nodes[0] = node("ReduceMean", ["x"], ["ym"], axes=[1])
    data = model_of(nodes, {"x": (FLOAT, ("n", 8, 8))}, NORM, opset=13)
    assert "layer_norm" not in functions(judged(data, {"x": samples(4, 8, 8)}))


NUMBERS = {
    name: np.asarray(value, F32)
    for name, value in {
        "half": 0.5,
        "one": 1,
        "three": 3,
        "root": 2**0.5,
        "inverse": 0.5**0.5,
        "cubic": 0.044715,
        "outer": (2 / np.pi) ** 0.5,
        "six": 6,
        "zero": 0,
    }.items()
}

GELUS = {
    "gelu": [
        [
            node("Div", ["x", "root"], ["a"]),
            node("Erf", ["a"], ["b"]),
            node("Add", ["b", "one"], ["c"]),
            node("Mul", ["x", "c"], ["d"]),
            node("Mul", ["d", "half"], ["y"]),
        ],
        [
            node("Mul", ["inverse", "x"], ["a"]),
            node("Erf", ["a"], ["b"]),
            node("Add", ["one", "b"], ["c"]),
            node("Mul", ["half", "x"], ["d"]),
            node("Mul", ["d", "c"], ["y"]),
        ],
    ],
    "gelu_tanh": [
        [
            node("Pow", ["x", "three"], ["a"]),
            node("Mul", ["a", "cubic"], ["b"]),
            node("Add", ["x", "b"], ["c"]),
            node("Mul", ["c", "outer"], ["d"]),
            node("Tanh", ["d"], ["e"]),
            node("Add", ["e", "one"], ["f"]),
            node("Mul", ["x", "half"], ["g"]),
            node("Mul", ["g", "f"], ["y"]),
        ],
    ],
    "silu": [[node("Sigmoid", ["x"], ["a"]), node("Mul", ["x", "a"], ["y"])]],
    "mish": [
        [
            node("Softplus", ["x"], ["a"]),
            node("Tanh", ["a"], ["b"]),
            node("Mul", ["x", "b"], ["y"]),
        ]
    ],
    "hard_swish": [
        [
            node("Add", ["x", "three"], ["a"]),
            node("Clip", ["a", "zero", "six"], ["b"]),
            node("Mul", ["x", "b"], ["c"]),
            node("Div", ["c", "six"], ["y"]),
        ]
    ],
}
FORMS = [(name, form) for name, forms in GELUS.items() for form in forms]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_functions_are_recognised_by_what_they_compute(
    name: str, form: list[onnx.NodeProto]
) -> None:
    before = node("MatMul", ["input", "w"], ["x"])
    stored = {**NUMBERS, "w": weights(4, 4)}
    data = model_of([before, *form], {"input": (FLOAT, ("n", 4))}, stored)
    graph = judged(data, {"input": 2 * samples(64, 4)})
    assert functions(graph) == {"linear": 1, name: 1}


def test_a_function_that_is_none_of_them_is_left() -> None:
    form = [*GELUS["gelu"][0][:-1], node("Mul", ["d", "inverse"], ["y"])]
    data = model_of(form, {"x": (FLOAT, ("n", 4))}, NUMBERS)
    assert functions(judged(data, {"x": samples(16, 4)}))["erf"] == 1


@pytest.mark.parametrize("shape", [(6,), (1, 6), (1,)])
def test_shifts_join_the_layer_before(shape: tuple[int, ...]) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Add", ["b", "h"], ["y"])]
    stored = {"w": weights(4, 6), "b": weights(*shape)}
    data = model_of(nodes, {"x": (FLOAT, ("n", 3, 4))}, stored)
    assert functions(judged(data, {"x": samples(2, 3, 4)})) == {"linear": 1}


def test_shifts_of_rows_and_of_shared_values_stay() -> None:
    """As many rows as features, and a product that is read twice."""
    rows = [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])]
    stored = {"w": weights(4, 3), "b": weights(3, 1)}
    data = model_of(rows, {"x": (FLOAT, ("n", 3, 4))}, stored)
    assert functions(judged(data, {"x": samples(2, 3, 4)})) == {"linear": 1, "add": 1}
    shared = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "b"], ["s"]),
        node("Mul", ["s", "h"], ["y"]),
    ]
    stored = {"w": weights(4, 3), "b": weights(3)}
    data = model_of(shared, {"x": (FLOAT, ("n", 4))}, stored)
    assert functions(judged(data, {"x": samples(2, 4)})) == {"linear": 1, "add": 1, "mul": 1}


@pytest.mark.parametrize(("shape", "left"), [((5, 1, 1), 0), ((1, 5, 1, 1), 0), ((5,), 1)])
def test_shifts_of_channels_join_convolutions(shape: tuple[int, ...], left: int) -> None:
    """A shift along the width, which is as long as there are channels, does not."""
    nodes = [node("Conv", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])]
    stored = {"w": weights(5, 2, 3, 3), "b": weights(*shape)}
    data = model_of(nodes, {"x": (FLOAT, ("n", 2, 6, 7))}, stored)
    assert functions(judged(data, {"x": samples(2, 2, 6, 7)}))["add"] == left


def test_batch_normalisation_joins_the_layer_before() -> None:
    nodes = [
        node("Conv", ["x", "w", "b"], ["h"]),
        node("BatchNormalization", ["h", "g", "s", "m", "v"], ["y"]),
    ]
    channels = {name: weights(5) for name in "bgsm"}
    stored = {"w": weights(5, 2, 3, 3), **channels, "v": np.abs(weights(5)) + F32(0.1)}
    data = model_of(nodes, {"x": (FLOAT, ("n", 2, 6, 7))}, stored)
    assert functions(judged(data, {"x": samples(2, 2, 6, 7)})) == {"conv": 1}
