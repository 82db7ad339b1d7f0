"""Which node a command means, and how answers are shown."""

from pathlib import Path

import pytest
from pouw.cli.common import (
    existing,
    find_target,
    pouw_text,
    print_fields,
    print_rows,
    read_token,
    require_object,
)
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


def test_a_node_elsewhere_is_not_told_this_machines_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "pouw" / "devnet"
    folder.mkdir(parents=True)
    (folder / "rpc.token").write_text("secret\n")
    for url in ("http://127.0.0.1:1", "http://localhost:2", "http://[::1]:3"):
        assert find_target("devnet", None, url, None).token == "secret"
    for url in ("http://example.org", "http://127.0.0.1.example.org", "http://[", "foo"):
        assert find_target("devnet", None, url, None).token is None
    assert find_target("devnet", folder, "http://example.org", None).token == "secret"


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


def test_nothing_is_cut_and_lines_do_not_end_in_blanks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_rows(["id", "name"], [["ab" * 32, "x" * 500], ["cd" * 32, "y"]], "nothing there")
    _, first, second = capsys.readouterr().out.splitlines()
    assert first == f"{'ab' * 32}  {'x' * 500}"
    assert second == f"{'cd' * 32}  y"


def test_amounts_of_a_node_are_shown_as_pouw() -> None:
    assert pouw_text(1_500_000_000) == "1.5 POUW"
    for units in (None, "1", 1.5, True):
        with pytest.raises(UserError, match="amount"):
            pouw_text(units)


def test_a_name_that_no_file_can_have_is_an_error(tmp_path: Path) -> None:
    assert existing(tmp_path) and not existing(tmp_path / "none")
    with pytest.raises(UserError, match="too long"):
        existing(tmp_path / ("a" * 5000))


def test_tables_say_when_they_are_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(["a", "b"], [], "nothing there")
    assert capsys.readouterr().out == "nothing there\n"
    print_rows(["a", "b"], [[1, ["x", "y"]], [{"k": 2}, []]], "nothing there")
    assert "k=2" in capsys.readouterr().out


def test_an_answer_that_is_no_object_is_an_error() -> None:
    assert require_object({"a": 1}, "getinfo") == {"a": 1}
    with pytest.raises(UserError, match="getinfo"):
        require_object([1], "getinfo")
