"""Every ONNX op that is read, compared with onnxruntime; nodes and values of many shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pouw.core.errors import UserError
from pouw.vm.frontends import floats
from pouw.vm.frontends.graph import Graph
from pouw.vm.frontends.onnx_import import graph_of_onnx

Array = NDArray[Any]
F32 = np.float32
LISTS = np.int64


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    stored: Mapping[str, Array] | None = None,
    opset: int = 18,
) -> bytes:
    """Return a model's bytes; the last node's last output is the model's."""
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=nodes[-1].output[-1])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (stored or {}).items()],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {entry.name: entry.type for entry in inferred.graph.value_info}
    for entry in (*inferred.graph.output, *model.graph.output):
        if entry.HasField("type"):
            kinds[entry.name] = entry.type
    model.graph.output[0].type.CopyFrom(kinds[model.graph.output[0].name])
    return model.SerializeToString()


def judged(data: bytes, feeds: Mapping[str, Array], **options: Any) -> Graph:
    """Compare the graph with onnxruntime on the feeds; return it."""
    graph = graph_of_onnx(data, **options)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    wanted: Any = session.run(None, dict(feeds))[0]
    found = floats.output(graph, feeds)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    return graph


def one(
    op: str, shape: Sequence[int], *stored: Array, opset: int = 18, positive: bool = False, **a: Any
) -> list[str]:
    """Judge a single node of x and constants; return the graph's ops."""
    names = [f"c{i}" for i in range(len(stored))]
    node = helper.make_node(op, ["x", *names], ["y"], **a)
    data = model_of(
        [node],
        {"x": (TensorProto.FLOAT, ("n", *shape))},
        dict(zip(names, stored, strict=True)),
        opset,
    )
    x = np.random.default_rng(7).normal(size=(3, *shape)).astype(F32) * 2
    graph = judged(data, {"x": np.abs(x) + F32(0.1) if positive else x})
    return [entry.op for entry in graph.nodes]


def weights(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(F32)


def ints(*values: int) -> Array:
    return np.asarray(values, LISTS)


@pytest.mark.parametrize(
    "op",
    [
        *("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Abs", "Softplus", "HardSwish", "Mish", "Neg"),
        *("Elu", "HardSigmoid", "LeakyRelu"),
    ],
)
def test_functions_of_one_value(op: str) -> None:
    one(op, (5, 4))


@pytest.mark.parametrize("op", ["Identity", "Dropout"])
def test_ops_that_do_nothing_leave_nothing(op: str) -> None:
    nodes = [helper.make_node(op, ["x"], ["same"]), helper.make_node("Relu", ["same"], ["y"])]
    data = model_of(nodes, {"x": (TensorProto.FLOAT, ("n", 3))})
    assert [node.op for node in judged(data, {"x": weights(2, 3)}).nodes] == ["relu"]


@pytest.mark.parametrize("op", ["Sqrt", "Reciprocal"])
def test_functions_of_positive_values(op: str) -> None:
    one(op, (5,), positive=True)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    assert one("Gelu", (6,), opset=20, approximate=approximate) == ["unary"]


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -1, -0.5])
def test_powers(exponent: float) -> None:
    one("Pow", (5,), np.asarray(exponent, F32), positive=True)


def test_limits() -> None:
    assert one("Clip", (5,), np.asarray(0, F32), np.asarray(6, F32)) == ["clamp"]
    assert one("Clip", (5,), np.asarray(0, F32)) == ["relu"]
    assert one("Max", (5,), np.asarray(-0.5, F32)) == ["clamp"]
    assert one("Min", (5,), np.asarray(0.5, F32)) == ["clamp"]
    one("PRelu", (4, 3, 3), weights(4, 1, 1))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1), (1, 3, 4)])
def test_arithmetic_with_constants(op: str, shape: tuple[int, ...]) -> None:
    one(op, (3, 4), np.abs(weights(*shape)) + F32(0.1))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Sum"])
def test_arithmetic_of_two_values(op: str) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"]),
        helper.make_node(op, ["m", "x"], ["y"]) if op != "Sum" else _sum(),
    ]
    data = model_of(nodes, {"x": (TensorProto.FLOAT, ("n", 3, 4))}, {"axes": ints(1)})
    x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(F32)
    if op == "Sum":  # onnxruntime's Sum spreads as well
        assert [n.op for n in judged(data, {"x": x}).nodes].count("add") == 2
    else:
        judged(data, {"x": x})


def _sum() -> onnx.NodeProto:
    return helper.make_node("Sum", ["m", "x", "x"], ["y"])


@pytest.mark.parametrize("bias", [(), (5,), (1, 5), (1, 1)])
@pytest.mark.parametrize("turned", [0, 1])
def test_gemm(bias: tuple[int, ...], turned: int) -> None:
    w = weights(5, 4) if turned else weights(4, 5)
    ops = one("Gemm", (4,), w, weights(*bias), transB=turned, alpha=0.5, beta=2.0)
    assert ops == ["linear"]


