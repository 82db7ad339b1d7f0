"""The two hash functions against BLAKE3 called plainly, and the widths of integers."""

from collections.abc import Callable

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.core.hashing import digest, expand, expand_each, read_u256, u32, u64, u256


@settings(deadline=None)
@given(st.sampled_from(["leaf", "node", "seed-A"]), st.lists(st.binary(max_size=90), max_size=4))
def test_digest_reads_its_parts_joined(label: str, parts: list[bytes]) -> None:
    plain = blake3(b"".join(parts), derive_key_context="pouw v1 " + label).digest()
    assert digest(label, *parts) == plain
    assert digest(label, *map(memoryview, parts)) == plain


@settings(deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=70),
    st.lists(st.integers(0, 2**32 - 1), max_size=9),
    st.integers(0, 600),
)
def test_expand_each_is_expand_number_by_number(
    key: bytes, prefix: bytes, numbers: list[int], length: int
) -> None:
    apart = [expand(key, prefix + u32(number), length) for number in numbers]
    plain = [
        blake3(prefix + number.to_bytes(4, "little"), key=key).digest(length=length)
        for number in numbers
    ]
    assert apart == plain
    assert expand_each(key, prefix, numbers, length) == b"".join(apart)


def test_expand_each_refuses_what_is_no_u32() -> None:
    for number in (-1, 2**32):
        with pytest.raises(RuleViolation) as caught:
            expand_each(bytes(32), b"L", [0, number], 1)
        assert caught.value.rule == "integer-range"


@pytest.mark.parametrize(("encode", "bits"), [(u32, 32), (u64, 64), (u256, 256)])
def test_integers_have_one_width(encode: Callable[[int], bytes], bits: int) -> None:
    for value in (0, 1, 255, 2 ** (bits - 1), 2**bits - 1):
        assert int.from_bytes(encode(value), "little") == value
        assert len(encode(value)) == bits // 8
    for value in (-1, 2**bits, 2 ** (bits + 8)):
        with pytest.raises(RuleViolation) as caught:
            encode(value)
        assert caught.value.rule == "integer-range"


@settings(deadline=None)
@given(st.integers(0, 2**256 - 1))
def test_u256_is_read_back(value: int) -> None:
    assert read_u256(u256(value)) == value
