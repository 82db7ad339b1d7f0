"""PyTorch modules become graphs that compute the same; what cannot is named, all at once."""

from collections import Counter
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from pouw.core.errors import UserError
from pouw.vm.frontends import floats
from pouw.vm.frontends.graph import Graph
from pouw.vm.frontends.torch_import import graph_of_module
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[3]
One: TypeAlias = Callable[[Tensor], Any]
Two: TypeAlias = Callable[[Tensor, Tensor], Any]


class Function(nn.Module):
    """A module that is one function."""

    def __init__(self, function: One | Two) -> None:
        super().__init__()
        self.function: Callable[..., Any] = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def imported(module: nn.Module, *examples: Tensor, **options: Any) -> Graph:
    """Import, and compare with the module on the whole example, more tightly than the importer."""
    graph = graph_of_module(module.eval(), examples, **options)
    with torch.no_grad():
        expected = module(*examples).numpy()
    inputs = {e.name: data.numpy() for e, data in zip(graph.inputs, examples, strict=True)}
    np.testing.assert_allclose(floats.output(graph, inputs), expected, rtol=1e-4, atol=1e-5)
    return graph


def of(function: One | Two, *examples: Tensor, **options: Any) -> Graph:
    return imported(Function(function), *examples, **options)


def ops(graph: Graph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def tokens(items: int, length: int, words: int) -> Tensor:
    """Ids and mask, (items, 2, length); item i is padded by i tokens."""
    mask = torch.arange(length)[None] < length - torch.arange(items)[:, None]
    return torch.stack([torch.randint(0, words, (items, length)), mask.long()], 1).int()


def test_perceptron() -> None:
    layers = [nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 3)]
    graph = imported(nn.Sequential(*layers), torch.randn(5, 1, 3, 4))
    assert [node.op for node in graph.nodes] == ["reshape", "linear", "relu", "linear"]
    assert graph.inputs[0].shape == (1, 3, 4)
    assert graph.nodes[1].source == "1 (linear)"


def trained_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    norm(torch.randn(9, channels, 3, 3) * 2 + 1)
    return norm


