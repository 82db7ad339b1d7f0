"""Weights lose half a step at most, and outlier channels are shared with their input."""

import numpy as np
import pytest
from pouw.vm.frontends.quantise.encodings import best_encoding
from pouw.vm.frontends.quantise.weights import (
    balanced,
    choose_encoding,
    decibels,
    product_sqnr,
    quantise_weights,
)


def test_each_row_has_its_own_scale() -> None:
    w = np.random.default_rng(0).normal(size=(8, 100)) * np.logspace(-3, 3, 8)[:, None]
    found = quantise_weights(w)
    error = found.integers * found.scale[:, None] - w
    assert (np.sqrt(np.square(error).mean(axis=1)) < 0.03 * w.std(axis=1)).all()
    assert np.abs(found.integers).max() <= 63


def test_rows_of_zeros_stay_zero() -> None:
    found = quantise_weights(np.zeros((2, 3)))
    assert not found.integers.any() and (found.scale > 0).all()


@pytest.mark.parametrize("shared", [False, True])
def test_an_outlier_channel_costs_the_others_little(shared: bool) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(400, 64)), rng.normal(size=(32, 64))
    x[:, 3] *= 100
    w[:, 3] /= 100
    x[:, 5] += 0 if shared else 300
    choice = choose_encoding(x, w, shared=shared)
    plain = best_encoding(x)
    naive = product_sqnr(x, plain.rounded(x), w, np.full(1, plain.scale), np.full(1, plain.offset))
    assert choice.sqnr > naive + 10
    if shared:
        zeros = -choice.offset / choice.scale
        assert np.ptp(zeros) < 1e-6 and zeros[0] == pytest.approx(np.rint(zeros[0]))


@pytest.mark.parametrize("place", [0, 1, 13])
def test_outliers_at_a_fixed_place_of_every_item_are_seen(place: int) -> None:
    """The first token of a sentence is unlike all others, and rows repeat with the sentences."""
    rng = np.random.default_rng(3)
    items = rng.normal(size=(160, 32, 48))
    items[:, place] = items[:, place] * 3 + 12
    x, w = items.reshape(-1, 48), rng.normal(size=(24, 48))
    choice = choose_encoding(x, w, shared=False)
    q = np.clip(np.rint((x - choice.offset) / choice.scale), -64, 63)
    wanted = x @ w.T
    error = (q * choice.scale + choice.offset) @ w.T - wanted
    spread = wanted - wanted.mean(axis=0)
    assert decibels(spread, error) > 27
    assert decibels(spread, error) > choice.sqnr - 1


def test_balanced_outputs_are_alike() -> None:
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(300, 20)), rng.normal(size=(10, 20)) * np.logspace(0, 1, 10)[:, None]
    sizes = (x @ balanced(x, w).T).std(axis=0)
    assert sizes.max() / sizes.min() < 3


def test_decibels_have_ends() -> None:
    ones, none = np.ones(3), np.zeros(3)
    assert decibels(ones, none) == 99 and decibels(none, ones) == -99
    assert decibels(ones, ones / 10) == pytest.approx(20)
