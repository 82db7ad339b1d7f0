"""The numpy evaluation of every op agrees with PyTorch over random shapes."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.vm.frontends import floats
from pouw.vm.frontends.graph import Graph, GraphInput, Node
from pouw.vm.frontends.graph_ops import OPS, UNARY
from torch.nn import functional as F

Array: TypeAlias = np.ndarray[Any, Any]

ITEMS = 3
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 6)


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def run(op: str, computed: list[Array], constants: list[Array], **attributes: Any) -> Array:
    """Evaluate one node on computed operands (items, …) followed by constants."""
    inputs = tuple(GraphInput(f"x{i}", a.shape[1:]) for i, a in enumerate(computed))
    stored = {f"c{i}": a for i, a in enumerate(constants)}
    names = (*(entry.name for entry in inputs), *stored)
    graph = Graph(inputs, stored, (Node(op, names, "y", attributes),), "y")
    result = floats.output(graph, {f"x{i}": a for i, a in enumerate(computed)})
    assert result.shape == (len(computed[0]), *graph.shapes["y"])
    return result


def agree(found: Array, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=2e-5)


def t(array: Array) -> torch.Tensor:
    return torch.from_numpy(array)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.lists(SIZES, max_size=2), SIZES, SIZES, st.booleans())
def test_linear(seed: int, lead: list[int], n: int, k: int, biased: bool) -> None:
    x, w, b = normal(seed, ITEMS, *lead, k), normal(seed, n, k), normal(seed, n)
    bias = [b] if biased else []
    agree(run("linear", [x], [w, *bias]), F.linear(t(x), t(w), t(b) if biased else None))


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.lists(SIZES, max_size=2), SIZES, SIZES, SIZES)
def test_matmul(seed: int, lead: list[int], m: int, k: int, n: int) -> None:
    a, b = normal(seed, ITEMS, *lead, m, k), normal(seed, ITEMS, *lead, k, n)
    agree(run("matmul", [a, b], []), t(a) @ t(b))


WINDOWS = st.tuples(SIZES.filter(lambda k: k < 4), SIZES.filter(lambda s: s < 4), st.integers(0, 1))


@settings(max_examples=25, deadline=None)
@given(
    SEEDS, WINDOWS, WINDOWS, st.integers(1, 2), st.sampled_from([(1, 2, 3), (2, 4, 6), (3, 3, 3)])
)
def test_conv(
    seed: int,
    high: tuple[int, int, int],
    wide: tuple[int, int, int],
    dilation: int,
    channels: tuple[int, int, int],
) -> None:
    (kh, sh, ph), (kw, sw, pw) = high, wide
    ph, pw = min(ph, kh - 1), min(pw, kw - 1)
    groups, c, n = channels
    c = c if c % groups == 0 else groups
    x, w = normal(seed, ITEMS, c, 8, 9), normal(seed, n, c // groups, kh, kw)
    b = normal(seed, n)
    found = run(
        "conv",
        [x],
        [w, b],
        stride=(sh, sw),
        padding=(ph, ph, pw, pw),
        dilation=(dilation, dilation),
        groups=groups,
    )
    agree(found, F.conv2d(t(x), t(w), t(b), (sh, sw), (ph, pw), dilation, groups))


def test_conv_pads_each_side_by_its_own() -> None:
    x, w = normal(1, ITEMS, 2, 5, 6), normal(2, 3, 2, 3, 3)
    found = run("conv", [x], [w], stride=(1, 2), padding=(2, 0, 1, 2), dilation=(1, 1), groups=1)
    agree(found, F.conv2d(F.pad(t(x), (1, 2, 2, 0)), t(w), None, (1, 2)))


@settings(max_examples=15, deadline=None)
@given(SEEDS, WINDOWS, WINDOWS, st.booleans())
def test_pools(
    seed: int, high: tuple[int, int, int], wide: tuple[int, int, int], count: bool
) -> None:
    (kh, sh, ph), (kw, sw, pw) = high, wide
    ph, pw = min(ph, kh // 2), min(pw, kw // 2)
    x = normal(seed, ITEMS, 2, 7, 6)
    window = {"kernel": (kh, kw), "stride": (sh, sw), "padding": (ph, ph, pw, pw)}
    agree(run("max_pool", [x], [], **window), F.max_pool2d(t(x), (kh, kw), (sh, sw), (ph, pw)))
    expected = F.avg_pool2d(t(x), (kh, kw), (sh, sw), (ph, pw), count_include_pad=count)
    agree(run("avg_pool", [x], [], **window, count_padding=count), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_affine(axis: int) -> None:
    x, scale, shift = normal(3, ITEMS, 4, 4, 4), normal(4, 4), normal(5, 4)
    form = [-1 if i == axis else 1 for i in range(3)]
    expected = t(x) * t(scale).reshape(form) + t(shift).reshape(form)
    agree(run("affine", [x], [scale, shift], axis=axis), expected)


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_elementwise(op: str) -> None:
    torch_op: Callable[..., torch.Tensor] = getattr(torch, op)
    x, y, c = normal(6, ITEMS, 4, 1, 3), normal(7, ITEMS, 1, 5, 3), normal(8, 5, 1)
    agree(run(op, [x, y], []), torch_op(t(x), t(y)))
    agree(run(op, [x], [c]), torch_op(t(x), t(c)))


FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "erf": torch.erf,
    "exp": torch.exp,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "square": torch.square,
    "reciprocal": torch.reciprocal,
    "softplus": F.softplus,
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "elu": F.elu,
    "mish": F.mish,
}


@pytest.mark.parametrize("function", UNARY)
def test_unary(function: str) -> None:
    x = np.linspace(-9, 9, ITEMS * 500, dtype=np.float32).reshape(ITEMS, 500)
    x = np.abs(x) if function == "sqrt" else x
    agree(run("unary", [x], [], function=function), FUNCTIONS[function](t(x)))


def test_relu_clamp_softmax_and_layer_norm() -> None:
    x, gamma, beta = 5 * normal(9, ITEMS, 4, 7), normal(10, 7), normal(11, 7)
    agree(run("relu", [x], []), torch.relu(t(x)))
    agree(run("clamp", [x], [], low=-1.5, high=2.0), torch.clamp(t(x), -1.5, 2.0))
    agree(run("softmax", [x - 1e4], []), torch.softmax(t(x - np.float32(1e4)), -1))
    expected = F.layer_norm(t(x), (7,), t(gamma), t(beta), 1e-3)
    agree(run("layer_norm", [x], [gamma, beta], eps=1e-3), expected)


def test_reductions_and_moves() -> None:
    x, y, c = normal(12, ITEMS, 2, 3, 4), normal(13, ITEMS, 2, 1, 4), normal(14, 2, 5, 4)
    agree(run("mean", [x], [], axes=(0, 2)), t(x).mean((1, 3), keepdim=True))
    agree(run("sum", [x], [], axes=(1,)), t(x).sum(2, keepdim=True))
    agree(run("reshape", [x], [], shape=(6, 4)), t(x).reshape(ITEMS, 6, 4))
    agree(run("transpose", [x], [], perm=(2, 0, 1)), t(x).permute(0, 3, 1, 2))
    agree(run("expand", [y], [], shape=(2, 3, 4)), t(y).expand(ITEMS, 2, 3, 4))
    joined = torch.cat([t(x), t(y), t(c).expand(ITEMS, 2, 5, 4)], 2)
    agree(run("concat", [x, y], [c], axis=1), joined)
    agree(run("slice", [x], [], axis=2, start=1, stop=4, step=2), t(x)[..., 1:4:2])


def test_choices() -> None:
    x = np.random.default_rng(0).integers(-3, 3, (ITEMS, 4, 9)).astype(np.float32)
    first = torch.stack([(row == row.max()).nonzero()[0, 0] for row in t(x).reshape(-1, 9)])
    agree(run("argmax", [x], []), first.reshape(ITEMS, 4))
    agree(run("topk", [x], [], k=9), torch.sort(t(x), stable=True, dim=-1, descending=True)[1])


def test_embedding_and_cast() -> None:
    table, ids = normal(15, 9, 5), np.array([[8, 0, 3], [1, 1, 2]], np.int32)
    inputs = (GraphInput("ids", (3,), "index", 8),)
    nodes = (
        Node("embedding", ("table", "ids"), "rows"),
        Node("cast", ("ids",), "numbers"),
        Node("mul", ("numbers", "numbers"), "squares"),
    )
    values = floats.evaluate(Graph(inputs, {"table": table}, nodes, "squares"), {"ids": ids})
    agree(values["rows"], F.embedding(t(ids), t(table)))
    agree(values["squares"], t(ids).float() ** 2)
    short = Graph(inputs, {"table": table[:4]}, nodes, "rows")
    with pytest.raises(UserError, match="the table has 4 rows"):
        floats.output(short, {"ids": ids})


def test_every_op_has_an_evaluation() -> None:
    assert set(floats.EVALUATE) == set(OPS)
    assert set(floats.UNARY_FUNCTIONS) == set(UNARY)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.zeros((2, 3))}, "inputs are x, ids"),
        ({"x": np.zeros((2, 4)), "ids": np.zeros((2, 1), int)}, "give"),
        ({"x": np.zeros((0, 3)), "ids": np.zeros((0, 1), int)}, "give"),
        ({"x": np.full((2, 3), np.nan), "ids": np.zeros((2, 1), int)}, "finite"),
        ({"x": np.zeros((2, 3)), "ids": np.full((2, 1), 6)}, "0 to 5"),
        ({"x": np.zeros((2, 3)), "ids": np.full((2, 1), 0.5)}, "0 to 5"),
        ({"x": np.zeros((2, 3)), "ids": np.zeros((1, 1), int)}, "different numbers"),
    ],
)
def test_refuses_inputs_that_do_not_fit(inputs: dict[str, Any], message: str) -> None:
    entries = (GraphInput("x", (3,)), GraphInput("ids", (1,), "index", 5))
    graph = Graph(entries, {}, (Node("relu", ("x",), "y"),), "y")
    with pytest.raises(UserError, match=message):
        floats.output(graph, inputs)