def test_convolutional_network() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2),
        trained_norm(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False),
        trained_norm(6),
        nn.Hardswish(),
        nn.AvgPool2d(2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    graph = imported(module, torch.randn(2, 1, 12, 12))
    layers = ["conv", "affine", "relu", "max_pool", "conv", "affine", "unary", "avg_pool", "mean"]
    assert [node.op for node in graph.nodes] == [*layers, "reshape", "linear"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_layers_with_padding_mask(norm_first: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(30, 16)
            self.positions = nn.Embedding(5, 16)
            layer = nn.TransformerEncoderLayer(
                16, 2, 20, activation="gelu", batch_first=True, norm_first=norm_first
            )
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            ids, mask = x.unbind(1)
            hidden = self.embed(ids) + self.positions(torch.arange(ids.shape[1]))
            hidden = self.encoder(hidden, src_key_padding_mask=mask == 0)
            return self.head(hidden[:, 0])

    graph = imported(Model(), tokens(4, 5, 30))
    assert graph.inputs[0].maximum == 29
    counts = ops(graph)
    assert (counts["softmax"], counts["embedding"], counts["matmul"]) == (2, 1, 4)


def example_encoder() -> nn.Module:
    """The encoder of examples/minilm, small and untrained."""
    spec = spec_from_file_location("minilm_model", ROOT / "examples" / "minilm" / "model.py")
    assert spec is not None and spec.loader is not None
    example = module_from_spec(spec)
    spec.loader.exec_module(example)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4}
    counts = {"num_hidden_layers": 2, "vocab_size": 30, "max_position_embeddings": 8}
    return example.Encoder({**sizes, **counts, "type_vocab_size": 2, "layer_norm_eps": 1e-12})


def test_sentence_encoder() -> None:
    graph = imported(example_encoder(), tokens(3, 6, 30))
    counts = ops(graph)
    assert counts["embedding"] == 1, "positions and types are constant"
    assert (counts["softmax"], counts["layer_norm"], counts["linear"]) == (2, 5, 12)
    assert counts["transpose"] == 2 * 4, "two in a row are one"


def test_smallest_float_as_mask_becomes_finite() -> None:
    def attend(x: Tensor, mask: Tensor) -> Tensor:
        bias = (1.0 - mask.float())[:, None, :] * torch.finfo(torch.float32).min
        return torch.softmax(x @ x.mT + bias, -1)

    graph = of(attend, torch.randn(3, 4, 5), tokens(3, 4, 9)[:, 1])
    assert -1e4 in [float(array.min()) for array in graph.constants.values()]


def no_token(mask: Tensor) -> Tensor:
    return mask[:, None, None, :] == 0


def causal() -> Tensor:
    return torch.ones(4, 4).tril().bool()


MASKS: list[Two] = [
    lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m[:, None, None, :] != 0),
    lambda q, m: F.scaled_dot_product_attention(q, q, q, is_causal=True),
    lambda q, m: F.scaled_dot_product_attention(q, q, q, scale=0.3),
    lambda q, m: F.softmax((q @ q.mT).masked_fill(no_token(m), float("-inf")), -1),
    lambda q, m: F.softmax(torch.where(m[:, None, None, :].bool(), q @ q.mT, -1e9), -1),
    lambda q, m: F.softmax(q @ q.mT + torch.triu(torch.full((4, 4), -torch.inf), 1), -1),
    lambda q, m: F.softmax((q @ q.mT).masked_fill(~(~no_token(m) & causal()), -1e9), -1),
    lambda q, m: q * m.bool()[torch.arange(len(m))[:, None, None, None], torch.arange(4)],
    lambda q, m: torch.where(no_token(m), q.mT, 0.5),
    lambda q, m: torch.where(no_token(m), 3.0, 0.5) * q.mT,
]
SIGNALS: list[One] = [
    lambda x: (x[:, 0] + x[:, 1, :1]) / (2 + x[:, 2].abs()),
    lambda x: torch.cat([x, x[:, :, :2], torch.ones(1, 4, 1).expand(len(x), 4, 1)], 2),
    lambda x: torch.einsum("bij,bkj->bik", x, x),
    lambda x: 1 - x.transpose(1, 2).reshape(-1, 2, 12).softmax(1),
    lambda x: torch.add(*x.chunk(2, -1)),
    lambda x: torch.stack(x.split([1, 3], 1)[1].unbind(2), 1).squeeze(-1),
    lambda x: F.layer_norm(x, (4, 6)) - x.mean((1, 2), keepdim=True),
    lambda x: F.rms_norm(x, (6,), eps=1e-3),
    lambda x: x.clamp(-1, 0.5) + F.relu6(x) + F.hardtanh(x) - x.clamp_min(0),
    lambda x: x.pow(2) + (x * x + 1).rsqrt() + (-x).exp() + x.sigmoid() * x.tanh(),
    lambda x: F.silu(x) + F.gelu(x, approximate="tanh") + F.softplus(x) + F.elu(x) + F.mish(x),
    lambda x: F.conv1d(x, torch.ones(3, 4, 2), torch.ones(3), stride=2, padding=1),
    lambda x: F.adaptive_avg_pool2d(x.unsqueeze(1), (2, 3)),
    lambda x: torch.addmm(torch.ones(2), x.flatten(1), torch.ones(24, 2)),
    lambda x: torch.ones(3, 4) @ x,
    lambda x: x[:, ::2, -3:-1] * torch.arange(2) + x.sum((1, 2), keepdim=True),
    lambda x: x[:, None].repeat(1, 2, 3, 1),
]


def test_uses_of_masks() -> None:
    """All in one row, so that one trace serves them all."""
    of(
        lambda q, m: torch.cat([use(q, m).flatten(1) for use in MASKS], 1),
        torch.randn(3, 2, 4, 4),
        tokens(3, 4, 9)[:, 1],
    )


def test_uses_of_ops() -> None:
    of(lambda x: torch.cat([use(x).flatten(1) for use in SIGNALS], 1), torch.randn(3, 4, 6))


def test_classes() -> None:
    graph = of(lambda x: x.argmax(-1), torch.randn(3, 4, 6))
    assert (graph.types[graph.output].kind, graph.shapes[graph.output]) == ("index", (4,))


def test_several_inputs_and_largest_index() -> None:
    table = nn.Embedding(7, 3)
    graph = of(lambda x, i: x + table(i), torch.randn(4, 3), torch.tensor([0, 1, 5, 2]))
    assert [(e.kind, e.shape, e.maximum) for e in graph.inputs] == [
        ("float", (3,), 0),
        ("index", (), 6),
    ]
    assert of(lambda i: i.float() * 2, torch.tensor([[3]])).inputs[0].maximum == 3
    assert of(lambda i: i.float() * 2, torch.tensor([[3]]), maximum=9).inputs[0].maximum == 9
    with pytest.raises(UserError, match="the example holds 3, above the largest index 2"):
        of(lambda i: i.float() * 2, torch.tensor([[3]]), maximum=2)


def test_equal_nodes_are_written_once() -> None:
    graph = of(
        lambda x, m: (x * (m != 0).float()) @ (x * (m != 0).float()).mT,
        torch.randn(2, 3, 4),
        tokens(2, 4, 9)[:, 1:],
    )
    assert ops(graph)["clamp"] == 1


class Unsupported(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory = Function(lambda x: torch.cumsum(x, 1))

    def forward(self, x: Tensor) -> Tensor:
        classes = x.argmax(1, keepdim=True) + x.permute(1, 0).argmax(0)
        pooled = F.max_pool2d(x[:, None, None], (1, 2), ceil_mode=True).sum()
        classes = classes + x[:, [2, 0, 1]]
        return self.memory(x) + torch.sin(x) * (x > 0.5) + x.long() + x**3 + classes + pooled


def test_everything_unsupported_is_named_at_once() -> None:
    with pytest.raises(UserError) as error:
        graph_of_module(Unsupported().eval(), torch.randn(2, 3))
    text = str(error.value)
    for complaint in [
        "argmax in argmax_1: argmax over the last dimension only",
        "pool without ceil_mode",
        "choose by slices",
        "cumsum in memory (cumsum): replace it",
        "sin in sin: replace it",
        "compare integers with 0",
        "cannot become integers",
        "powers of 2, 1/2 and −1 only",
    ]:
        assert complaint in text
    assert text.count(";") == 7 + text.count("integers inside a model;"), "nothing that follows"


REFUSED: list[tuple[One, str]] = [
    (lambda x: x - x.mean(0, keepdim=True), "mix items"),
    (lambda x: x.sum(), "no batch dimension"),
    (lambda x: (x, x + 1), "one tensor"),
    (lambda x: torch.ones(1, 3), "one tensor"),
    (lambda x: x * 2 if x.sum() > 0 else x, "cannot trace"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_refuses(function: One, message: str) -> None:
    with pytest.raises(UserError, match=message):
        graph_of_module(Function(function).eval(), torch.randn(2, 3))


def test_refuses_training_mode_and_empty_examples() -> None:
    with pytest.raises(UserError, match="eval"):
        graph_of_module(nn.Linear(3, 2), torch.randn(2, 3))
    with pytest.raises(UserError, match="at least one item"):
        graph_of_module(nn.Linear(3, 2).eval(), torch.randn(0, 3))
    with pytest.raises(UserError, match="integers from 0"):
        graph_of_module(Function(lambda i: i * 2.0).eval(), torch.tensor([[-1]]))
