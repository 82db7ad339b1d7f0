"""Which node a command means, and how answers are shown."""

from pathlib import Path

import pytest
from pouw.cli.common import find_target, print_fields, print_rows, read_token, require_object
from pouw.core.errors import UserError


def test_defaults_are_this_machines_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    target = find_target("devnet", None, None, None)
    assert (target.params.name, target.url, target.token) == (
        "devnet",
        "http://127.0.0.1:9351",
        None,
    )
    folder = tmp_path / "pouw" / "devnet"
    folder.mkdir(parents=True)
    (folder / "rpc.token").write_text("abc\n")
    assert find_target("devnet", None, None, None).token == "abc"


def test_what_is_given_wins(tmp_path: Path) -> None:
    (tmp_path / "rpc.token").write_text("from the file\n")
    assert find_target("tiny", tmp_path, None, None).token == "from the file"
    target = find_target("tiny", tmp_path, "http://example.org:80", "mine")
    assert (target.url, target.token) == ("http://example.org:80", "mine")


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UserError, match="no network"):
        find_target("nonet", None, None, None)


def test_an_unreadable_token_is_none(tmp_path: Path) -> None:
    assert read_token(tmp_path) is None
    (tmp_path / "rpc.token").write_text("")
    assert read_token(tmp_path) is None


def test_hashes_are_shown_whole_and_text_cannot_steer(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields(
        {"block_id": "ab" * 32, "none": None, "yes": True, "share": 0.25, "text": "\x1b[31m[b]"}
    )
    shown = capsys.readouterr().out
    assert "block id" in shown and "ab" * 32 in shown
    assert "–" in shown and "0.25" in shown and "?[31m[b]" in shown
    assert "\x1b" not in shown


def test_tables_say_when_they_are_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(["a", "b"], [], "nothing there")
    assert capsys.readouterr().out == "nothing there\n"
    print_rows(["a", "b"], [[1, ["x", "y"]], [{"k": 2}, []]], "nothing there")
    assert "k=2" in capsys.readouterr().out


def test_an_answer_that_is_no_object_is_an_error() -> None:
    assert require_object({"a": 1}, "getinfo") == {"a": 1}
    with pytest.raises(UserError, match="getinfo"):
        require_object([1], "getinfo")
