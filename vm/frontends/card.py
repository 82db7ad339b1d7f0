"""A quantised model's card: the JSON document registered beside it, for people and their programs.

The chain keeps the text and reads nothing in it. `encoding` holds the codec in the form of
`Codec.as_json`, which is all that a client needs to pass in floats and to get floats back. What is
read from a card is a stranger's: it is bounded and held to the model's own types.
"""

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final, cast

import msgspec
import numpy as np

from ...core.errors import UserError
from ...core.transaction import MAX_CARD_CHARS
from ..types import Declaration, TensorType
from .quantise import Codec, NodeReport, Quantised, Report, read_codec
from .quantise.codec import Decoder, InputPart

MAX_CLASSES: Final = 4096
_DIGITS: Final = 9
"""Significant decimal digits of scales: float32 has fewer."""
_WORST: Final = 8
"""Nodes named in the summary of the report."""
_MAX_SOURCE_CHARS: Final = 80
_MAGNITUDES: Final = (1e-30, 1e30)
"""Of scales, and the upper one of offsets: results must stay finite."""


def card_of(
    quantised: Quantised,
    *,
    description: str = "",
    source: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
) -> str:
    """Return the card of a model: encoding, classes, accuracy and what cost most of it.

    `source` tells where the model comes from: a file's name and hash. `classes` are the names of
    the output's last dimension, or of the indices that it holds. Raises UserError where they do not
    fit the output, or the card is longer than the chain takes.
    """
    _check_classes(quantised.codec.decoder, classes)
    card: dict[str, Any] = {"encoding": _rounded(msgspec.to_builtins(quantised.codec))}
    if description:
        card["description"] = description
    if classes:
        card["classes"] = list(classes)
    if source:
        card["source"] = dict(source)
    card["metrics"] = summary_of(quantised.report)
    text = json.dumps(card, ensure_ascii=False, separators=(",", ":"))
    if len(text) > MAX_CARD_CHARS:
        sizes = {name: len(json.dumps(value, ensure_ascii=False)) for name, value in card.items()}
        longest = max(sizes, key=lambda name: sizes[name])
        raise UserError(
            f"the card has {len(text)} characters, {sizes[longest]} of them in '{longest}', and "
            f"may have {MAX_CARD_CHARS}: shorten texts and classes, or end a model of many outputs "
            "in softmax or argmax, which need no scales of their own"
        )
    return text


def summary_of(report: Report) -> dict[str, Any]:
    """Return a report's figures without the list of all nodes, as they are put on a card."""
    worst = sorted(report.nodes, key=lambda node: node.sqnr)[:_WORST]
    return {
        report.metric: round(report.score, 6),
        "macs_per_item": report.macs,
        "lowest_sqnr": [_brief(node) for node in worst],
    }


def codec_of(card: str, source: Declaration, result: TensorType) -> Codec:
    """Return the codec on the card of a model with this input and output.

    Raises UserError, saying why, where there is none or it does not fit the model.
    """
    if not card:
        raise UserError("it has no card")
    try:
        read = json.loads(card)
    except (ValueError, RecursionError):
        raise UserError("its card is no JSON") from None
    written = cast(dict[str, Any], read).get("encoding") if isinstance(read, dict) else None
    if written is None:
        raise UserError("its card tells no encoding")
    try:
        codec = read_codec(msgspec.json.encode(written))
    except (UserError, ValueError, OverflowError, RecursionError):
        raise UserError("the encoding on its card cannot be read") from None
    if not (_fits_input(codec, source) and _fits_output(codec.decoder, result)):
        raise UserError("the encoding on its card belongs to another model")
    return codec


def _brief(node: NodeReport) -> dict[str, Any]:
    return {
        "op": node.op,
        "node": node.source[:_MAX_SOURCE_CHARS],
        "sqnr_db": round(node.sqnr, 1),
    }


def _check_classes(decoder: Decoder, classes: Sequence[str]) -> None:
    if len(classes) > MAX_CLASSES:
        raise UserError(f"{len(classes)} classes are more than {MAX_CLASSES}")
    outputs = decoder.shape[-1] if decoder.shape else 1
    if classes and decoder.kind == "float" and len(classes) != outputs:
        raise UserError(
            f"there are {len(classes)} names of classes, but the model has {outputs} outputs: "
            "name each, in their order"
        )


def _rounded(value: Any) -> Any:
    """Return plain data whose floats have no more digits than they are worth."""
    match value:
        case float():
            return float(f"{value:.{_DIGITS}g}")
        case dict():
            return {name: _rounded(entry) for name, entry in cast(dict[str, Any], value).items()}
        case list() | tuple():
            return [_rounded(entry) for entry in cast(Sequence[Any], value)]
        case _:
            return value


def _fits_input(codec: Codec, source: Declaration) -> bool:
    parts = codec.encoder.inputs
    length = sum(prod(part.shape) for part in parts)
    shape = _machine_shape(parts[0]) if len(parts) == 1 else (length,)
    return (
        codec.encoder.dtype == source.type.dtype.name.lower()
        and shape == source.type.shape
        and all(source.interval.lo <= part.lo and part.hi <= source.interval.hi for part in parts)
        and all(_is_moderate(part) for part in parts)
    )


def _fits_output(decoder: Decoder, result: TensorType) -> bool:
    return (
        decoder.dtype == result.dtype.name.lower()
        and _machine_shape(decoder) == result.shape
        and _is_moderate(decoder)
    )


def _machine_shape(part: InputPart | Decoder) -> tuple[int, ...]:
    return tuple(part.shape[axis] for axis in part.order)


def _is_moderate(part: InputPart | Decoder) -> bool:
    least, most = _MAGNITUDES
    scale, offset = np.abs(part.scale), np.abs(part.offset)
    return bool(scale.min() >= least and scale.max() <= most and offset.max() <= most)
