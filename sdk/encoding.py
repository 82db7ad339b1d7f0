"""What a model's integers stand for, from its card; and from arrays to input blobs and back.

The card is a stranger's text. By convention `card["encoding"]` is the codec that the quantiser
writes, with `encoder` and `decoder` (vm/frontends/quantise/codec.py), or has `input` and `output`,
each with a `kind`:

    affine     real = scale·q + shift; numbers, or lists with one number for each channel of the
               last dimension
    indices    the integers are what they say: classes, tokens
    raw        nothing is known; integers only

(Affine after Jacob et al., arXiv 1712.05877.) What cannot be read is as good as absent: integers
still pass, floats are refused with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import UserError
from ..vm.types import Declaration, TensorType

if TYPE_CHECKING:
    from ..vm.frontends.quantise.codec import Codec

Input: TypeAlias = ArrayLike | Mapping[str, ArrayLike]
"""One array, or for a model of several inputs one for each by its name."""

_MAX_MAGNITUDE: Final = 1e30
"""Scales and shifts beyond this are a mistake or an attempt at one: results must stay finite."""
_MIN_SCALE: Final = 1e-30

_UNUSABLE: Final = (
    UserError,
    msgspec.DecodeError,
    ValueError,
    LookupError,
    OverflowError,
    RecursionError,
)
"""What reading a stranger's card may raise."""

_Numbers: TypeAlias = float | tuple[float, ...]


class Affine(msgspec.Struct, frozen=True, tag_field="kind", tag="affine"):
    """real = scale·q + shift, along the last dimension where they are lists."""

    scale: _Numbers
    shift: _Numbers = 0.0

    def encode(self, x: NDArray[np.float64], low: int, high: int) -> NDArray[np.int64]:
        """Return the nearest integers within [low, high]; what lies outside is clamped."""
        quantised = np.rint((x - np.asarray(self.shift)) / np.asarray(self.scale))
        return np.clip(quantised, low, high).astype(np.int64)

    def decode(self, q: NDArray[Any]) -> NDArray[np.float64]:
        """Return what integers stand for."""
        return q * np.asarray(self.scale, np.float64) + np.asarray(self.shift, np.float64)


class Indices(msgspec.Struct, frozen=True, tag_field="kind", tag="indices"):
    """Integers that are what they say."""


class Raw(msgspec.Struct, frozen=True, tag_field="kind", tag="raw"):
    """Integers of unknown meaning."""


Encoding: TypeAlias = Affine | Indices | Raw

_RAW: Final = Raw()


@dataclass(frozen=True, slots=True)
class Encodings:
    """Of a model's input and output."""

    input: Encoding = _RAW
    output: Encoding = _RAW
    codec: "Codec | None" = None
    """The quantiser's, where the card has it; in place of the others."""
    problem: str = ""
    """Why floats are refused, where the card tells nothing."""


class _Both(msgspec.Struct, frozen=True):
    input: Encoding = Raw()
    output: Encoding = Raw()


class _Card(msgspec.Struct, frozen=True):
    encoding: msgspec.Raw = msgspec.Raw()


class _Probe(msgspec.Struct, frozen=True):
    encoder: msgspec.Raw = msgspec.Raw()


def read_card(card: str, source: TensorType, result: TensorType) -> Encodings:
    """Return the encodings that a card of a model with these types tells."""
    if not card:
        return Encodings(problem="it has no card")
    try:
        encoding = bytes(msgspec.json.decode(card, type=_Card).encoding)
        if encoding in (b"", b"null"):
            return Encodings(problem="its card tells no encoding")
        if bytes(msgspec.json.decode(encoding, type=_Probe).encoder):
            return Encodings(codec=_read_codec(encoding, source, result))
        both = msgspec.json.decode(encoding, type=_Both)
        _check(both.input, source)
        _check(both.output, result)
    except _UNUSABLE as error:
        return Encodings(problem=f"its card cannot be used ({_one_line(error)})")
    return Encodings(both.input, both.output)


def encode_items(x: Input, item: Declaration, encodings: Encodings) -> tuple[NDArray[Any], bool]:
    """Return an input as integers (items, *shape) of the model's type; and whether it was one item.

    `x` is one item or (items, *shape), or a mapping of such by input names. Integers are taken as
    they are, floats through the model's encoding. Raises UserError naming what does not fit.
    """
    if isinstance(x, Mapping):
        integers, single = _by_name(x, encodings)
    else:
        integers, single = _by_itself(_as_array(x), item, encodings)
    low, high = int(integers.min()), int(integers.max())
    if low < item.interval.lo or high > item.interval.hi:
        raise UserError(
            f"the input's integers span {low} to {high}, the model takes {item.interval.lo} to "
            f"{item.interval.hi}: integers pass unchanged; give floats to have them encoded"
        )
    return integers.astype(item.type.dtype.storage), single


