"""Whole models: trained ones keep their accuracy, and what does not fit is named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pouw.core.errors import UserError
from pouw.vm.check import check_program
from pouw.vm.frontends.graph import Graph, GraphInput, Node
from pouw.vm.frontends.quantise import Quantised, quantise
from pouw.vm.frontends.torch_import import graph_of_module
from pouw.vm.ops import Argmax, Matmul
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

Run = Callable[[Quantised, Any], NDArray[Any]]
Sqnr = Callable[[Quantised, Graph, Any], float]


class Digits:
    """Half of the images to train on, half to test with."""

    def __init__(self) -> None:
        x, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(y))
        self.x = (x[order] / 16).astype(np.float32)
        self.y = y[order]
        self.half = len(y) // 2

    def trained(self, model: nn.Module, shape: tuple[int, ...], epochs: int) -> nn.Module:
        """Train a classifier on items of a shape, with a fixed seed."""
        images = torch.from_numpy(self.x[: self.half]).reshape(-1, *shape)
        labels = torch.from_numpy(self.y[: self.half])
        optimiser = torch.optim.Adam(model.parameters(), 4e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(images)).split(64):
                optimiser.zero_grad()
                F.cross_entropy(model(images[batch]), labels[batch]).backward()
                optimiser.step()
        return model.eval()

    def lost(self, module: nn.Module, run: Run, shape: tuple[int, ...]) -> float:
        """Return how much accuracy quantising costs, as a share of the test images."""
        x = self.x.reshape(-1, *shape)
        seen, unseen, labels = x[: self.half], x[self.half :], self.y[self.half :]
        model = quantise(graph_of_module(module, torch.from_numpy(seen[:2])), seen[:256])
        with torch.no_grad():
            floats = module(torch.from_numpy(unseen)).argmax(1).numpy()
        found = run(model, unseen).argmax(1)
        accuracy = np.mean(floats == labels)
        assert accuracy > 0.9
        return float(accuracy - np.mean(found == labels))


@pytest.fixture(scope="module")
def digits() -> Digits:
    torch.manual_seed(1)
    torch.set_num_threads(1)  # models this small only wait for each other's threads
    return Digits()


def test_a_perceptron_loses_less_than_half_a_point(digits: Digits, run: Run) -> None:
    layers = (nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.GELU(), nn.Linear(48, 10))
    model = digits.trained(nn.Sequential(*layers), (64,), 12)
    assert digits.lost(model, run, (64,)) <= 0.005


def test_a_convolutional_network_loses_less_than_half_a_point(digits: Digits, run: Run) -> None:
    layers = (
        nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip
    model = digits.trained(nn.Sequential(*layers), (1, 8, 8), 8)
    assert digits.lost(model, run, (1, 8, 8)) <= 0.005


class Residual(nn.Module):
    """Depthwise and pointwise convolutions, a gate, a sum of two branches, a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = x + F.silu(self.pointwise(self.depthwise(x)))
        return self.last(F.relu6(x).mean((2, 3)))


def test_a_residual_network_is_close_to_floats(sqnr: Sqnr) -> None:
    torch.manual_seed(2)
    graph = graph_of_module(Residual().eval(), torch.randn(2, 3, 9, 9))
    x = torch.randn(90, 3, 9, 9).numpy()
    assert sqnr(quantise(graph, x[:60]), graph, x[60:]) > 22