def test_products_with_weights() -> None:
    assert one("MatMul", (4,), weights(4, 5)) == ["linear"]
    assert one("MatMul", (3, 4), weights(4, 5)) == ["linear"]
    one("MatMul", (3, 4), weights(4))
    one("MatMul", (2, 3, 4), weights(1, 4, 5))


def test_products_of_values() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    data = model_of(nodes, {"x": (TensorProto.FLOAT, ("n", 2, 3, 4))})
    graph = judged(data, {"x": np.random.default_rng(3).normal(size=(5, 2, 3, 4)).astype(F32)})
    assert [node.op for node in graph.nodes] == ["transpose", "matmul"]


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((3, 8, 7), (4, 3, 3, 3), {}),
    ((3, 8, 7), (4, 3, 3, 2), {"pads": [1, 0, 1, 1], "strides": [2, 1]}),
    ((4, 8, 7), (8, 1, 3, 3), {"group": 4, "dilations": [2, 1], "pads": [2, 1, 0, 1]}),
    ((4, 8, 7), (6, 2, 1, 1), {"group": 2}),
    ((2, 8, 7), (3, 2, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((2, 8, 7), (3, 2, 3, 2), {"auto_pad": "SAME_LOWER"}),
    ((2, 8, 7), (3, 2, 3, 2), {"auto_pad": "VALID"}),
    ((2, 9), (3, 2, 4), {"pads": [1, 2], "strides": [2]}),
]


@pytest.mark.parametrize(("shape", "kernel", "attributes"), CONVOLUTIONS)
def test_convolutions(
    shape: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    assert "conv" in one("Conv", shape, weights(*kernel), weights(kernel[0]), **attributes)
    one("Conv", shape, weights(*kernel), **attributes)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2]},
        {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ],
)
def test_pools(op: str, attributes: dict[str, Any]) -> None:
    one(op, (3, 7, 6), **attributes)


def test_more_pools() -> None:
    one("AveragePool", (3, 7, 6), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    one("GlobalAveragePool", (3, 7, 6))
    one("GlobalMaxPool", (3, 7, 6))
    one("MaxPool", (3, 8), kernel_shape=[2], strides=[2])


@pytest.mark.parametrize("shape", [(4,), (4, 6), (4, 5, 6)])
def test_batch_normalisation(shape: tuple[int, ...]) -> None:
    parameters = [weights(4), weights(4) + 1, weights(4) * 2, np.abs(weights(4)) + F32(0.1)]
    assert "affine" in one("BatchNormalization", shape, *parameters, epsilon=1e-3)


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalisation(axis: int) -> None:
    shape = (5,) if axis == -1 else (3, 5)
    ops = one("LayerNormalization", (3, 5), weights(*shape), weights(*shape), axis=axis)
    assert "layer_norm" in ops
    one("LayerNormalization", (3, 5), weights(*shape), axis=axis, epsilon=0.1)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_softmax_and_argmax(axis: int) -> None:
    one("Softmax", (3, 4), axis=axis)
    one("ArgMax", (3, 4), axis=axis)
    one("ArgMax", (3, 4), axis=axis, keepdims=0)


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceL2"])
@pytest.mark.parametrize("axes", [(-1,), (1,), (1, 2), (3, 1)])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(op: str, axes: tuple[int, ...], keep: int) -> None:
    one(op, (3, 4, 2), ints(*axes), keepdims=keep)


def test_reductions_of_older_opsets() -> None:
    one("ReduceMean", (3, 4), opset=13, axes=[-1], keepdims=0)


MOVES: list[tuple[str, tuple[int, ...], list[Array], dict[str, Any]]] = [
    ("Reshape", (3, 4), [ints(0, 12)], {}),
    ("Reshape", (3, 4), [ints(-1, 2, 6)], {}),
    ("Reshape", (3, 4), [ints(0, -1, 2)], {}),
    ("Flatten", (3, 4), [], {}),
    ("Transpose", (3, 4), [], {"perm": [0, 2, 1]}),
    ("Unsqueeze", (3, 4), [ints(1, -1)], {}),
    ("Squeeze", (3, 1, 1), [ints(2)], {}),
    ("Slice", (6, 5), [ints(1, -4), ints(5, 9), ints(1, 2)], {}),
    ("Slice", (6, 5), [ints(0), ints(2**62), ints(-1), ints(2)], {}),
    ("Gather", (6, 5), [ints(2)], {"axis": 1}),
    ("Gather", (6, 5), [np.asarray(-1, LISTS)], {"axis": 2}),
    ("Gather", (6, 5), [ints(4, 0, 4)], {"axis": 1}),
    ("Gather", (6, 5), [ints(1, 2, 3, 4).reshape(2, 2)], {"axis": 2}),
    ("Expand", (3, 1), [ints(1, 3, 4)], {}),
    ("Tile", (3, 1), [ints(1, 1, 4)], {}),
    ("Pad", (3, 4), [ints(0, 1, 0, 0, 2, 3), np.asarray(0.5, F32)], {}),
]


@pytest.mark.parametrize(("op", "shape", "stored", "attributes"), MOVES)
def test_moves(
    op: str, shape: tuple[int, ...], stored: list[Array], attributes: dict[str, Any]
) -> None:
    one(op, shape, *stored, **attributes)


def test_parts_and_joins() -> None:
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1),
        helper.make_node("Split", ["x"], ["d", "e"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["c", "a", "e", "k"], ["y"], axis=1),
    ]
    stored = {"sizes": ints(1, 2, 2), "k": weights(1, 2, 3)}
    data = model_of(nodes, {"x": (TensorProto.FLOAT, (1, 5, 3))}, stored)
    judged(data, {"x": weights(1, 5, 3)})