def decode_items(raw: NDArray[Any], encodings: Encodings) -> NDArray[Any]:
    """Return an output (items, *shape) as what it stands for: floats, or integers."""
    if encodings.codec is not None:
        return encodings.codec.decoder.floats(raw)
    encoding = encodings.output
    return encoding.decode(raw) if isinstance(encoding, Affine) else raw


def _by_itself(
    array: NDArray[Any], item: Declaration, encodings: Encodings
) -> tuple[NDArray[Any], bool]:
    codec = encodings.codec
    if codec is not None and len(codec.encoder.inputs) == 1:
        part = codec.encoder.inputs[0]
        if array.dtype.kind == "f" or part.kind == "index":
            items, single = _batched(array, part.shape)
            return codec.encoder.integers(items), single
    items, single = _batched(array, item.type.shape)
    return (_quantise(items, item, encodings) if items.dtype.kind == "f" else items), single


def _by_name(x: Mapping[str, ArrayLike], encodings: Encodings) -> tuple[NDArray[Any], bool]:
    codec = encodings.codec
    if codec is None:
        raise UserError("the model's card names no inputs: give one array")
    items: dict[str, NDArray[Any]] = {}
    singles: set[bool] = set()
    for part in codec.encoder.inputs:
        if part.name in x:
            items[part.name], single = _batched(_as_array(x[part.name]), part.shape)
            singles.add(single)
    if set(items) != set(x) or len(singles) > 1:
        names = ", ".join(part.name for part in codec.encoder.inputs)
        raise UserError(f"the model's inputs are {names}: give one item of each, or batches of all")
    return codec.encoder.integers(items), singles == {True}


def _batched(array: NDArray[Any], shape: tuple[int, ...]) -> tuple[NDArray[Any], bool]:
    """Return one item or a batch as a batch (items, *shape), and whether it was one."""
    single = array.shape == shape
    if single:
        array = array[np.newaxis]
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        raise UserError(
            f"the input has shape {list(array.shape)}, the model takes items of {list(shape)}: "
            "give one, or a batch with the items first"
        )
    if not len(array):
        raise UserError("the input has no items")
    return array, single


def _as_array(x: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the input is no array: {_one_line(error)}") from None
    if array.dtype.kind not in "iuf":
        raise UserError(f"the input's elements are {array.dtype}: give integers or floats")
    return array


def _quantise(array: NDArray[Any], item: Declaration, encodings: Encodings) -> NDArray[np.int64]:
    encoding = encodings.input
    if not isinstance(encoding, Affine):
        why = encodings.problem or "its card tells none for floats"
        raise UserError(
            f"the model's encoding of floats is not known: {why}; give {item.type} integers in "
            f"[{item.interval.lo}, {item.interval.hi}]"
        )
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError("the input holds numbers that are not finite")
    return encoding.encode(values, item.interval.lo, item.interval.hi)


def _read_codec(data: bytes, source: TensorType, result: TensorType) -> "Codec":
    """Read a quantiser's codec and hold it to the model's types. Raises UserError, ValueError."""
    from ..vm.frontends.quantise import codec as format  # noqa: PLC0415 - half a second, seldom due

    codec = format.read_codec(data)
    parts = codec.encoder.inputs
    shapes = [tuple(part.shape[axis] for axis in part.order) for part in parts]
    length = sum(prod(shape) for shape in shapes)
    if (shapes[0] if len(shapes) == 1 else (length,)) != source.shape:
        raise ValueError("its inputs do not have the model's shape")
    decoder = codec.decoder
    if tuple(decoder.shape[axis] for axis in decoder.order) != result.shape:
        raise ValueError("its output does not have the model's shape")
    if (codec.encoder.dtype, decoder.dtype) != (
        source.dtype.name.lower(),
        result.dtype.name.lower(),
    ):
        raise ValueError("its types are not the model's")
    for part in (*parts, decoder):
        if max(map(abs, part.scale + part.offset)) > _MAX_MAGNITUDE:
            raise ValueError("its scales are out of bounds")
    return codec


def _check(encoding: Encoding, kind: TensorType) -> None:
    """Raise ValueError for numbers that no quantiser writes."""
    if not isinstance(encoding, Affine):
        return
    channels = kind.shape[-1] if kind.shape else 1
    for name, numbers in (("scale", encoding.scale), ("shift", encoding.shift)):
        if isinstance(numbers, tuple) and len(numbers) != channels:
            raise ValueError(f"{len(numbers)} numbers as {name} of {channels} channels")
        each = numbers if isinstance(numbers, tuple) else (numbers,)
        if not all(isfinite(number) and abs(number) <= _MAX_MAGNITUDE for number in each):
            raise ValueError(f"a {name} out of bounds")
        if name == "scale" and min(map(abs, each)) < _MIN_SCALE:
            raise ValueError("a scale of zero")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
