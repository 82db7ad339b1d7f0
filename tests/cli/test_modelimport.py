"""`pouw model import`: from an ONNX file to files that register, and what it refuses and why."""

import hashlib
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pouw.cli.card import read_card
from pouw.cli.model import load_model
from pouw.cli.modelimport import read_classes
from pouw.core.errors import UserError
from pouw.genesis import TINY
from pouw.kernels.blas import BlasMultiplier
from pouw.tests.cli.town import Ended, command
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.card import codec_of
from pouw.vm.products import plain_products
from pouw.vm.program import decode_program
from pouw.vm.tensor import encode_output
from pouw.vm.types import DType, TensorType

FEATURES, CLASSES = 12, 5
RANDOM = np.random.default_rng(11)
WEIGHTS = RANDOM.normal(size=(FEATURES, CLASSES)).astype(np.float32)
DATA = RANDOM.normal(size=(300, FEATURES)).astype(np.float32)


def model_of(nodes: Sequence[onnx.NodeProto], shape: Sequence[int | str]) -> onnx.ModelProto:
    """Put nodes from x to y between an input of this shape and an output."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A linear layer as a file, beside data to calibrate with."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="the product"),
        helper.make_node("Relu", ["h"], ["y"], name="the rectifier"),
    ]
    onnx.save(model_of(nodes, ["batch", FEATURES]), tmp_path / "layer.onnx")
    np.save(tmp_path / "data.npy", DATA)
    return tmp_path / "layer.onnx"


def importing(file: Path, *more: str, data: str = "data.npy") -> Ended:
    """Import a file with the data beside it."""
    folder = file.parent
    return command(
        *("model", "import", file, "--calibrate", folder / data, "--output", folder / "out"), *more
    )


def test_three_files_are_written_that_give_the_models_answers(layer: Path) -> None:
    ended = importing(layer, "--classes", "a,b,c,d,e", "--description", "one layer", "--json")
    assert ended.code == 0, ended
    told = json.loads(ended.out)
    files = {kind: Path(name) for kind, name in told["files"].items()}
    assert {file.name for file in files.values()} == {
        "layer.program", "layer.weights", "layer.card",
    }  # fmt: skip
    program, weights = load_model(TINY, files["program"], files["weights"])
    card = json.loads(read_card(files["card"]))
    assert (card["description"], card["classes"]) == ("one layer", list("abcde"))
    assert card["source"]["sha256"] == hashlib.sha256(layer.read_bytes()).hexdigest()
    assert told["report"]["macs"] == card["metrics"]["macs_per_item"] == FEATURES * CLASSES

    checked = check_program(decode_program(program))
    codec = codec_of(read_card(files["card"]), checked.program.input, checked.output_type)
    data = codec.encoder.encode(DATA[:50])
    output = execute(checked, weights, data, plain_products(BlasMultiplier())).output
    ours = codec.decoder.decode(encode_output(checked, output))
    session = onnxruntime.InferenceSession(layer, providers=["CPUExecutionProvider"])
    floats = np.asarray(session.run(None, {"x": DATA[:50]})[0])
    assert np.abs(ours - floats).mean() < 0.04 * np.abs(floats).mean()


def test_the_report_names_the_nodes_and_the_next_command(layer: Path) -> None:
    ended = importing(layer, "--name", "a layer")
    assert ended.code == 0, ended
    for text in ("the product", "the rectifier", "SQNR dB", "multiply-accumulates per item"):
        assert text in ended.out
    assert "pouw model register" in ended.out and "a layer.card" in ended.out


def test_nothing_is_overwritten(layer: Path) -> None:
    assert importing(layer).code == 0
    before = (layer.parent / "out" / "layer.weights").stat().st_mtime_ns
    assert "exists already" in importing(layer).error
    assert (layer.parent / "out" / "layer.weights").stat().st_mtime_ns == before


def test_unsupported_nodes_are_all_named_with_advice(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="fine"),
        helper.make_node("Det", ["h"], ["i"], name="first bad"),
        helper.make_node("NonZero", ["i"], ["j"], name="second bad"),
        helper.make_node("Cast", ["j"], ["y"], name="fine too", to=TensorProto.FLOAT),
    ]
    onnx.save(model_of(nodes, ["batch", FEATURES]), tmp_path / "bad.onnx")
    np.save(tmp_path / "data.npy", DATA)
    error = importing(tmp_path / "bad.onnx").error
    assert "first bad" in error and "Det" in error and "have no counterpart" in error
    assert not (tmp_path / "out").exists()


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("trap.sprung").touch, ())


def test_pickles_are_never_read(
    layer: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Trap())
    for name in ("model.pt", "model.onnx", "model.bin"):
        (tmp_path / name).write_bytes(pickled)
        assert "pouw.quantize(module, calibration)" in importing(tmp_path / name).error
    (tmp_path / "zipped.onnx").write_bytes(b"PK\x03\x04" + pickled)
    assert "pickle" in importing(tmp_path / "zipped.onnx").error
    np.save(tmp_path / "trap.npy", np.array([Trap()], object), allow_pickle=True)
    assert "numpy.save" in importing(layer, data="trap.npy").error
    assert not (tmp_path / "trap.sprung").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(1000), b"\x08\x07" + b"\xff" * 99])
def test_garbage_is_refused_in_one_line(layer: Path, content: bytes) -> None:
    broken = layer.with_name("broken.onnx")
    broken.write_bytes(content)
    assert importing(broken).error
    assert not (layer.parent / "out").exists()


def test_weights_alone_are_not_a_model(layer: Path) -> None:
    file = layer.with_name("model.safetensors")
    file.write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    assert "without the model" in importing(file).error
    assert "cannot read" in importing(layer.with_name("none.onnx")).error


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.zeros((4, FEATURES + 1), np.float32), "items of"),
        (np.zeros((0, FEATURES), np.float32), "no items"),
        (np.zeros((), np.float32), "no items"),
        (np.full((4, FEATURES), np.nan, np.float32), "not finite"),
        (np.zeros((4, FEATURES), np.complex64), "integers or floats"),
        (np.zeros((4, FEATURES), "U3"), "integers or floats"),
    ],
)
def test_data_that_do_not_fit(layer: Path, data: NDArray[Any], reason: str) -> None:
    np.save(layer.with_name("other.npy"), data)
    assert reason in importing(layer, data="other.npy").error
    assert not (layer.parent / "out").exists()


def test_data_are_asked_for_by_name(layer: Path) -> None:
    good, folder = layer.with_name("data.npy"), layer.parent / "out"
    start = ("model", "import", layer, "--output", folder)
    wrong = command(*start, "--calibrate", f"image={good}")
    assert "--calibrate x=FILE" in wrong.error
    twice = command(*start, "--calibrate", good, "--calibrate", good)
    assert "--calibrate x=FILE" in twice.error
    assert command(*start, "--calibrate", f"x={good}").code == 0


def test_the_items_that_calibrate_come_from_the_whole_file(layer: Path) -> None:
    grown = np.concatenate([DATA, 100 * DATA])
    np.save(layer.with_name("grown.npy"), grown)
    assert importing(layer, "--items", "20", data="grown.npy").code == 0
    card = json.loads((layer.parent / "out" / "layer.card").read_text())
    scales = card["encoding"]["encoder"]["inputs"][0]["scale"]
    assert max(scales) * 127 > 100, "the large half was looked at"


@pytest.mark.parametrize("name", ["", "a/b", "..\n", "x" * 300])
def test_names_that_no_file_has(layer: Path, name: str) -> None:
    assert "--name" in importing(layer, "--name", name).error


@pytest.mark.parametrize("words", ["sequence", "=3", "sequence=-1", "sequence=a", "s=9999999999"])
def test_dimensions_are_numbers(layer: Path, words: str) -> None:
    assert "NAME=NUMBER" in importing(layer, "--dimension", words).error


def test_classes_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("cat\n dog \nbird\n")
    assert read_classes(str(file)) == ["cat", "dog", "bird"] == read_classes("cat,dog, bird")
    file.write_bytes(b"\xff\xfe")
    for bad in (str(file), "cat", "cat,,dog"):
        with pytest.raises(UserError):
            read_classes(bad)


def test_classes_must_be_as_many_as_the_outputs(layer: Path) -> None:
    assert "5 outputs" in importing(layer, "--classes", "a,b,c").error


def test_a_card_longer_than_the_chain_takes_is_refused(layer: Path) -> None:
    error = importing(layer, "--classes", ",".join(c * 4_000 for c in "abcde")).error
    assert "in 'classes'" in error
    assert not (layer.parent / "out").exists()


def test_a_strangers_card_is_held_to_the_model(layer: Path) -> None:
    assert importing(layer).code == 0
    text = (layer.parent / "out" / "layer.card").read_text()
    program = decode_program((layer.parent / "out" / "layer.program").read_bytes())
    source, result = program.input, check_program(program).output_type
    assert codec_of(text, source, result)
    card = json.loads(text)
    for path, value in (
        (("encoder", "dtype"), "int32"),
        (("encoder", "inputs", 0, "hi"), 64),
        (("encoder", "inputs", 0, "shape"), [FEATURES + 1]),
        (("encoder", "inputs", 0, "scale"), [0.0]),
        (("decoder", "scale"), [1e300]),
        (("decoder", "offset"), ["1"]),
        (("version",), 2),
        (("surplus",), 1),
    ):
        changed = json.loads(text)
        inner = changed["encoding"]
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        with pytest.raises(UserError, match="its card"):
            codec_of(json.dumps(changed), source, result)
    for bad in ("", "[", "[]", "{}", "[" * 9_000, '{"encoding":' + "[" * 9_000, '{"encoding":7}'):
        with pytest.raises(UserError, match="card"):
            codec_of(bad, source, result)
    with pytest.raises(UserError, match="another model"):
        codec_of(json.dumps(card), source, TensorType(DType.INT8, result.shape))