class Transformer(nn.Module):
    """Two encoder layers over tokens, the mean of their vectors brought to length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.places = nn.Parameter(torch.randn(12, 32) * 0.3)
        layer = nn.TransformerEncoderLayer(
            32, 4, 64, activation="gelu", batch_first=True, norm_first=False
        )
        self.layers = nn.TransformerEncoder(layer, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.layers(self.words(ids) + self.places).mean(1)
        return x / x.square().sum(-1, keepdim=True).sqrt()


@pytest.fixture(scope="module")
def transformer() -> Graph:
    torch.manual_seed(3)
    return graph_of_module(Transformer().eval(), torch.randint(0, 50, (4, 12)))


def test_a_transformer_is_close_to_floats(transformer: Graph, sqnr: Sqnr) -> None:
    ids = np.random.default_rng(0).integers(0, 50, (90, 12))
    shares: list[float] = []

    def progress(share: float, step: str) -> None:
        shares.append(share)

    model = quantise(transformer, ids[:60], progress=progress)
    assert sqnr(model, transformer, ids[60:]) > 20
    assert model.report.metric == "mean cosine" and model.report.score > 0.99
    assert shares == sorted(shares) and shares[-1] == 1.0
    table = model.report.table()
    assert "layer_norm" in table and "metered bytes" in table
    assert len(model.report.as_json()["nodes"]) == len(model.report.nodes)


def test_two_operands_per_number_keep_to_their_budget(transformer: Graph, sqnr: Sqnr) -> None:
    ids = np.random.default_rng(1).integers(0, 50, (24, 12))
    none = quantise(transformer, ids, extra=0.0)
    some = quantise(transformer, ids, extra=0.25, floor=60.0)
    every = quantise(transformer, ids, extra=3.0, floor=99.0)
    macs = [model.report.macs for model in (none, some, every)]
    limbs = [sum(n.limbs > 1 for n in m.report.nodes) for m in (none, some, every)]
    assert macs[0] < macs[1] <= macs[0] * 1.26 < macs[2]
    assert limbs[0] < limbs[1] < limbs[2]
    assert sqnr(every, transformer, ids) > sqnr(none, transformer, ids)


def test_two_operands_per_number_carry_long_tails(sqnr: Sqnr) -> None:
    rng = np.random.default_rng(2)
    w = rng.normal(size=(16, 32)).astype(np.float32)
    graph = line(Node("linear", ("x", "w"), "y"), shape=(32,), w=w)
    x = np.clip(rng.standard_t(2, size=(300, 32)), -60, 60)
    one, two = quantise(graph, x, extra=0.0), quantise(graph, x, extra=1.0, floor=60.0)
    assert two.report.macs == 2 * one.report.macs
    assert sqnr(two, graph, x) > sqnr(one, graph, x) + 6


def line(*nodes: Node, shape: tuple[int, ...] = (6,), **constants: NDArray[Any]) -> Graph:
    return Graph((GraphInput("x", shape),), constants, nodes, nodes[-1].output)


def test_classes_come_from_one_product_and_argmax(run: Run) -> None:
    w = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    graph = line(Node("linear", ("x", "w"), "l"), Node("argmax", ("l",), "y"), w=w)
    model = quantise(graph, np.random.default_rng(1).normal(size=(50, 6)))
    kinds = {type(op) for op in model.program.ops}
    assert {Matmul, Argmax} <= kinds
    assert run(model, np.zeros((3, 6))).shape == (3,)
    assert check_program(model.program).max_items > 1000


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (
            line(Node("div", ("c", "x"), "y", {}, "ratio"), c=np.ones(6, np.float32)),
            "div ratio: .*reciprocal",
        ),
        (
            line(
                Node("slice", ("x",), "a", {"axis": 0, "start": 0, "stop": 3, "step": 1}),
                Node("slice", ("x",), "b", {"axis": 0, "start": 3, "stop": 6, "step": 1}),
                Node("div", ("a", "b"), "y", {}, "ratio"),
            ),
            "div ratio: .*absolute value",
        ),
        (
            line(Node("unary", ("x",), "y", {"function": "sqrt"}, "root")),
            "unary root: sqrt is not finite",
        ),
    ],
)
def test_names_the_node_that_does_not_fit(graph: Graph, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        quantise(graph, np.random.default_rng(0).normal(size=(20, 6)))


def test_names_the_node_the_machine_refuses() -> None:
    w = np.ones((1, 6), np.float32)
    shape = (1, 1, 1, 1, 6)
    graph = line(Node("linear", ("x", "w"), "y", {}, "deep"), shape=shape, w=w)
    with pytest.raises(UserError):
        quantise(graph, np.ones((20, *shape)))


def test_asks_for_data_by_name() -> None:
    graph = Graph(
        (GraphInput("a", (2,)), GraphInput("b", (2,))), {}, (Node("add", ("a", "b"), "y"),), "y"
    )
    with pytest.raises(UserError, match="inputs a, b"):
        quantise(graph, np.zeros((3, 2)))
    with pytest.raises(UserError, match="inputs are a, b"):
        quantise(graph, {"a": np.zeros((3, 2))})


@pytest.mark.parametrize("data", [np.zeros((3, 5)), np.zeros((0, 6)), np.full((2, 6), np.inf)])
def test_refuses_calibration_data_that_do_not_fit(data: NDArray[Any]) -> None:
    graph = line(Node("relu", ("x",), "y"))
    with pytest.raises(UserError, match="calibration data for x"):
        quantise(graph, data)
