"""What users need beside a program: how numbers become its input, and its output numbers.

Kept as JSON next to the program; nothing here is consensus. What is read back is bounded and
checked like anything from outside.
"""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....core.errors import UserError
from ...limits import MAX_DIM
from ...types import DType

MAX_CODEC_BYTES: Final = 2**24

_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=256)]
_Shape: TypeAlias = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=1, le=MAX_DIM)], ...], msgspec.Meta(max_length=8)
]
_Order: TypeAlias = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=0, le=7)], ...], msgspec.Meta(max_length=8)
]
_Numbers: TypeAlias = Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=MAX_DIM)]
_Kind: TypeAlias = Literal["float", "index"]
_DType: TypeAlias = Literal["int8", "int32"]
_Int32: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One item: real = scale·q + offset, per entry of the machine's last dimension or for all."""

    shape: _Shape
    """As users see it."""
    order: _Order
    """Dimension i of the machine's item is axis order[i] of the user's."""
    kind: _Kind
    scale: _Numbers
    offset: _Numbers

    def check(self) -> None:
        """Raise UserError where the fields contradict each other."""
        last = self.shape[self.order[-1]] if self.order and self.shape else 1
        fits = (
            sorted(self.order) == list(range(len(self.shape)))
            and len(self.scale) in (1, last)
            and len(self.offset) in (1, last)
        )
        numbers = np.array(self.scale + self.offset)
        if not fits or not np.isfinite(numbers).all():
            raise UserError("the codec contradicts itself: take the file the importer wrote")


class InputPart(_Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input of the model; index inputs hold integers from `lo` to `hi`."""

    name: _Name
    lo: _Int32
    hi: _Int32

    def check(self) -> None:
        """Raise UserError where the fields contradict each other."""
        super().check()
        if min(self.scale) <= 0 or self.lo > self.hi:
            raise UserError("the codec contradicts itself: take the file the importer wrote")

    def integers(self, data: ArrayLike) -> NDArray[np.int64]:
        """Return data (items, *shape) as (items, *machine shape). Raises UserError."""
        array = np.asarray(data)
        if array.ndim == 0 or array.shape[1:] != self.shape or len(array) == 0:
            raise UserError(
                f"input {self.name} is {array.shape}: give (items, …) with items of {self.shape}"
            )
        turned = array.transpose(0, *(1 + axis for axis in self.order))
        if self.kind == "index":
            return self._indices(turned)
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise UserError(f"input {self.name} must hold finite numbers")
        q = np.rint((turned.astype(np.float64) - np.array(self.offset)) / np.array(self.scale))
        return np.clip(q, self.lo, self.hi).astype(np.int64)

    def _indices(self, array: NDArray[Any]) -> NDArray[np.int64]:
        if array.dtype.kind not in "iu" or array.min() < self.lo or array.max() > self.hi:
            raise UserError(f"input {self.name} must hold integers from {self.lo} to {self.hi}")
        return array.astype(np.int64)


class Encoder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From a model's inputs to the input blob of its program."""

    inputs: Annotated[tuple[InputPart, ...], msgspec.Meta(min_length=1, max_length=16)]
    """One is an item by itself; several lie one after the other in a flat item."""
    dtype: _DType

    def integers(self, data: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.int64]:
        """Return (items, *machine shape); `data` is one array, or one for each input by name."""
        named = data if isinstance(data, Mapping) else {self.inputs[0].name: data}
        if set(named) != {part.name for part in self.inputs}:
            names = ", ".join(part.name for part in self.inputs)
            raise UserError(f"the model's inputs are {names}: give an array for each")
        arrays = [part.integers(named[part.name]) for part in self.inputs]
        if len({len(array) for array in arrays}) > 1:
            raise UserError("the inputs hold different numbers of items")
        if len(arrays) == 1:
            return arrays[0]
        return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)

    def encode(self, data: ArrayLike | Mapping[str, ArrayLike]) -> bytes:
        """Return the input blob. Floats out of range are clipped. Raises UserError."""
        return self.integers(data).astype(_STORAGE[self.dtype].storage).tobytes()


class Decoder(_Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From the output blob of a program to the model's output."""

    dtype: _DType
    low: float | None
    high: float | None
    """Bounds of the result, carried out here."""

    def decode(self, data: bytes) -> NDArray[Any]:
        """Return (items, *shape), float32, or int32 where the output is an index.

        Raises UserError where the bytes are not a whole number of items.
        """
        kind = _STORAGE[self.dtype]
        if not data or len(data) % (prod(self.shape) * kind.size):
            raise UserError(f"{len(data)} bytes are no whole number of outputs {self.shape}")
        machine = tuple(self.shape[axis] for axis in self.order)
        return self.floats(np.frombuffer(data, kind.storage).reshape(-1, *machine))

    def floats(self, array: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return what integers (items, *machine shape) stand for."""
        turned_back = (0, *(1 + int(axis) for axis in np.argsort(self.order)))
        if self.kind == "index":
            return array.transpose(turned_back).astype(np.int32)
        real = array * np.array(self.scale) + np.array(self.offset)
        low, high = (None if end is None else end for end in (self.low, self.high))
        bounded = real if low is None and high is None else np.clip(real, low, high)
        return bounded.transpose(turned_back).astype(np.float32)


class Codec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both directions, as they are kept in a file."""

    version: Literal[1]
    encoder: Encoder
    decoder: Decoder

    def as_json(self) -> bytes:
        """Return the file's content."""
        return msgspec.json.encode(self)


def read_codec(data: bytes) -> Codec:
    """Read what `Codec.as_json` wrote. Raises UserError."""
    if len(data) > MAX_CODEC_BYTES:
        raise UserError(f"a codec of {len(data)} bytes is more than {MAX_CODEC_BYTES}")
    try:
        codec = msgspec.json.decode(data, type=Codec)
    except msgspec.MsgspecError as error:
        raise UserError(f"this is no codec of a model: {error}") from None
    for part in (*codec.encoder.inputs, codec.decoder):
        part.check()
    return codec


_STORAGE: Final = {"int8": DType.INT8, "int32": DType.INT32}
