"""Vectors of encodings: they hold here and for another MessagePack library; spoiled ones do not."""

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import msgpack
import pytest
from pouw.consensus.ticket.vectors import VectorMismatch, check_vectors
from pouw.consensus.value_vectors import KINDS, plain
from pouw.core.errors import UserError

FOLDER = Path(__file__).parents[1] / "vectors"
OWN: dict[str, Any] = json.loads((FOLDER / "pouw_v1_values.json").read_text())


def test_own_vectors_hold() -> None:
    assert check_vectors(OWN) == 114


def test_every_kind_has_a_vector() -> None:
    assert {vector["kind"] for vector in OWN["values"]} == set(KINDS)


def test_own_vectors_are_what_the_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate_values.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.document() == OWN


@pytest.mark.parametrize("vector", OWN["values"], ids=lambda vector: vector["name"])
def test_another_library_writes_the_same_bytes(vector: dict[str, Any]) -> None:
    packer = msgpack.Packer(use_bin_type=True)
    assert packer.pack(plain(vector["fields"])).hex() == vector["bytes"]


@pytest.mark.parametrize("field", ["bytes", "id", "address", "signature_valid"])
def test_every_field_is_compared(field: str) -> None:
    vector = copy.deepcopy(OWN["values"][0])
    vector[field] = not vector[field] if field == "signature_valid" else "00" * 32
    with pytest.raises(VectorMismatch, match=rf"values\[0\]\.{field}: expected"):
        check_vectors({"values": [vector]})


def test_a_left_out_field_is_a_difference() -> None:
    vector = {name: value for name, value in OWN["values"][0].items() if name != "id"}
    with pytest.raises(VectorMismatch, match=r"values\[0\]\.id: expected None"):
        check_vectors({"values": [vector]})


def test_an_accepted_refusal_is_a_difference() -> None:
    accepted = {"name": "fine", "kind": "account", "bytes": "920102"}
    with pytest.raises(VectorMismatch, match="computed accepted"):
        check_vectors({"refuse_values": [accepted]})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "planet"},
        {"fields": [{"hex": "zz"}]},
        {"fields": [{"hex": "00", "more": 1}]},
        {"fields": [None]},
        {"fields": [1.5]},
        {"fields": json.loads("[" * 100 + "]" * 100)},
        {"bytes": "0"},
        {"id": "short"},
    ],
    ids=str,
)
def test_unusable_vectors_are_the_users_error(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        check_vectors({"values": [{**OWN["values"][0], **change}]})
