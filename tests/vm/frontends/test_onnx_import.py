"""Whole ONNX models, as exporters write them, compared with onnxruntime."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from pouw.core.errors import UserError
from pouw.vm.frontends import floats
from pouw.vm.frontends.onnx_import import graph_of_onnx
from torch import nn

from .test_onnx_import_ops import F32, LISTS, ints, judged, model_of, weights
from .test_onnx_import_patterns import FLOAT, NORM, functions, node, normalisation, samples


def test_perceptron() -> None:
    nodes = [
        node("Flatten", ["x"], ["f"]),
        node("Gemm", ["f", "w1", "b1"], ["h"], transB=1),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "w2"], ["o"]),
        node("Add", ["o", "b2"], ["s"]),
        node("Softmax", ["s"], ["y"]),
    ]
    stored = {"w1": weights(7, 12), "b1": weights(7), "w2": weights(7, 3), "b2": weights(3)}
    graph = judged(model_of(nodes, {"x": (FLOAT, ("n", 3, 4))}, stored), {"x": samples(9, 3, 4)})
    assert functions(graph) == {"reshape": 1, "linear": 2, "relu": 1, "softmax": 1}


def encoder() -> bytes:
    """An encoder layer in the style of BERT exports, shapes computed in the model."""
    nodes = [
        node("Gather", ["words", "ids"], ["e"]),
        node("Add", ["e", "positions"], ["x"]),
        node("Shape", ["ids"], ["s"]),
        node("Gather", ["s", "zero"], ["batch"]),
        node("Gather", ["s", "first"], ["length"]),
        node("Unsqueeze", ["batch", "axis"], ["batch1"]),
        node("Unsqueeze", ["length", "axis"], ["length1"]),
        node("Concat", ["batch1", "length1", "heads"], ["split"], axis=0),
        node("Concat", ["batch1", "length1", "width"], ["joined"], axis=0),
    ]
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            node("MatMul", ["x", "w" + name], [name + "1"]),
            node("Add", ["b" + name, name + "1"], [name + "2"]),
            node("Reshape", [name + "2", "split"], [name + "3"]),
            node("Transpose", [name + "3"], [name], perm=perm),
        ]
    nodes += [
        node("MatMul", ["q", "k"], ["product"]),
        node("Div", ["product", "root"], ["scores"]),
        node("Unsqueeze", ["mask", "middle"], ["mask4"]),
        node("Cast", ["mask4"], ["seen"], to=FLOAT),
        node("Sub", ["one", "seen"], ["hidden"]),
        node("Mul", ["hidden", "low"], ["bias"]),
        node("Add", ["scores", "bias"], ["biased"]),
        node("Softmax", ["biased"], ["weights"], axis=-1),
        node("MatMul", ["weights", "v"], ["heads4"]),
        node("Transpose", ["heads4"], ["turned"], perm=[0, 2, 1, 3]),
        node("Reshape", ["turned", "joined"], ["context"]),
        node("MatMul", ["context", "wo"], ["o1"]),
        node("Add", ["o1", "bo"], ["o2"]),
        node("Add", ["o2", "x"], ["o3"]),
        *normalisation("o3", "o4", "div"),
        node("MatMul", ["o4", "w1"], ["f1"]),
        node("Add", ["f1", "b1"], ["f2"]),
        node("Div", ["f2", "root2"], ["g1"]),
        node("Erf", ["g1"], ["g2"]),
        node("Add", ["g2", "one"], ["g3"]),
        node("Mul", ["f2", "g3"], ["g4"]),
        node("Mul", ["g4", "half"], ["g5"]),
        node("MatMul", ["g5", "w2"], ["f3"]),
        node("Add", ["f3", "b2"], ["f4"]),
        node("Add", ["f4", "o4"], ["f5"]),
        *normalisation("f5", "f6", "div"),
        node("Slice", ["f6", "zeros", "ones", "ones"], ["first_token"]),
        node("Squeeze", ["first_token", "ones"], ["y"]),
    ]
    stored = {
        **NORM,
        **{f"w{n}": weights(8, 8) * F32(1 + i / 4) for i, n in enumerate("qkvo")},
        **{f"b{n}": weights(8) for n in "qkvo"},
        "words": weights(20, 8),
        "positions": weights(6, 8),
        "w1": weights(8, 16),
        "b1": weights(16),
        "w2": weights(16, 8),
        "b2": weights(8),
        "zero": np.asarray(0, LISTS),
        "first": np.asarray(1, LISTS),
        "axis": ints(0),
        "zeros": ints(0),
        "ones": ints(1),
        "middle": ints(1, 2),
        "heads": ints(2, 4),
        "width": ints(8),
        "root": np.asarray(2, F32),
        "root2": np.asarray(2**0.5, F32),
        "one": np.asarray(1, F32),
        "half": np.asarray(0.5, F32),
        "low": np.asarray(np.finfo(F32).min, F32),
    }
    shape = ("batch", "sequence")
    inputs = {"ids": (TensorProto.INT64, shape), "mask": (TensorProto.INT64, shape)}
    return model_of(nodes, inputs, stored, opset=13)


def test_encoder() -> None:
    rng = np.random.default_rng(5)
    mask = np.ones((3, 6), LISTS)
    mask[1, 4:] = 0
    feeds = {"ids": rng.integers(0, 20, (3, 6)), "mask": mask}
    graph = judged(encoder(), feeds, dimensions={"sequence": 6}, maximum={"mask": 1})
    found = functions(graph)
    assert (found["linear"], found["matmul"], found["layer_norm"], found["gelu"]) == (6, 2, 2, 1)
    assert [entry.maximum for entry in graph.inputs] == [19, 1]


def test_free_dimensions_are_asked_for() -> None:
    with pytest.raises(UserError, match=r"input ids has a free dimension \(sequence\)"):
        graph_of_onnx(encoder(), maximum={"mask": 1})


def scikit(classes: list[int]) -> bytes:
    """A scaled perceptron in the form in which skl2onnx writes MLPClassifier."""
    ml = "ai.onnx.ml"
    nodes = [
        node("Scaler", ["X"], ["scaled"], domain=ml, offset=[1.0, 2.0], scale=[0.5, 3.0]),
        node("Cast", ["scaled"], ["cast"], to=FLOAT),
        node("MatMul", ["cast", "w1"], ["m1"]),
        node("Add", ["m1", "b1"], ["a1"]),
        node("Relu", ["a1"], ["r"]),
        node("MatMul", ["r", "w2"], ["m2"]),
        node("Add", ["m2", "b2"], ["a2"]),
        node("Softmax", ["a2"], ["p"]),
        node("ArgMax", ["p"], ["position"], axis=1),
        node("ZipMap", ["p"], ["output_probability"], domain=ml, classlabels_int64s=classes),
        node("ArrayFeatureExtractor", ["classes", "position"], ["picked"], domain=ml),
        node("Reshape", ["picked", "flat"], ["reshaped"]),
        node("Cast", ["reshaped"], ["output_label"], to=TensorProto.INT64),
    ]
    stored = {
        "w1": weights(2, 5),
        "b1": weights(1, 5),
        "w2": weights(5, 3),
        "b2": weights(1, 3),
        "classes": ints(*classes),
        "flat": ints(-1),
    }
    kind = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, shape=[])
    )
    sequence = helper.make_sequence_type_proto(kind)
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("X", FLOAT, [None, 2])],
        [
            helper.make_tensor_value_info("output_label", TensorProto.INT64, [None]),
            helper.make_value_info("output_probability", sequence),
        ],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ml, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_scikit_labels() -> None:
    judged(scikit([0, 1, 2]), {"X": samples(30, 2)}, output="output_label")


def test_scikit_probabilities() -> None:
    x = samples(30, 2)
    graph = graph_of_onnx(scikit([7, 8, 9]), output="output_probability")
    assert graph.shapes[graph.output] == (3,)
    labels = graph_of_onnx(scikit([0, 1, 2]), output="output_label")
    classes = floats.output(graph, {"X": x}).argmax(axis=1)
    assert (classes == floats.output(labels, {"X": x})).all()


def test_outputs_are_chosen() -> None:
    data = scikit([3, 4, 5])
    with pytest.raises(UserError, match="outputs output_label, output_probability: choose one"):
        graph_of_onnx(data)
    with pytest.raises(UserError, match="no output y"):
        graph_of_onnx(data, output="y")
    with pytest.raises(UserError, match="choose the output of probabilities"):
        graph_of_onnx(data, output="output_label")


def test_everything_unsupported_is_told_at_once() -> None:
    nodes = [
        node("Sin", ["x"], ["a"], name="wave"),
        node("Cos", ["x"], ["b"], name="first"),
        node("Cos", ["a"], ["never told: its operand is unknown"]),
        node("Cos", ["x"], ["c"], name="second"),
        node("FastGelu", ["x"], ["d"], name="fused", domain="com.microsoft"),
        node("Sum", ["b", "c", "d", "never told: its operand is unknown"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", FLOAT, ["n", 3])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    with pytest.raises(UserError) as told:
        graph_of_onnx(data)
    text = str(told.value)
    assert all(part in text for part in ("Sin (wave)", "Cos (first, second)", "FastGelu (fused)"))
    assert "never told" not in text


def test_branches_are_advised_against() -> None:
    branch = helper.make_graph(
        [node("Relu", ["x"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", FLOAT, ["n", 3])],
    )
    nodes = [
        node("Cast", ["flag"], ["condition"], to=TensorProto.BOOL),
        node("If", ["condition"], ["y"], name="fork", then_branch=branch, else_branch=branch),
    ]
    inputs = {"x": (FLOAT, ("n", 3)), "flag": (TensorProto.INT64, ("n",))}
    with pytest.raises(UserError, match=r"If \(fork\): export without control flow"):
        graph_of_onnx(model_of(nodes, inputs))


def network() -> nn.Module:
    torch.manual_seed(1)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2, dilation=2, padding=2),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 16),
        nn.GELU("tanh"),
        nn.LayerNorm(16),
        nn.Linear(16, 4),
    )
    for name, buffer in layers.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.uniform_(0.5, 1.5)
    return layers.eval()


EXPORTED: list[tuple[nn.Module, tuple[int, ...], Counter[str]]] = [
    (
        network(),
        (3, 16, 16),
        Counter(
            {"conv": 3, "clamp": 1, "max_pool": 1, "avg_pool": 1, "linear": 2, "layer_norm": 1}
        ),
    ),
    (
        nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True).eval(),
        (5, 16),
        Counter({"linear": 4, "matmul": 2, "softmax": 1, "gelu": 1, "layer_norm": 2}),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "item", "expected"), EXPORTED)
def test_exported_from_pytorch(
    module: nn.Module, item: tuple[int, ...], expected: Counter[str], tmp_path: Any
) -> None:
    pytest.importorskip("onnxscript", reason="PyTorch's exporter needs it")
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        module,
        (torch.zeros(2, *item),),
        str(path),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    data = path.read_bytes()
    name = onnx.load_from_string(data).graph.input[0].name
    assert expected <= functions(judged(data, {name: samples(3, *item)}))
