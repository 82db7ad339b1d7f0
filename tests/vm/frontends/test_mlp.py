"""Quantised perceptrons: accuracy kept on a trained model, and models that need care."""

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.core.errors import UserError
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.mlp import Encoder, QuantisedMlp, quantise_mlp
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.operands import is_mineable
from pouw.vm.products import plain_products
from pouw.vm.weights import check_weights
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

Layers = list[tuple[NDArray[Any], NDArray[Any]]]


def classify(model: QuantisedMlp, x: NDArray[Any]) -> NDArray[Any]:
    checked = check_program(model.program)
    check_weights(checked, model.weights)
    blob = model.encoder.encode(x)
    return execute(checked, model.weights, blob, plain_products(ReferenceMultiplier())).output


def float_classes(layers: Layers, x: NDArray[Any]) -> NDArray[Any]:
    for weights, bias in layers[:-1]:
        x = np.maximum(x @ weights.T + bias, 0)
    return np.argmax(x @ layers[-1][0].T + layers[-1][1], axis=1)


def random_layers(rng: np.random.Generator, *widths: int) -> Layers:
    return [
        (rng.normal(size=(o, i)) / np.sqrt(i), rng.normal(size=o) * 0.1)
        for i, o in pairwise(widths)
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_lose_less_than_half_a_point(seed: int) -> None:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[: len(y) // 2], order[len(y) // 2 :]
    trained = MLPClassifier((768, 768), max_iter=15, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        trained.fit(x[train], y[train])
    layers = [(w.T, b) for w, b in zip(trained.coefs_, trained.intercepts_, strict=True)]
    model = quantise_mlp(layers, x[train])
    quantised = np.mean(classify(model, x[test]) == y[test])
    assert quantised > np.mean(trained.predict(x[test]) == y[test]) - 0.005
    # The two wide products are worth mining; the first, with k = 64, is not.
    assert [is_mineable(p) for p in check_program(model.program).products(16)] == [
        False,
        True,
        True,
    ]


def test_random_networks_agree_with_floats() -> None:
    rng = np.random.default_rng(3)
    layers = random_layers(rng, 20, 64, 48, 5)
    x = rng.normal(size=(500, 20))
    agreement = np.mean(classify(quantise_mlp(layers, x), x) == float_classes(layers, x))
    assert agreement > 0.95


def test_inputs_far_from_zero_are_shifted() -> None:
    rng = np.random.default_rng(4)
    layers = random_layers(rng, 20, 64, 5)
    x = rng.normal(size=(500, 20))
    moved = [(layers[0][0], layers[0][1] - layers[0][0] @ np.full(20, 1000.0)), layers[1]]
    agreement = np.mean(
        classify(quantise_mlp(moved, x + 1000.0), x + 1000.0) == float_classes(layers, x)
    )
    assert agreement > 0.9


def test_one_layer_is_a_linear_classifier() -> None:
    layers = [(np.eye(4), np.zeros(4))]
    x = np.eye(4) * 3
    assert classify(quantise_mlp(layers, x), x).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("width", [1, 3])
def test_dead_and_vanishing_channels_do_no_harm(width: int) -> None:
    rng = np.random.default_rng(5)
    layers = random_layers(rng, 6, width + 2, 3)
    layers[0][0][0] = 0
    layers[0][1][0] = -1
    layers[0][0][1] *= 1e-12
    x = rng.normal(size=(300, 6))
    assert np.mean(classify(quantise_mlp(layers, x), x) == float_classes(layers, x)) > 0.9


def test_logits_compare_even_where_a_bias_dwarfs_its_weights() -> None:
    # Each bias alone would force its own channel to a coarser scale.
    layers = [(np.ones((2, 1)), np.array([0.9e6, 1e6]))]
    x = np.array([[0.0], [1.0]])
    assert classify(quantise_mlp(layers, x), x).tolist() == [1, 1]


def test_all_zero_model_still_is_a_program() -> None:
    layers = [(np.zeros((3, 2)), np.zeros(3)), (np.zeros((2, 3)), np.zeros(2))]
    x = np.zeros((4, 2))
    assert classify(quantise_mlp(layers, x), x).tolist() == [0, 0, 0, 0]


def test_encoder_covers_its_range_and_clamps() -> None:
    encoder = Encoder.spanning(-1.0, 1.0)
    values = np.frombuffer(encoder.encode([[-1.0, 1.0, -9.0, 9.0, 0.0]]), np.int8).tolist()
    assert values[:4] == [-64, 63, -64, 63] and values[4] in (-1, 0)


@pytest.mark.parametrize(
    ("layers", "x", "message"),
    [
        ([], np.zeros((1, 2)), "at least one layer"),
        ([(np.zeros((3, 2)), np.zeros(3))], np.zeros((1, 3)), "layer 0 takes 3"),
        ([(np.zeros((3, 2)), np.zeros(2))], np.zeros((1, 2)), "layer 0 takes 2"),
        ([(np.zeros(3), np.zeros(3))], np.zeros((1, 3)), "weights of layer 0"),
        ([(np.full((1, 1), np.nan), np.zeros(1))], np.zeros((1, 1)), "not finite"),
        ([(np.zeros((1, 1)), np.zeros(1))], np.full((1, 1), np.inf), "not finite"),
        ([(np.zeros((1, 1)), np.zeros(1))], np.zeros((0, 1)), "not be empty"),
    ],
)
def test_refuses_models_that_make_no_sense(layers: Layers, x: NDArray[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        quantise_mlp(layers, x)


def test_refuses_a_model_wider_than_the_accumulators() -> None:
    rng = np.random.default_rng(6)
    k = 600_000
    with pytest.raises(UserError, match="does not fit"):
        quantise_mlp([(rng.normal(size=(1, k)), np.zeros(1))], rng.normal(size=(1, k)))
