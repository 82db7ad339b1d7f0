"""Cards of models: what may be registered, and how anything registered is shown."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.cli.card import card_lines, read_card
from pouw.core.errors import UserError
from pouw.core.transaction import MAX_CARD_CHARS

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def test_white_space_is_not_paid_for(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text('{\n  "classes": ["null", "één"],\n  "description": "digits ✓ \\u00e9"\n}\n')
    assert read_card(path) == '{"classes":["null","één"],"description":"digits ✓ é"}'


@settings(max_examples=30)
@given(st.dictionaries(st.text(), values, max_size=4))
def test_a_card_says_what_its_file_says(
    tmp_path_factory: pytest.TempPathFactory, card: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("card") / "card.json"
    path.write_text(json.dumps(card, indent=4))
    assert json.loads(read_card(path)) == card


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a card"),
        (b"a good model", "is not a card"),
        (b"[1, 2]", "is no JSON object"),
        (b'"text"', "is no JSON object"),
        (b'{"scale": NaN}', "NaN is no number of JSON"),
        (b'{"scale": ' + b"9" * 5_000 + b"}", "is not a card"),
        (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "nested too deeply"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": "\\ud800"}', "not Unicode text"),
        (b'{"a": "' + b"x" * MAX_CARD_CHARS + b'"}', f"a card at most {MAX_CARD_CHARS}"),
        (b" " * (4 * MAX_CARD_CHARS + 1), "is longer than"),
    ],
)
def test_what_is_no_card_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        read_card(tmp_path / "card.json")


def test_a_card_is_shown_field_by_field() -> None:
    card = {"description": "one\ntwo", "classes": ["a", "b"], "scale": 0.5}
    shown = ["description: one", "two", 'classes: ["a","b"]', "scale: 0.5"]
    assert card_lines(json.dumps(card)) == shown


@pytest.mark.parametrize("text", ["plain words", "[1]", '{"a": NaN}', "[" * 16_384])
def test_whatever_else_an_owner_wrote_is_shown_as_it_is(text: str) -> None:
    assert card_lines(text) == [text]
    assert card_lines("") == []
