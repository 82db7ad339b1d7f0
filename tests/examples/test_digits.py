"""The digits example: both models keep their accuracy, from PyTorch and by way of ONNX."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from pouw.examples.digits_cnn import digits
from pouw.tests.examples.running import accuracy, answers_of, float_answers
from pouw.vm.frontends.api import quantize

MODELS = sorted(digits.MODELS)
LARGEST_LOSS = 0.005


@pytest.fixture(scope="module")
def data() -> digits.Digits:
    torch.set_num_threads(1)
    return digits.load()


@pytest.fixture(scope="module")
def modules(data: digits.Digits) -> dict[str, torch.nn.Module]:
    return {name: digits.trained(name, data) for name in MODELS}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_pytorch_model_keeps_its_accuracy(
    data: digits.Digits, modules: dict[str, torch.nn.Module], name: str
) -> None:
    floats = float_answers(modules[name], data.held_out)
    quantised = quantize(modules[name], data.calibration)
    ours = answers_of(quantised, data.held_out)
    assert accuracy(floats, data.labels) > 0.95
    assert accuracy(ours, data.labels) >= accuracy(floats, data.labels) - LARGEST_LOSS
    assert quantised.report.score > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_by_way_of_onnx_too(
    data: digits.Digits, modules: dict[str, torch.nn.Module], name: str, tmp_path: Path
) -> None:
    file = tmp_path / f"{name}.onnx"
    digits.export(modules[name], data.train, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    floats = np.asarray(session.run(None, {"image": data.held_out})[0])
    ours = answers_of(quantize(file, data.calibration), data.held_out)
    assert accuracy(ours, data.labels) >= accuracy(floats, data.labels) - LARGEST_LOSS
    assert np.abs(ours - floats).mean() < 0.04 * np.abs(floats).mean()
