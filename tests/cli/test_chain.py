"""`pouw chain vectors`: the only chain command that needs no node."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pouw.cli.chain import chain
from pouw.consensus.ticket.vectors import VectorMismatch
from pouw.core.errors import UserError

VECTORS = Path(__file__).parents[1] / "vectors" / "pouw_v1.json"


def vectors(*arguments: str) -> Result:
    return CliRunner().invoke(chain, ["vectors", *arguments])


def first_case(folder: Path, **changes: Any) -> Path:
    """Write a file with the first case alone, some fields changed."""
    case = json.loads(VECTORS.read_text())["cases"][0]
    path = folder / "vectors.json"
    path.write_text(json.dumps({"cases": [{**case, **changes}]}))
    return path


def test_matching_vectors_are_counted(tmp_path: Path) -> None:
    path = str(first_case(tmp_path))
    result = vectors(path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.output)["equal"] is True
    assert "fields equal" in vectors(path).output


def test_the_first_differing_field_is_named(tmp_path: Path) -> None:
    result = vectors(str(first_case(tmp_path, seed_b="00" * 32)))
    assert isinstance(result.exception, VectorMismatch)
    assert "cases[0].seed_b" in str(result.exception)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"cases": 1}', "[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    assert isinstance(vectors(str(path)).exception, UserError)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    result = vectors(str(tmp_path / "missing.json"))
    assert isinstance(result.exception, UserError)
    assert "No such file" in str(result.exception)


def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pouw.cli.chain._MAX_VECTOR_BYTES", 10)
    assert "longer than 10 bytes" in str(vectors(str(first_case(tmp_path))).exception)
