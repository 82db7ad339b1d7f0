"""A model's own numbers to inputs and back: what a card says, and what a stranger's may say."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.cli.encoding import classes_of, input_rule, output_numbers
from pouw.cli.modelanswers import ModelAnswer
from pouw.cli.tensorfile import read_input
from pouw.core.errors import UserError
from pouw.vm.check import check_program
from pouw.vm.frontends.api import quantize
from pouw.vm.frontends.card import card_of
from pouw.vm.frontends.graph import Graph, GraphInput, Node
from pouw.vm.frontends.quantise import Quantised

RANDOM = np.random.default_rng(3)
DATA = RANDOM.normal(size=(40, 6)).astype(np.float32)
NAMES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def quantised() -> Quantised:
    """A linear layer from six numbers to three."""
    weights = RANDOM.normal(size=(3, 6)).astype(np.float32)
    node = Node("linear", ("x", "w"), "y")
    return quantize(Graph((GraphInput("x", (6,)),), {"w": weights}, (node,), "y"), DATA)


def answered(quantised: Quantised, card: str) -> ModelAnswer:
    """What a node would tell of the model."""
    checked = check_program(quantised.program)
    source, result = checked.program.input, checked.output_type
    identity = "ab" * 32
    plain: dict[str, Any] = {
        "previous": None,
        "successor": None,
        "royalties": [],
        "input": {
            "dtype": source.type.dtype.name.lower(),
            "shape": source.type.shape,
            "lo": source.interval.lo,
            "hi": source.interval.hi,
        },
        "output": {"dtype": result.dtype.name.lower(), "shape": result.shape},
        "card": card,
        "max_items": checked.max_items,
    }
    texts = {"name": "", "owner": "", "licence": ""}
    ids = dict.fromkeys(("id", "program", "weights"), identity)
    rest = {field.name: 0 for field in msgspec.structs.fields(ModelAnswer)}
    return msgspec.convert({**rest, **texts, **ids, **plain}, ModelAnswer)


def saved(folder: Path, array: NDArray[Any]) -> Path:
    np.save(folder / "x.npy", array)
    return folder / "x.npy"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_are_encoded_as_the_card_says(
    quantised: Quantised, tmp_path: Path, dtype: Any
) -> None:
    rule = input_rule(answered(quantised, card_of(quantised)))
    read = read_input(saved(tmp_path, DATA.astype(dtype)), rule)
    wide = DATA.astype(dtype).astype(np.float64)
    ours, theirs = np.frombuffer(read, np.int8), quantised.encoder.integers(wide).reshape(-1)
    assert np.abs(ours.astype(int) - theirs).max() <= 1, "scales on a card have nine digits"
    assert np.mean(ours == theirs) > 0.99


def test_the_machines_integers_pass_unchanged(quantised: Quantised, tmp_path: Path) -> None:
    rule = input_rule(answered(quantised, card_of(quantised)))
    integers = RANDOM.integers(-64, 64, (7, 6), np.int8)
    assert read_input(saved(tmp_path, integers), rule) == integers.tobytes()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (DATA[:, :5], "items of (6,)"),
        (np.full((2, 6), np.inf), "finite"),
        (np.zeros((0, 6)), "give (items"),
        (np.zeros((2, 6), np.complex64), "integers or floats"),
    ],
)
def test_floats_that_do_not_fit(
    quantised: Quantised, tmp_path: Path, array: NDArray[Any], reason: str
) -> None:
    rule = input_rule(answered(quantised, card_of(quantised)))
    with pytest.raises(UserError) as caught:
        read_input(saved(tmp_path, array), rule)
    assert reason in str(caught.value)


@pytest.mark.parametrize("card", ["", "{}", "[1]", '{"encoding":{"version":1}}', "x" * 9])
def test_without_a_usable_card_floats_are_refused_with_the_reason(
    quantised: Quantised, tmp_path: Path, card: str
) -> None:
    found = answered(quantised, card)
    with pytest.raises(UserError, match="card"):
        read_input(saved(tmp_path, DATA), input_rule(found))
    with pytest.raises(UserError, match="--floats"):
        output_numbers(found, bytes(12))


def test_several_inputs_are_not_read_from_one_file(quantised: Quantised) -> None:
    card = json.loads(card_of(quantised))
    part = card["encoding"]["encoder"]["inputs"][0]
    halves = [
        {**part, "name": name, "shape": [3], "scale": [1.0], "offset": [0.0]} for name in "ab"
    ]
    card["encoding"]["encoder"]["inputs"] = halves
    rule = input_rule(answered(quantised, json.dumps(card)))
    assert isinstance(rule.encode, str) and "a, b" in rule.encode


def test_outputs_come_back_as_floats_and_names(quantised: Quantised) -> None:
    found = answered(quantised, card_of(quantised, classes=NAMES))
    integers = np.array([[9, 1, 2], [1, 2, 9]], "<i4")
    numbers = output_numbers(found, integers.tobytes())
    expected = quantised.decoder.decode(integers.tobytes())
    assert np.allclose(numbers, expected, rtol=1e-5, atol=1e-6)
    assert classes_of(found, numbers) == [NAMES[i] for i in expected.argmax(axis=1)]
    assert classes_of(found, np.array([2, 0], np.int32)) == ["blue", "red"]


@pytest.mark.parametrize(
    "classes", ['["a","b"]', '["a","b",3]', '"abc"', "null", "{}", "[" * 5_000]
)
def test_classes_that_do_not_fit_are_left_out(quantised: Quantised, classes: str) -> None:
    found = answered(quantised, f'{{"classes":{classes}}}')
    assert classes_of(found, np.zeros((2, 3), np.float32)) == []


def test_indices_beyond_the_classes_have_no_names(quantised: Quantised) -> None:
    found = answered(quantised, card_of(quantised, classes=NAMES))
    for wrong in ([3], [-1], [[0, 1]]):
        assert classes_of(found, np.array(wrong, np.int32)) == []
