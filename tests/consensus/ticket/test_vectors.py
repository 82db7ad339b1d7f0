"""The vector files hold for this implementation, and a spoiled file is reported clearly."""

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from pouw.consensus.ticket.vectors import VectorMismatch, check_vectors
from pouw.core.errors import UserError

FOLDER = Path(__file__).parents[2] / "vectors"
GIVEN = json.loads((FOLDER / "pouw_v1.json").read_text())
OWN = json.loads((FOLDER / "pouw_v1_more.json").read_text())


def test_independent_vectors_hold() -> None:
    fields = 8 * len(GIVEN["cases"]) + len(GIVEN["targets"])
    assert check_vectors(GIVEN) == fields == 108


def test_own_vectors_hold() -> None:
    fields = 8 * len(OWN["cases"]) + 4 * len(OWN["denoise"]) + len(OWN["refuse"])
    assert check_vectors(OWN) == fields


def test_own_vectors_are_what_the_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.document() == OWN


@pytest.mark.parametrize(
    "field", ["root_a", "root_b", "seed_a", "seed_b", "lanes", "digest", "a_path", "b_path"]
)
def test_every_field_of_a_case_is_compared(field: str) -> None:
    document = {"cases": copy.deepcopy(GIVEN["cases"][:4])}
    case = document["cases"][3]
    if field == "lanes":
        case[field][31] ^= 1
    elif field.endswith("path"):
        case[field] = [*case[field], "00" * 32]
    else:
        case[field] = "ab" * 32
    with pytest.raises(VectorMismatch, match=rf"cases\[3\]\.{field}: expected"):
        check_vectors(document)


def test_every_other_section_is_compared() -> None:
    target = {**GIVEN["targets"][5], "target": "0x1"}
    with pytest.raises(VectorMismatch, match=r"targets\[0\]\.target"):
        check_vectors({"targets": [target]})
    for field in ("seed_a", "seed_b", "noised_root", "product_root"):
        with pytest.raises(VectorMismatch, match=rf"denoise\[0\]\.{field}"):
            check_vectors({"denoise": [{**OWN["denoise"][0], field: "00" * 32}]})
    with pytest.raises(VectorMismatch, match=r"refuse\[0\]\.rule .*computed ticket-shape"):
        check_vectors({"refuse": [{**OWN["refuse"][0], "rule": "ticket-job"}]})


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"cases": []},
        {"cases": [{}]},
        {"unknown": []},
        {"cases": [{**GIVEN["cases"][0], "m": "96"}]},
        {"cases": [{**GIVEN["cases"][0], "m": 95}]},
        {"cases": [{**GIVEN["cases"][0], "k": 0}]},
        {"cases": [{**GIVEN["cases"][0], "k": 200}]},
        {"cases": [{**GIVEN["cases"][0], "m": 2**26, "k": 2**26}]},
        {"cases": [{**GIVEN["cases"][0], "nonce": 2**64}]},
        {"cases": [{**GIVEN["cases"][0], "nonce": -1}]},
        {"cases": [{**GIVEN["cases"][0], "op": 2**32}]},
        {"cases": [{**GIVEN["cases"][0], "tile_row": 6}]},
        {"cases": [{**GIVEN["cases"][0], "sigma": "zz" * 32}]},
        {"cases": [{**GIVEN["cases"][0], "sigma": "ab"}]},
        {"cases": [{**GIVEN["cases"][0], "extra": 1}]},
        {"targets": [{"difficulty": 0, "k": 256, "target": "0x1"}]},
        {"targets": [{"difficulty": 1, "k": 256, "target": "1"}]},
        {"denoise": [{**OWN["denoise"][0], "a_text": None}]},
        {"refuse": [{**OWN["refuse"][0], "head": "abc"}]},
    ],
)
def test_a_malformed_file_is_a_clear_error(document: Any) -> None:
    with pytest.raises(UserError):
        check_vectors(document)
