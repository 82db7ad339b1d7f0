"""The two hash functions of the protocol, both BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs).

`digest` is derive-key mode under a label, so that no hash of one kind can be taken for another;
`expand` is keyed mode with any output length.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from blake3 import blake3

from .errors import RuleViolation

HASH_BYTES: Final = 32
ZERO_HASH: Final = bytes(HASH_BYTES)

Hash: TypeAlias = bytes
"""Thirty-two bytes of BLAKE3 output."""

_CONTEXT_PREFIX: Final = "pouw v1 "
_contexts: Final[dict[str, blake3]] = {}
"""One fresh hasher per label: copying it spares the hash of the context (0.5 µs against 0.8)."""


def digest(label: str, *parts: bytes | bytearray | memoryview) -> Hash:
    """Return H(label, parts concatenated): 32 bytes of BLAKE3 in derive-key mode."""
    context = _contexts.get(label)
    if context is None:
        context = _contexts[label] = blake3(derive_key_context=_CONTEXT_PREFIX + label)
    hasher = context.copy()
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def expand(key: bytes, message: bytes, length: int) -> bytes:
    """Return X(key, message, length): `length` bytes of BLAKE3 keyed with a 32-byte key."""
    return blake3(message, key=key).digest(length=length)


def expand_each(key: bytes, prefix: bytes, numbers: Iterable[int], length: int) -> bytes:
    """Return X(key, prefix ‖ u32 number, length) of every number, joined.

    The hasher that has read key and prefix is copied, which spares a third of the time of `expand`.
    """
    start = blake3(prefix, key=key)
    drawn: list[bytes] = []
    for number in numbers:
        hasher = start.copy()
        hasher.update(u32(number))
        drawn.append(hasher.digest(length=length))
    return b"".join(drawn)


def u32(value: int) -> bytes:
    """Encode an unsigned 32-bit integer, little-endian."""
    return _unsigned(value, 4)


def u64(value: int) -> bytes:
    """Encode an unsigned 64-bit integer, little-endian."""
    return _unsigned(value, 8)


def u256(value: int) -> bytes:
    """Encode an unsigned 256-bit integer (difficulty, work), little-endian."""
    return _unsigned(value, 32)


def read_u256(data: bytes) -> int:
    """Decode 32 little-endian bytes."""
    return int.from_bytes(data, "little")


def _unsigned(value: int, width: int) -> bytes:
    try:
        return value.to_bytes(width, "little")
    except OverflowError:
        raise RuleViolation(
            "integer-range", f"{value} does not fit {8 * width} unsigned bits"
        ) from None
