"""From a model's own numbers to a job's input and back, as far as the model's card tells how."""

import json
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..vm.frontends.card import codec_of
from ..vm.frontends.quantise import Codec
from .modelanswers import ModelAnswer
from .tensorfile import InputRule

_MAX_NAMED: Final = 1_000
"""Items whose class is told by name."""


def input_rule(found: ModelAnswer) -> InputRule:
    """Return what an input must satisfy: the machine's integers, or numbers that are encoded."""
    rule = found.input_rule
    try:
        encoder = _codec(found).encoder
    except UserError as error:
        return replace(rule, encode=str(error))
    if len(encoder.inputs) > 1:
        names = ", ".join(part.name for part in encoder.inputs)
        return replace(rule, encode=f"it has the inputs {names}: encode them in Python")
    return replace(rule, encode=encoder.encode)


def output_numbers(found: ModelAnswer, output: bytes) -> NDArray[Any]:
    """Return a result's bytes as the model's own numbers. Raises UserError."""
    try:
        return _codec(found).decoder.decode(output)
    except UserError as error:
        raise UserError(
            f"the result of model {found.id} cannot be written as floats: {error}; leave --floats "
            "away for the integers"
        ) from None


def classes_of(found: ModelAnswer, numbers: NDArray[Any]) -> list[str]:
    """Return the name of each item's class, where the card tells names that fit; else nothing."""
    try:
        names = json.loads(found.card)["classes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    if numbers.dtype.kind == "f" and numbers.ndim == 2 and numbers.shape[1] == len(names):
        indices = numbers.argmax(axis=1)
    elif numbers.dtype.kind == "i" and numbers.size == len(numbers):
        indices = numbers.reshape(-1)
    else:
        return []
    if indices.min() < 0 or indices.max() >= len(names):
        return []
    return [names[index] for index in np.asarray(indices[:_MAX_NAMED]).tolist()]


def _codec(found: ModelAnswer) -> Codec:
    return codec_of(found.card, found.input_rule.item, found.output.type)
