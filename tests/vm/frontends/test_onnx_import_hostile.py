"""Damaged, oversized and malicious ONNX files: always a UserError, never more work than allowed."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from pouw.core.errors import UserError
from pouw.vm.frontends import onnx_file
from pouw.vm.frontends.graph import Graph
from pouw.vm.frontends.onnx_import import graph_of_onnx

from .test_onnx_import import encoder
from .test_onnx_import_ops import F32, LISTS, ints, model_of, weights
from .test_onnx_import_patterns import FLOAT, node

ENCODER = encoder()


def small() -> bytes:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])]
    return model_of(nodes, {"x": (FLOAT, ("n", 4))}, {"w": weights(4, 4)})


SMALL = small()


def read(data: bytes) -> Graph | None:
    """Read a model that may be refused, in the one way that is allowed."""
    try:
        return graph_of_onnx(data, dimensions={"sequence": 6}, maximum={"mask": 1})
    except UserError as error:
        assert str(error)
        return None


@pytest.mark.parametrize("model", [ENCODER, SMALL])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 6))
def test_flipped_bytes(model: bytes, seed: int, flips: int) -> None:
    rng, data = random.Random(seed), bytearray(model)
    for _ in range(flips):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    read(bytes(data))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(ENCODER) - 1))
def test_truncated(length: int) -> None:
    read(ENCODER[:length])


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_garbage(data: bytes) -> None:
    with pytest.raises(UserError):
        graph_of_onnx(data)


@pytest.mark.parametrize("seed", range(25))
def test_exchanged_attributes_and_operands(seed: int) -> None:
    """Valid protocol buffers with numbers and names in the wrong places."""
    rng, model = random.Random(seed), onnx.load_from_string(ENCODER)
    names = [name for entry in model.graph.node for name in entry.output]
    for _ in range(3):
        entry = rng.choice(model.graph.node)
        entry.input[rng.randrange(len(entry.input))] = rng.choice(names)
        for attribute in entry.attribute:
            attribute.i = rng.choice([-(2**63), -7, 0, 9, 2**62])
            attribute.ints[:] = [rng.choice([-(2**63), -1, 5, 2**62]) for _ in attribute.ints]
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.INT64 and rng.random() < 0.3:
            size = int(np.prod(tensor.dims))
            numbers = [rng.choice([-(2**63), -1, 0, 3, 2**40, 2**62]) for _ in range(size)]
            tensor.raw_data = np.asarray(numbers, "<i8").tobytes()
    read(model.SerializeToString())


def _bomb(*nodes: onnx.NodeProto) -> bytes:
    inputs = {"x": (FLOAT, ("n", 4))}
    graph = helper.make_graph(
        [*nodes, node("Mul", ["x", "c"], ["y"])],
        "model",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info("y", FLOAT, ("n", 4))],
        [
            numpy_helper.from_array(ints(2**20, 2**20), "huge"),
            numpy_helper.from_array(ints(2**13, 2**13), "large"),
            numpy_helper.from_array(np.asarray(2**40, LISTS), "far"),
            numpy_helper.from_array(np.asarray(0, LISTS), "zero"),
            numpy_helper.from_array(np.asarray(1, LISTS), "one"),
            numpy_helper.from_array(np.ones((1, 1), F32), "single"),
            numpy_helper.from_array(np.ones((4096, 1), F32), "column"),
            numpy_helper.from_array(np.ones((1, 4096), F32), "row"),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


BOMBS: dict[str, Callable[[], bytes]] = {
    "fill": lambda: _bomb(node("ConstantOfShape", ["huge"], ["c"])),
    "expand": lambda: _bomb(node("Expand", ["single", "huge"], ["c"])),
    "tile": lambda: _bomb(node("Tile", ["single", "huge"], ["c"])),
    "range": lambda: _bomb(node("Range", ["zero", "far", "one"], ["c"])),
    "spread": lambda: _bomb(
        node("Add", ["column", "row"], ["a"]),
        node("Add", ["a", "a"], ["b"]),
        *(node("Add", ["b", "row"], [f"c{i}"]) for i in range(8)),
        node("Sum", [f"c{i}" for i in range(8)], ["c"]),
    ),
    "fills": lambda: _bomb(
        node("ConstantOfShape", ["large"], ["a"]),
        node("ConstantOfShape", ["large"], ["b"]),
        node("ConstantOfShape", ["large"], ["d"]),
        node("Concat", ["a", "b", "d"], ["c"], axis=0),
    ),
}


@pytest.mark.parametrize("kind", list(BOMBS))
def test_small_files_that_ask_for_much(kind: str) -> None:
    with pytest.raises(UserError, match=r"constants computed in the model exceed"):
        graph_of_onnx(BOMBS[kind]())


def test_huge_values_are_refused() -> None:
    data = model_of([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ("n", 2**20, 2**20))})
    with pytest.raises(UserError, match="has more than 268,435,456 numbers"):
        graph_of_onnx(data)


def test_empty_and_huge_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(SMALL)
    monkeypatch.setattr(onnx_file, "MAX_FILE_BYTES", len(SMALL) - 1)
    for source in (b"", SMALL):
        with pytest.raises(UserError, match="an ONNX file has 1 to"):
            graph_of_onnx(source)
    with pytest.raises(UserError, match="as external data"):
        graph_of_onnx(path)
    with pytest.raises(UserError, match="is not a file"):
        graph_of_onnx(tmp_path)


def test_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_NODES", 1)
    with pytest.raises(UserError, match="the model has 2 nodes"):
        graph_of_onnx(SMALL)


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(SMALL)
    change(model)
    return model.SerializeToString()


def _resize_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 5


def _set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def _add_function(model: onnx.ModelProto) -> None:
    model.functions.add().name = "f"


def _fix_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8


def _repeat_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def _infinite(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = np.full((4, 4), np.inf, "<f4").tobytes()


def _text(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.STRING


CHANGES: list[tuple[Callable[[onnx.ModelProto], object], str]] = [
    (_resize_tensor, "64 bytes, not 80"),
    (_set_opset, "opset is 12: export it with opset 18"),
    (_add_function, "inline them"),
    (_fix_batch, "fixed batch of 8"),
    (_repeat_weights, "two tensors are called w"),
    (_infinite, "not finite"),
    (_text, "a type that is not supported"),
]


@pytest.mark.parametrize(("change", "complaint"), CHANGES)
def test_models_out_of_order(change: Callable[[onnx.ModelProto], object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        graph_of_onnx(changed(change))


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """Return the path of a model whose weights lie in `weights.bin` beside it."""
    model = onnx.load_from_string(SMALL)
    folder = tmp_path / "model"
    folder.mkdir()
    external_data_helper.convert_model_to_external_data(
        model, location="weights.bin", size_threshold=0
    )
    onnx.save(model, str(folder / "m.onnx"))
    return folder / "m.onnx"


def test_weights_beside_the_model(external: Path) -> None:
    graph, wanted = graph_of_onnx(external), graph_of_onnx(SMALL)
    assert graph.nodes == wanted.nodes
    for name, array in wanted.constants.items():
        assert np.array_equal(graph.constants[name], array)
    with pytest.raises(UserError, match="give its path, not its bytes"):
        graph_of_onnx(external.read_bytes())


def relocate(path: Path, location: str, offset: str = "0") -> None:
    model = onnx.load(str(path), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
        if entry.key == "offset":
            entry.value = offset
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../secret.bin", "", ".", "missing.bin", "link.bin", "pipe"])
def test_weights_from_elsewhere(external: Path, location: str) -> None:
    secret = external.parent.parent / "secret.bin"
    secret.write_bytes(bytes(64))
    (external.parent / "link.bin").symlink_to(secret)
    os.mkfifo(external.parent / "pipe")
    relocate(external, location)
    with pytest.raises(UserError, match="is not a file in the model's folder"):
        graph_of_onnx(external)
    relocate(external, str(secret))
    with pytest.raises(UserError, match="is not a file in the model's folder"):
        graph_of_onnx(external)


@pytest.mark.parametrize("offset", ["1", "-1", "99999999999999999999", "many"])
def test_weights_beyond_their_file(external: Path, offset: str) -> None:
    relocate(external, "weights.bin", offset)
    with pytest.raises(UserError, match=r"weights\.bin|not a valid ONNX file"):
        graph_of_onnx(external)
