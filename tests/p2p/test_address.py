"""Addresses have one form, and strangers cannot steer this node into private networks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.p2p.address import Address, may_learn, normal_address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        (" seed.example.org:9000 ", Address("seed.example.org", 9000)),
        ("SEED.example.org:9000", Address("seed.example.org", 9000)),
        ("[::1]:1", Address("::1", 1)),
        ("[2001:0db8::0001]:65535", Address("2001:db8::1", 65535)),
        ("[::ffff:10.0.0.1]:5", Address("10.0.0.1", 5)),
    ],
)
def test_texts_are_read_into_one_form(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":80",
        "host:0",
        "host:65536",
        "host:-1",
        "host:٣",
        "::1:80",
        "a/b:80",
        "user@host:80",
        "a b:80",
        "[]:80",
        "x" * 70 + ":80",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_address(text)


@given(st.text(max_size=80))
def test_any_text_is_refused_or_has_one_form(text: str) -> None:
    try:
        address = parse_address(text)
    except UserError:
        return
    assert parse_address(str(address)) == address


LOOPBACK, PRIVATE, PUBLIC = "127.0.0.1", "192.168.1.9", "8.8.8.8"


@pytest.mark.parametrize(
    ("host", "teachers"),
    [
        (PUBLIC, {LOOPBACK, PRIVATE, PUBLIC}),
        (PRIVATE, {LOOPBACK, PRIVATE}),
        (LOOPBACK, {LOOPBACK}),
        ("seed.example.org", set[str]()),
        ("0.0.0.0", set[str]()),
        ("224.0.0.1", set[str]()),
    ],
)
def test_who_may_name_what(host: str, teachers: set[str]) -> None:
    told = {t for t in (LOOPBACK, PRIVATE, PUBLIC) if may_learn(Address(host, 1), Address(t, 2))}
    assert told == teachers


def test_loopback_is_recognised() -> None:
    assert normal_address("127.3.2.1", 1).is_loopback
    assert normal_address("::1", 1).is_loopback
    assert Address("localhost", 1).is_loopback
    assert not normal_address("10.0.0.1", 1).is_loopback
