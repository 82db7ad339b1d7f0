"""Keys, signatures and addresses: RFC 8032 and BIP-350 vectors, and everything that must fail."""

import contextlib

import bech32
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.core.hashing import digest
from pouw.core.keys import (
    PrivateKey,
    address_of,
    format_address,
    parse_address,
    verify_signature,
)

# RFC 8032, section 7.1: seed, public key, message, signature
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the base point: s and s + ORDER verify alike where a library does not look."""

seeds = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=32, max_size=32)
prefixes = st.sampled_from(["pouw", "tpouw", "dpouw", "xpouw"])


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = PrivateKey(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert verify_signature(key.public, bytes.fromhex(message), bytes.fromhex(signature))


@given(seeds, st.binary(max_size=100), st.integers(0, 511))
def test_no_other_signature_verifies(seed: bytes, message: bytes, bit: int) -> None:
    key = PrivateKey(seed)
    signature = key.sign(message)
    assert verify_signature(key.public, message, signature)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify_signature(key.public, message, bytes(flipped))
    assert not verify_signature(key.public, message + b"\0", signature)


@given(seeds, seeds)
def test_signature_of_another_key(one: bytes, other: bytes) -> None:
    signature = PrivateKey(one).sign(b"message")
    public = PrivateKey(other).public
    assert verify_signature(public, b"message", signature) == (one == other)


def test_scalar_beyond_the_order_is_refused() -> None:
    """The classic malleability: s + ORDER satisfies the equation but is not canonical."""
    key = PrivateKey(bytes(32))
    signature = key.sign(b"m")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not verify_signature(key.public, b"m", signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "public",
    [
        "01" + "00" * 31,  # the identity
        "00" * 32,  # order 4
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # order 2
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # order 8
    ],
)
def test_small_order_keys_sign_nothing(public: str) -> None:
    """Under the identity, R = identity and s = 0 would satisfy the equation for any message."""
    identity = bytes.fromhex("01" + "00" * 31)
    for message in (b"", b"a", b"b", b"c"):
        assert not verify_signature(bytes.fromhex(public), message, identity + bytes(32))


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_wrong_lengths_do_not_verify(public: bytes, signature: bytes) -> None:
    assert not verify_signature(public, b"", signature)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_private_key_size(size: int) -> None:
    with pytest.raises(UserError, match=str(size)):
        PrivateKey(bytes(size))


@given(seeds)
def test_private_key_does_not_show_itself(seed: bytes) -> None:
    key = PrivateKey(seed)
    assert seed.hex() not in repr(key) + str(key)
    assert key.public.hex() in repr(key)


@given(seeds)
def test_address_is_the_labelled_hash_of_the_public_key(seed: bytes) -> None:
    key = PrivateKey(seed)
    assert key.address == address_of(key.public) == digest("address", key.public)


@given(addresses, prefixes)
def test_address_text_round_trip(address: bytes, prefix: str) -> None:
    text = format_address(address, prefix)
    assert text.startswith(prefix + "1")
    assert parse_address(text, prefix) == address
    assert parse_address(f"  {text.upper()}\n", prefix) == address


def test_checksum_is_bip_350() -> None:
    """A valid bech32m string of BIP-350 has the checksum we write."""
    vector = "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx"
    symbols = [bech32.CHARSET.index(c) for c in vector.split("1")[1]]
    assert bech32.bech32_polymod([*bech32.bech32_hrp_expand("abcdef"), *symbols]) == 0x2BC830A3
    ours = format_address(bytes(range(32)), "abcdef").split("1")[1]
    symbols = [bech32.CHARSET.index(c) for c in ours]
    assert bech32.bech32_polymod([*bech32.bech32_hrp_expand("abcdef"), *symbols]) == 0x2BC830A3


@given(addresses, st.data())
def test_any_two_changed_characters_are_noticed(address: bytes, data: st.DataObject) -> None:
    text = format_address(address, "pouw")
    positions = data.draw(st.sets(st.integers(5, len(text) - 1), min_size=1, max_size=2))
    changed = list(text)
    for position in positions:
        others = [c for c in bech32.CHARSET if c != text[position]]
        changed[position] = data.draw(st.sampled_from(others))
    with pytest.raises(UserError, match="checksum"):
        parse_address("".join(changed), "pouw")


def test_address_of_another_network() -> None:
    with pytest.raises(UserError, match="another network"):
        parse_address(format_address(bytes(32), "tpouw"), "pouw")


def test_mixed_case() -> None:
    text = format_address(bytes(32), "pouw")
    with pytest.raises(UserError, match="mixes"):
        parse_address(text[:-1] + text[-1].upper(), "pouw")


@pytest.mark.parametrize("size", [0, 1, 20, 31, 33, 64])
def test_only_32_bytes_are_an_address(size: int) -> None:
    with pytest.raises(UserError, match="32 bytes"):
        format_address(bytes(size), "pouw")


def _bech32m(symbols: list[int], prefix: str) -> str:
    expanded = [*bech32.bech32_hrp_expand(prefix), *symbols, *bytes(6)]
    checksum = bech32.bech32_polymod(expanded) ^ 0x2BC830A3
    tail = [(checksum >> 5 * (5 - i)) & 31 for i in range(6)]
    return prefix + "1" + "".join(bech32.CHARSET[s] for s in [*symbols, *tail])


@pytest.mark.parametrize(
    "symbols",
    [
        [],
        [0] * 32,  # 20 bytes
        [0] * 51 + [1],  # padding bits that are not zero
        [0] * 53,  # a symbol too many
        [0] * 54,  # 33 bytes
    ],
)
def test_right_checksum_over_wrong_content(symbols: list[int]) -> None:
    with pytest.raises(UserError, match="wrong length"):
        parse_address(_bech32m(symbols, "pouw"), "pouw")


def test_bech32_checksum_is_not_bech32m() -> None:
    symbols = bech32.convertbits(bytes(32), 8, 5)
    assert symbols is not None
    with pytest.raises(UserError, match="checksum"):
        parse_address(bech32.bech32_encode("pouw", symbols), "pouw")


@given(st.one_of(st.text(max_size=100), st.text(bech32.CHARSET, max_size=80).map("pouw1".__add__)))
def test_any_text_is_an_address_or_a_user_error(text: str) -> None:
    with contextlib.suppress(UserError):
        assert len(parse_address(text, "pouw")) == 32
