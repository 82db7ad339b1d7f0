"""The float graph: shapes of every op, and a refusal for everything that does not fit."""

from typing import Any

import numpy as np
import pytest
from pouw.core.errors import UserError
from pouw.vm.frontends.graph import Graph, GraphInput, Node, pruned

WINDOW: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0, 0, 0)}
CONV: dict[str, Any] = {**WINDOW, "dilation": (1, 1), "groups": 1}


def zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


def shape_of(op: str, *operands: Any, **attributes: Any) -> tuple[int, ...]:
    """Shape of one node's result; tuples are inputs ("index" in front: of that kind)."""
    return graph_of(op, *operands, **attributes).shapes["result"]


def graph_of(op: str, *operands: Any, **attributes: Any) -> Graph:
    inputs, constants, names = list[GraphInput](), dict[str, Any](), list[str]()
    for i, operand in enumerate(operands):
        names.append(f"value_{i}")
        if isinstance(operand, np.ndarray):
            constants[names[-1]] = operand
        elif operand[:1] == ("index",):
            inputs.append(GraphInput(names[-1], operand[1:], "index", 9))
        else:
            inputs.append(GraphInput(names[-1], operand))
    node = Node(op, tuple(names), "result", attributes, "layer 3")
    return Graph(tuple(inputs), constants, (node,), "result")


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "shape"),
    [
        ("linear", [(5, 3), zeros(4, 3), zeros(4)], {}, (5, 4)),
        ("matmul", [(2, 5, 3), (2, 3, 4)], {}, (2, 5, 4)),
        ("conv", [(3, 9, 8), zeros(4, 3, 3, 3), zeros(4)], CONV, (4, 7, 6)),
        (
            "conv",
            [(4, 9, 8), zeros(2, 2, 3, 1)],
            {"stride": (2, 3), "padding": (1, 2, 0, 0), "dilation": (2, 1), "groups": 2},
            (2, 4, 3),
        ),
        ("affine", [(3, 2, 2), zeros(3), zeros(3)], {"axis": 0}, (3, 2, 2)),
        ("add", [(3, 1, 2), (1, 4, 2)], {}, (3, 4, 2)),
        ("sub", [zeros(2), (4, 2)], {}, (4, 2)),
        ("mul", [(1, 2), zeros(4, 1)], {}, (4, 2)),
        ("div", [(4, 2), (4, 1)], {}, (4, 2)),
        ("relu", [(4, 2)], {}, (4, 2)),
        ("clamp", [(4,)], {"low": 0, "high": 6.0}, (4,)),
        ("unary", [(4,)], {"function": "gelu"}, (4,)),
        ("softmax", [(4, 2)], {}, (4, 2)),
        ("layer_norm", [(4, 2), zeros(2), zeros(2)], {"eps": 1e-5}, (4, 2)),
        ("embedding", [zeros(9, 5), ("index", 3)], {}, (3, 5)),
        ("max_pool", [(2, 5, 5)], {**WINDOW, "kernel": (2, 5)}, (2, 4, 1)),
        ("avg_pool", [(2, 5, 5)], {**WINDOW, "kernel": (2, 5), "count_padding": True}, (2, 4, 1)),
        ("mean", [(3, 4, 5)], {"axes": (0, 2)}, (1, 4, 1)),
        ("sum", [(3, 4, 5)], {"axes": (1,)}, (3, 1, 5)),
        ("reshape", [(3, 4)], {"shape": (2, 6)}, (2, 6)),
        ("transpose", [(3, 4, 5)], {"perm": (2, 0, 1)}, (5, 3, 4)),
        ("expand", [(1, 4)], {"shape": (3, 4)}, (3, 4)),
        ("concat", [(1, 4), (2, 4), zeros(3, 4)], {"axis": 0}, (6, 4)),
        ("slice", [(7, 4)], {"axis": 0, "start": 1, "stop": 6, "step": 2}, (3, 4)),
        ("argmax", [(7, 4)], {}, (7,)),
        ("topk", [(7, 4)], {"k": 2}, (7, 2)),
        ("cast", [("index", 3)], {}, (3,)),
    ],
)
def test_shape(
    op: str, operands: list[Any], attributes: dict[str, Any], shape: tuple[int, ...]
) -> None:
    assert shape_of(op, *operands, **attributes) == shape


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "message"),
    [
        ("convolve", [(3,)], {}, "no op of this name"),
        ("relu", [(3,), (3,)], {}, "takes 1 to 1 operands"),
        ("relu", [(3,)], {"slope": 1}, "slope"),
        ("clamp", [(3,)], {"low": 0.0}, "high"),
        ("clamp", [(3,)], {"low": 2.0, "high": 1.0}, "above"),
        ("clamp", [(3,)], {"low": "0", "high": 1.0}, "not float"),
        ("unary", [(3,)], {"function": "sin"}, "no function"),
        ("linear", [(3,), (4, 3)], {}, "operand 1 must be a constant"),
        ("linear", [(3,), zeros(4, 2)], {}, "do not fit"),
        ("linear", [(3,), zeros(4, 3), zeros(3)], {}, r"\(4,\)"),
        ("matmul", [(2, 3), (2, 3)], {}, "do not multiply"),
        ("matmul", [(2, 3), zeros(3, 2)], {}, "use linear"),
        ("conv", [(3, 9), zeros(4, 3, 3, 3)], CONV, "no image"),
        ("conv", [(3, 9, 9), zeros(4, 2, 3, 3)], CONV, "do not fit"),
        ("conv", [(3, 2, 9), zeros(4, 3, 3, 3)], CONV, "larger than"),
        ("conv", [(3, 9, 9), zeros(1, 3, 1, 1)], {**CONV, "padding": (1, 0, 0, 0)}, "exceeds"),
        ("conv", [(3, 9, 9), zeros(1, 3, 1, 1)], {**CONV, "stride": (0, 1)}, "stride"),
        ("affine", [(3, 2), zeros(2), zeros(2)], {"axis": 0}, r"\(3,\)"),
        ("affine", [(3, 2), zeros(2), zeros(2)], {"axis": 2}, "axis"),
        ("add", [(3, 2), (2,)], {}, "reshape one"),
        ("add", [(2,), zeros(3, 2)], {}, "more dimensions"),
        ("add", [(3, 2), (3, 4)], {}, "spread"),
        ("add", [(3,), ("index", 3)], {}, "operand 1 is index"),
        ("add", [zeros(3), zeros(3)], {}, "fold"),
        ("embedding", [zeros(9, 5), (3,)], {}, "operand 1 is float"),
        ("mean", [(3,)], {"axes": (0, 0)}, "axes"),
        ("reshape", [(3, 4)], {"shape": (5, 2)}, "elements"),
        ("transpose", [(3, 4)], {"perm": (0, 0)}, "perm"),
        ("expand", [(2, 4)], {"shape": (4, 4)}, "expand"),
        ("concat", [(2, 4), (2, 3)], {"axis": 0}, "joined"),
        ("slice", [(7,)], {"axis": 0, "start": 3, "stop": 3, "step": 1}, "start"),
        ("slice", [(7,)], {"axis": 0, "start": 0, "stop": 8, "step": 1}, "stop"),
        ("topk", [(7,)], {"k": 8}, "k=8"),
        ("cast", [(3,)], {}, "operand 0 is float"),
    ],
)
def test_refuses(op: str, operands: list[Any], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        shape_of(op, *operands, **attributes)
    assert "layer 3" in str(error.value)


def test_refuses_names_twice_undefined_and_outputs_that_nothing_computes() -> None:
    inputs = (GraphInput("x", (3,)),)
    relu = Node("relu", ("x",), "y")
    with pytest.raises(UserError, match="y is taken"):
        Graph(inputs, {}, (relu, relu), "y")
    with pytest.raises(UserError, match="z is not defined"):
        Graph(inputs, {}, (Node("relu", ("z",), "y"),), "y")
    with pytest.raises(UserError, match="not the output of any node"):
        Graph(inputs, {}, (relu,), "x")
    with pytest.raises(UserError, match="input x is taken"):
        Graph((*inputs, *inputs), {}, (relu,), "y")
    with pytest.raises(UserError, match="lengths must be fixed"):
        Graph((GraphInput("x", (0,)),), {}, (relu,), "y")


@pytest.mark.parametrize(
    ("array", "message"), [(np.array([np.inf]), "finite"), (np.array(["a"]), "neither")]
)
def test_refuses_constants_that_are_no_numbers(array: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        graph_of("add", (1,), array)


def test_kinds_follow_the_first_operand() -> None:
    assert graph_of("reshape", ("index", 4), shape=(2, 2)).types["result"].kind == "index"
    assert graph_of("argmax", (4,)).types["result"].kind == "index"
    assert graph_of("cast", ("index", 4)).types["result"].kind == "float"


def test_pruning_keeps_what_the_output_needs_and_all_inputs() -> None:
    nodes = (
        Node("add", ("x", "one"), "y"),
        Node("add", ("x", "two"), "unused"),
        Node("relu", ("y",), "z"),
    )
    inputs = (GraphInput("x", (3,)), GraphInput("other", (1,)))
    graph = pruned(Graph(inputs, {"one": zeros(3), "two": zeros(3)}, nodes, "z"))
    assert [node.output for node in graph.nodes] == ["y", "z"]
    assert set(graph.constants) == {"one"}
    assert graph.inputs == inputs


def test_attributes_are_read_by_type() -> None:
    node = Node("clamp", ("x",), "y", {"low": 1, "high": 2.5, "axes": (1, 2), "function": "erf"})
    assert (node.integer("low"), node.number("low"), node.number("high")) == (1, 1.0, 2.5)
    assert (node.integers("axes"), node.text("function")) == ((1, 2), "erf")
    for read, name in [
        (node.integer, "high"),
        (node.number, "axes"),
        (node.integers, "low"),
        (node.text, "low"),
    ]:
        with pytest.raises(TypeError, match=name):
            read(name)
