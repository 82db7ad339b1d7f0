"""The token file."""

from pathlib import Path

import pytest
from pouw.core.errors import StorageError
from pouw.node.token import TOKEN_FILE, is_bearer, remove_token, write_token


def test_every_start_draws_another_token_for_the_owner_alone(tmp_path: Path) -> None:
    first, second = write_token(tmp_path), write_token(tmp_path)
    assert first != second
    path = tmp_path / TOKEN_FILE
    assert path.read_text() == second + "\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [TOKEN_FILE]


def test_a_draft_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "rpc.new").write_text("half")
    token = write_token(tmp_path)
    assert (tmp_path / TOKEN_FILE).read_text().strip() == token


def test_removing_what_is_gone_is_harmless(tmp_path: Path) -> None:
    write_token(tmp_path)
    remove_token(tmp_path)
    remove_token(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        write_token(tmp_path / "nowhere")


@pytest.mark.parametrize("header", ["", "abc", "bearer abc", "Bearer", "Bearer abcd", "Bearer é"])
def test_only_the_whole_bearer_header_counts(header: str) -> None:
    assert is_bearer("Bearer abc", "abc")
    assert not is_bearer(header, "abc")
