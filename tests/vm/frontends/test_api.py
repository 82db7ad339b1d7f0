"""`pouw.quantize` and `save`: every kind of model and data that they take, and what they refuse."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pouw
import pytest
import torch
from pouw.core.errors import UserError
from pouw.vm.frontends.api import quantize, save
from pouw.vm.frontends.graph import Graph, GraphInput, Node
from pouw.vm.program import decode_program
from torch import nn

RANDOM = np.random.default_rng(5)
DATA = RANDOM.normal(size=(32, 6)).astype(np.float32)
IDS = RANDOM.integers(0, 9, (32, 4))


class Pair(nn.Module):
    """A module of two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 6)
        self.layer = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.layer(x + self.table(ids).mean(dim=1))


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(6, 3).eval()


def graph() -> Graph:
    weights = linear().get_parameter("weight").detach().numpy()
    return Graph((GraphInput("x", (6,)),), {"w": weights}, (Node("linear", ("x", "w"), "y"),), "y")


def test_the_package_offers_it_without_loading_a_framework() -> None:
    code = "import sys, pouw; pouw.quantize; print(sorted({'torch', 'onnx'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
    assert pouw.quantize is quantize


def test_tensors_arrays_and_names_are_the_same_data() -> None:
    programs = {
        quantize(model, data).weights
        for model, data in (
            (linear(), DATA),
            (linear(), torch.from_numpy(DATA)),
            (linear(), [DATA]),
        )
    }
    assert len(programs) == 1
    assert quantize(graph(), DATA).weights == quantize(graph(), {"x": DATA}).weights


def test_a_module_of_two_arguments_gets_two_arrays() -> None:
    torch.manual_seed(0)
    quantised = quantize(Pair().eval(), [DATA, IDS])
    assert [part.kind for part in quantised.encoder.inputs] == ["float", "index"]
    assert quantised.report.score > 0.99


def test_progress_goes_from_nothing_to_all() -> None:
    shares: list[float] = []
    quantize(graph(), DATA, lambda share, _: shares.append(share))
    assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(shares)


@pytest.mark.parametrize(
    ("model", "data", "reason"),
    [
        (graph(), DATA[:, :5], "items of [6]"),
        (graph(), DATA[0], "items of [6]"),
        (graph(), DATA[:0], "items of [6]"),
        (graph(), np.where(DATA > 2, np.nan, DATA), "finite"),
        (graph(), DATA.astype("U9"), "finite numbers"),
        (graph(), [DATA, DATA], "inputs x"),
        (graph(), {"y": DATA}, "inputs x"),
        (linear(), {"x": DATA}, "order of forward"),
        (b"bytes", DATA, "never a pickle"),
        ("no such file.onnx", DATA, "not a file"),
    ],
)
def test_what_does_not_fit_is_refused(model: Any, data: Any, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        quantize(model, data)
    assert reason in str(caught.value)


def test_a_training_module_is_refused() -> None:
    with pytest.raises(UserError, match="eval"):
        quantize(linear().train(), DATA)


def test_saved_files_are_the_model_and_never_overwritten(tmp_path: Path) -> None:
    quantised = quantize(graph(), DATA)
    files = save(quantised, tmp_path / "new", "it", description="a layer", classes=list("abc"))
    assert [file.name for file in files] == ["it.program", "it.weights", "it.card"]
    assert decode_program(files[0].read_bytes()) == quantised.program
    assert files[1].read_bytes() == quantised.weights
    assert json.loads(files[2].read_text())["classes"] == ["a", "b", "c"]
    files[0].unlink()
    with pytest.raises(UserError, match="exists already"):
        save(quantised, tmp_path / "new", "it")
    assert not files[0].exists(), "all or nothing"
    with pytest.raises(UserError, match="cannot write"):
        save(quantised, files[1] / "below a file", "it")