def test_picking_by_tuples() -> None:
    """(item, position), as exports of attention masks pick; the only item is item 0."""
    tuples = np.stack([np.zeros(4, LISTS), ints(1, 2, -3, 4)], axis=-1)[np.newaxis]
    node = helper.make_node("GatherND", ["x", "tuples"], ["y"])
    data = model_of([node], {"x": (TensorProto.FLOAT, (1, 6, 5))}, {"tuples": tuples})
    judged(data, {"x": weights(1, 6, 5)})


def test_topk_gives_positions() -> None:
    node = helper.make_node("TopK", ["x", "k"], ["values", "y"])
    data = model_of([node], {"x": (TensorProto.FLOAT, ("n", 9))}, {"k": ints(3)})
    judged(data, {"x": np.random.default_rng(2).normal(size=(4, 9)).astype(F32)})


def test_embeddings_bound_their_ids() -> None:
    node = helper.make_node("Gather", ["table", "ids"], ["y"])
    data = model_of([node], {"ids": (TensorProto.INT64, ("n", 6))}, {"table": weights(11, 3)})
    graph = judged(data, {"ids": np.arange(12, dtype=LISTS).reshape(2, 6) % 11})
    assert [(x.kind, x.maximum) for x in graph.inputs] == [("index", 10)]


def test_shapes_fold() -> None:
    """Heads of attention: the chain Shape, Gather, Concat, Reshape that exporters write."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axis"], ["batch1"]),
        helper.make_node("Concat", ["batch1", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    stored = {"zero": np.asarray(0, LISTS), "axis": ints(0), "rest": ints(-1, 2, 2)}
    data = model_of(nodes, {"x": (TensorProto.FLOAT, ("n", 3, 4))}, stored)
    graph = judged(data, {"x": weights(5, 3, 4)})
    assert [node.op for node in graph.nodes] == ["reshape"]


REFUSED: list[tuple[str, tuple[int, ...], list[Array], dict[str, Any], str]] = [
    ("Sin", (3,), [], {}, "Sin .*: replace it by ops that have one"),
    ("LogSoftmax", (3,), [], {}, "LogSoftmax .*: end the model at its scores"),
    ("Pow", (3,), [np.asarray(7, F32)], {}, "powers of 2"),
    ("Div", (3,), [np.asarray(0, F32)], {}, "divides by zero"),
    ("Elu", (3,), [], {"alpha": 2.0}, "alpha=1 only"),
    ("Cast", (3,), [], {"to": TensorProto.INT64}, "round outside"),
    ("MaxPool", (1, 4, 4), [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, "ceil"),
    ("MaxPool", (1, 9, 9), [], {"kernel_shape": [2, 2], "dilations": [2, 2]}, "without dilation"),
    ("Slice", (4,), [ints(3), ints(0), ints(1), ints(-1)], {}, "positive steps"),
    ("Tile", (3,), [ints(1, 2)], {}, "concatenate"),
    ("Pad", (3,), [ints(0, 1, 0, 1)], {"mode": "reflect"}, "pad with constants"),
    ("Reshape", (3,), [ints(7, 3)], {}, "dynamic batch"),
]


@pytest.mark.parametrize(("op", "shape", "stored", "attributes", "complaint"), REFUSED)
def test_what_has_no_counterpart(
    op: str, shape: tuple[int, ...], stored: list[Array], attributes: dict[str, Any], complaint: str
) -> None:
    names = [f"c{i}" for i in range(len(stored))]
    node = helper.make_node(op, ["x", *names], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", *shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n",))],
        [numpy_helper.from_array(a, n) for n, a in zip(names, stored, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(UserError, match=complaint):
        graph_of_onnx(model.SerializeToString())
