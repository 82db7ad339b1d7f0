"""Heads and openings on the wire: canonical, bounded before anything is read."""

import msgspec
import pytest
from pouw.core.codec import decode, encode
from pouw.core.errors import DecodeError
from pouw.core.ticket import (
    MAX_DEPTH,
    MAX_HEAD_BYTES,
    MAX_OPENING_BYTES,
    MAX_ROWS,
    Head,
    Opening,
)

LARGEST_HEAD = Head(
    m=2**32 - 1,
    n=2**32 - 1,
    k=2**32 - 1,
    nonce=b"\xff" * 8,
    job_id=b"\xff" * 32,
    op=2**32 - 1,
    tile_row=2**32 - 1,
    tile_col=2**32 - 1,
    root_a=b"\xff" * 32,
    root_b=b"\xff" * 32,
    lanes=b"\xff" * 128,
)
LARGEST_OPENING = Opening(
    a_rows=bytes(16 * MAX_DEPTH),
    a_path=(bytes(32),) * 16,
    b_rows=bytes(16 * MAX_DEPTH),
    b_path=(bytes(32),) * 16,
)


def test_the_longest_values_fit_their_limits() -> None:
    assert decode(Head, encode(LARGEST_HEAD), MAX_HEAD_BYTES) == LARGEST_HEAD
    assert decode(Opening, encode(LARGEST_OPENING), MAX_OPENING_BYTES) == LARGEST_OPENING
    assert MAX_ROWS == 16 << 16


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nonce", bytes(7)),
        ("job_id", bytes(33)),
        ("lanes", bytes(127)),
        ("lanes", bytes(129)),
        ("m", 2**32),
        ("m", -1),
        ("root_a", b""),
    ],
)
def test_a_head_out_of_bounds_is_refused(field: str, value: object) -> None:
    data = encode(msgspec.structs.replace(LARGEST_HEAD, **{field: value}))
    with pytest.raises(DecodeError):
        decode(Head, data, MAX_HEAD_BYTES)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("a_rows", bytes(16 * MAX_DEPTH + 1)),
        ("b_path", (bytes(32),) * 17),
        ("a_path", (bytes(31),)),
    ],
)
def test_an_opening_out_of_bounds_is_refused(field: str, value: object) -> None:
    small = Opening(a_rows=b"", a_path=(), b_rows=b"", b_path=())
    data = encode(msgspec.structs.replace(small, **{field: value}))
    with pytest.raises(DecodeError):
        decode(Opening, data, MAX_OPENING_BYTES)
