"""The one canonical encoding: MessagePack arrays written by msgspec, accepted only byte for byte.

No MessagePack decoder is canonical by itself (integers have several widths, arrays several
headers), so `decode` re-encodes what it read and refuses anything that differs. Sizes are bounded
before decoding starts. Integers never exceed 2⁶³ − 1; wider ones (difficulty, work, the ticket
nonce) travel as little-endian bytes.
"""

from typing import Annotated, Any, Final, TypeVar

import msgspec

from .errors import DecodeError

T = TypeVar("T")

MAX_INT: Final = 2**63 - 1

U16 = Annotated[int, msgspec.Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=MAX_INT)]
"""Amounts in base units, heights, account nonces, UTC seconds."""
Bytes8 = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]

_encoder: Final = msgspec.msgpack.Encoder()
_decoders: Final[dict[Any, msgspec.msgpack.Decoder[Any]]] = {}


class Value(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every canonical value: immutable, compared by content, encoded as an array."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a `Value` (or of a list, tuple, int, str or bytes of them)."""
    return _encoder.encode(value)


def decode(kind: type[T], data: bytes, limit: int) -> T:
    """Read a canonical value of type `kind` from at most `limit` bytes.

    Raises DecodeError when the bytes are too long, malformed, out of range or not canonical.
    """
    if len(data) > limit:
        raise DecodeError(f"{len(data)} bytes where at most {limit} are allowed")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value: T = decoder.decode(data)
        canonical = _encoder.encode(value) == data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise DecodeError(f"not a valid {_name(kind)}: {error}") from None
    if not canonical:
        raise DecodeError(f"not the canonical encoding of a {_name(kind)}")
    return value


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
