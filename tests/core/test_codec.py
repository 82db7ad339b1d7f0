"""The canonical encoding: one byte string per value, everything else refused."""

import contextlib
from typing import Annotated, Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.codec import (
    MAX_INT,
    U16,
    U32,
    U63,
    Bytes8,
    Bytes32,
    Bytes64,
    Value,
    decode,
    encode,
)
from pouw.core.errors import DecodeError, RuleViolation


class Point(Value, frozen=True):
    x: U16
    y: U63
    name: Annotated[str, msgspec.Meta(max_length=8)]
    tags: Annotated[tuple[Bytes8, ...], msgspec.Meta(max_length=3)]


class Left(Value, frozen=True, tag=1):
    a: U32


class Right(Value, frozen=True, tag=2):
    a: U32


class Holder(Value, frozen=True):
    side: Left | Right


points = st.builds(
    Point,
    x=st.integers(0, 2**16 - 1),
    y=st.integers(0, MAX_INT),
    name=st.text(max_size=8),
    tags=st.lists(st.binary(min_size=8, max_size=8), max_size=3).map(tuple),
)


@given(points)
def test_round_trip(point: Point) -> None:
    data = encode(point)
    assert decode(Point, data, len(data)) == point


@given(points)
def test_bytes_are_plain_messagepack_arrays(point: Point) -> None:
    """An independent library reads and writes the same bytes."""
    fields = [point.x, point.y, point.name, list(point.tags)]
    assert msgpack.packb(fields, use_bin_type=True) == encode(point)


@given(points, st.data())
def test_no_other_bytes_give_the_same_value(point: Point, data: st.DataObject) -> None:
    original = encode(point)
    index = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[index] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(DecodeError):
        assert decode(Point, bytes(changed), 1000) != point


@given(st.binary(max_size=64), st.sampled_from([Point, Holder, int, bytes, str]))
def test_any_bytes_give_a_canonical_value_or_a_decode_error(data: bytes, kind: type[Any]) -> None:
    try:
        assert encode(decode(kind, data, 64)) == data
    except DecodeError as error:
        assert error.rule == "encoding"


@given(points, st.data())
def test_truncated_and_extended_bytes(point: Point, data: st.DataObject) -> None:
    original = encode(point)
    cut = data.draw(st.integers(0, len(original) - 1))
    with pytest.raises(DecodeError):
        decode(Point, original[:cut], 1000)
    with pytest.raises(DecodeError):
        decode(Point, original + b"\0", 1000)


def test_size_is_checked_before_decoding() -> None:
    data = encode(Point(1, 2, "", ()))
    assert decode(Point, data, len(data)).y == 2
    with pytest.raises(DecodeError, match=f"{len(data)} bytes where at most {len(data) - 1}"):
        decode(Point, data, len(data) - 1)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (int, b"\xcc\x01"),  # 1 in two bytes
        (int, b"\xcd\x00\x01"),
        (int, b"\xcf" + bytes(7) + b"\x01"),
        (int, b"\xd0\x01"),  # 1 as a signed integer
        (bytes, b"\xc5\x00\x01a"),  # length in two bytes
        (str, b"\xd9\x01a"),
        (Left, b"\xdc\x00\x02\x01\x00"),  # wide array header
    ],
)
def test_longer_forms_are_not_canonical(kind: type[Any], data: bytes) -> None:
    with pytest.raises(DecodeError, match="canonical"):
        decode(kind, data, 100)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (int, b"\xcb\x3f\xf0" + bytes(6)),  # 1.0
        (bytes, b"\xa1a"),  # text for bytes
        (str, b"\xc4\x01a"),  # bytes for text
        (str, b"\xa1\xff"),  # not UTF-8
        (Left, b"\x82\x01\x00\x02\x00"),  # a map
        (Left, b"\x93\x01\x00\x00"),  # a field too many
        (Left, b"\x91\x01"),  # a field too few
        (Left, b"\x92\x02\x00"),  # another's tag
        (Holder, b"\x91\x92\x03\x00"),  # nobody's tag
        (int, b""),
        (int, b"\xc1"),  # never used by MessagePack
        (bytes, b"\xc6\xff\xff\xff\xff"),  # 4 GiB announced
        (list[int], b"\xdd\xff\xff\xff\xff"),
        (tuple[int, ...], b"\xdd\xff\xff\xff\xff"),
    ],
)
def test_malformed(kind: type[Any], data: bytes) -> None:
    with pytest.raises(DecodeError, match="not a valid"):
        decode(kind, data, 100)


def test_deep_nesting_is_refused_without_a_crash() -> None:
    with pytest.raises(DecodeError):
        decode(Holder, b"\x91" * 100_000, 200_000)
    with pytest.raises(DecodeError):
        decode(object, b"\x91" * 100_000, 200_000)


@pytest.mark.parametrize(
    ("kind", "largest"), [(U16, 2**16 - 1), (U32, 2**32 - 1), (U63, 2**63 - 1)]
)
def test_integer_bounds(kind: Any, largest: int) -> None:
    for value in (0, largest):
        assert decode(kind, encode(value), 16) == value
    for value in (-1, largest + 1):
        with pytest.raises(DecodeError):
            decode(kind, encode(value), 16)


@pytest.mark.parametrize(("kind", "length"), [(Bytes8, 8), (Bytes32, 32), (Bytes64, 64)])
def test_fixed_lengths(kind: Any, length: int) -> None:
    assert decode(kind, encode(bytes(length)), 100) == bytes(length)
    for wrong in (length - 1, length + 1):
        with pytest.raises(DecodeError):
            decode(kind, encode(bytes(wrong)), 100)


def test_declared_bounds_hold() -> None:
    with pytest.raises(DecodeError):
        decode(Point, encode([1, 2, "x" * 9, []]), 100)
    with pytest.raises(DecodeError):
        decode(Point, encode([1, 2, "", [bytes(8)] * 4]), 100)


def test_decode_errors_are_rule_violations() -> None:
    with pytest.raises(RuleViolation) as caught:
        decode(int, b"\xc0", 1)
    assert caught.value.rule == "encoding"


def test_values_are_immutable_and_compared_by_content() -> None:
    point = Point(1, 2, "a", ())
    assert point == Point(1, 2, "a", ())
    assert hash(point) == hash(Point(1, 2, "a", ()))
    with pytest.raises(AttributeError):
        point.x = 3  # pyright: ignore[reportAttributeAccessIssue]
