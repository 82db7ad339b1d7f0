"""The weights blob: order, exact length, declared ranges."""

from typing import Any

import numpy as np
import pytest
from pouw.core.errors import RuleViolation
from pouw.vm.check import check_program
from pouw.vm.weights import check_weights, load_weights


def test_constants_lie_one_after_the_other(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    arrays = load_weights(checked, perceptron.weights)
    assert [a.shape for a in arrays] == [(8, 16), (8,), (8,), (3, 8)]
    assert b"".join(a.tobytes() for a in arrays) == perceptron.weights
    check_weights(checked, perceptron.weights)


@pytest.mark.parametrize("change", [-1, 1, 4, -216])
def test_refuses_another_length(perceptron: Any, change: int) -> None:
    checked = check_program(perceptron.program)
    data = perceptron.weights[: len(perceptron.weights) + min(change, 0)] + bytes(max(change, 0))
    for check in (check_weights, load_weights):
        with pytest.raises(RuleViolation) as caught:
            check(checked, data)
        assert caught.value.rule == "weights-size"


@pytest.mark.parametrize(
    ("constant", "value"),
    [(0, -64), (0, 64), (0, -128), (1, 1001), (1, -1001), (2, 0), (2, 2**30 + 1), (3, 64)],
)
def test_refuses_weights_outside_their_declared_range(
    perceptron: Any, constant: int, value: int
) -> None:
    checked = check_program(perceptron.program)
    arrays = [a.copy() for a in load_weights(checked, perceptron.weights)]
    arrays[constant].flat[-1] = value
    with pytest.raises(RuleViolation) as caught:
        check_weights(checked, b"".join(a.tobytes() for a in arrays))
    assert caught.value.rule == "weights-range"
    assert f"constant {constant}" in caught.value.detail


def test_constants_are_read_only_views(perceptron: Any) -> None:
    arrays = load_weights(check_program(perceptron.program), bytearray(perceptron.weights))
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = np.int8(0)
