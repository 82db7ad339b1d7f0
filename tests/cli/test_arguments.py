"""Ids, payments, royalties and licences as people type them."""

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.cli.arguments import parse_id, parse_payments, parse_royalties, read_licence
from pouw.core.errors import UserError
from pouw.core.keys import format_address
from pouw.genesis import TINY

HERE = format_address(bytes(32), TINY.address_prefix)
THERE = format_address(b"\1" * 32, TINY.address_prefix)


@given(st.binary(min_size=32, max_size=32), st.booleans())
def test_ids_are_hex_in_any_case(raw: bytes, upper: bool) -> None:
    text = raw.hex().upper() if upper else f" {raw.hex()}\n"
    assert parse_id(text, "a job") == raw


@given(st.text(max_size=70))
def test_nothing_else_is_an_id(text: str) -> None:
    with pytest.raises(UserError, match="is not the id of a job"):
        parse_id(text, "a job")


def test_payments_come_in_pairs() -> None:
    paid = parse_payments(TINY, [HERE, "1.5", THERE, "2"])
    assert paid == [(bytes(32), 1_500_000_000), (b"\1" * 32, 2_000_000_000)]
    with pytest.raises(click.UsageError):
        parse_payments(TINY, [HERE])


@given(st.integers(0, 99_999))
def test_percents_are_basis_points_exactly(points: int) -> None:
    whole, rest = divmod(points, 100)
    for text in (f"{whole}.{rest:02d}", f"{whole}.{rest:02d}%"):
        assert parse_royalties(TINY, [f"{HERE}={text}"]) == [(bytes(32), points)]


def test_short_percents_are_read() -> None:
    shares = parse_royalties(TINY, [f"{HERE}=2.5", f"{THERE}=10"])
    assert shares == [(bytes(32), 250), (b"\1" * 32, 1_000)]


@pytest.mark.parametrize("percent", ["", "x", "1.234", ".5", "5.", "-1", "1e2", "1000", "1,5"])
def test_other_royalties_are_refused(percent: str) -> None:
    with pytest.raises(UserError, match="is not a royalty"):
        parse_royalties(TINY, [f"{HERE}={percent}"])


def test_an_address_has_one_royalty() -> None:
    with pytest.raises(UserError, match="two royalties"):
        parse_royalties(TINY, [f"{HERE}=1", f"{HERE}=2"])
    with pytest.raises(UserError, match="is not a royalty"):
        parse_royalties(TINY, [HERE])


@pytest.mark.parametrize("name", ["LICENCE.txt", "docs/licence.md", "/nowhere/terms.HTML", "x/"])
def test_a_licence_file_that_is_not_there_is_no_text(name: str) -> None:
    with pytest.raises(UserError, match="no licence file"):
        read_licence(name)


@pytest.mark.parametrize("text", ["CC-BY-4.0", "https://x.org/by.html", "see terms.md", "a/b"])
def test_a_licence_may_look_like_a_name(text: str) -> None:
    assert read_licence(text) == text


def test_a_licence_is_a_file_or_a_text(tmp_path: Path) -> None:
    path = tmp_path / "LICENCE"
    path.write_text("free – for all\n")
    assert read_licence(str(path)) == "free – for all"
    for text in ("", "CC BY 4.0", "x" * 10_000, "a\0b", str(tmp_path)):
        assert read_licence(text) == text
    with pytest.raises(UserError, match="not Unicode"):
        read_licence("\udcff")
