"""`pouw model`: files checked before anything is paid for, and registration at a real node."""

import json
from collections.abc import Generator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from pouw.cli.model import load_model
from pouw.cli.modelanswers import ModelAnswer
from pouw.core.errors import UserError
from pouw.core.units import format_amount
from pouw.genesis import MAINNET, TINY
from pouw.tests.cli.town import (
    CHEAP,
    FRIEND,
    PASSWORD,
    PROGRAM,
    WEIGHTS,
    Ended,
    Town,
    address,
    on_terminal,
    open_town,
)
from pouw.vm.ops import Matmul
from pouw.vm.program import Program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.wallet import keystore
from pouw.wallet.mnemonic import generate_phrase

FRIEND_TEXT = address(FRIEND)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    """One node for all tests of this file."""
    with open_town(tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(town: Town) -> str:
    """A registered model."""
    return town.register()


def register(town: Town, *more: str | Path, **files: bytes) -> Ended:
    """Register the model, some files replaced."""
    for name, path in zip(("program", "weights"), town.model_files(), strict=True):
        if name in files:
            path.write_bytes(files[name])
    program, weights = town.folder / "layer.program", town.folder / "layer.weights"
    given = ("--program", program, "--weights", weights, "--name", "a layer")
    return town.pouw("model", "register", *given, *more)


def test_a_model_is_registered_with_all_that_was_said(town: Town, tmp_path: Path) -> None:
    licence = tmp_path / "LICENCE"
    licence.write_text("Do as you like – merci\n")
    royalties = ("--royalty", f"{FRIEND_TEXT}=2.5", "--royalty", f"{town.address}=10%")
    with town.mining():
        ended = register(town, "--licence", licence, *royalties, "--json", "--name", "named again")
    assert ended.code == 0, ended
    assert "public for good" in ended.err
    answer = json.loads(ended.out)
    found = town.client.call("getmodel", id=answer["id"])
    assert found["name"] == answer["name"] == "named again"
    assert found["licence"] == "Do as you like – merci"
    shares = {share["to"]: share["basis_points"] for share in found["royalties"]}
    assert shares == {FRIEND_TEXT: 250, town.address: 1_000}
    shown = town.pouw("model", "show", answer["id"])
    assert "2.50 %" in shown.out and "int8[16] in [-64, 63]" in shown.out


def test_what_is_on_the_chain_is_not_paid_for_again(town: Town, model: str) -> None:
    balance = town.balance(town.key)
    with town.mining():
        ended = register(town, "--licence", "CC BY 4.0")
    assert ended.code == 0, ended
    assert "takes about 0 POUW" in ended.err
    assert town.client.call("getmodel", id=ended.out.strip())["licence"] == "CC BY 4.0"
    assert balance - town.balance(town.key) == 2 * TINY.min_fee_per_kib  # one transaction


def test_models_are_listed_and_shown(town: Town, model: str) -> None:
    listed = town.pouw("model", "list")
    assert listed.code == 0 and model in listed.out and "int8[16]" in listed.out
    as_json = json.loads(town.pouw("model", "list", "--json").out)
    assert model in [each["id"] for each in as_json]
    assert len(json.loads(town.pouw("model", "list", "--limit", "1", "--json").out)) == 1
    shown = json.loads(town.pouw("model", "show", model.upper(), "--json").out)
    assert shown == town.client.call("getmodel", id=model)
    rule = msgspec.convert(shown, ModelAnswer).input_rule
    assert (rule.item, rule.max_items) == (PROGRAM.input, shown["max_items"])


def test_nothing_is_sent_unless_a_person_agrees(town: Town) -> None:
    program, weights = town.model_files()
    arguments = ("model", "register", "--program", program, "--weights", weights, "--name", "no")
    balance = town.balance(town.key)
    code, shown = on_terminal(arguments, [("Register the model?", "n")], town.env)
    assert (code, shown.splitlines()[-1]) == (1, "error: nothing was sent")
    assert town.client.call("getmempool")["count"] == 0
    assert town.balance(town.key) == balance


def test_a_person_who_agrees_sees_the_progress(town: Town) -> None:
    program, weights = town.model_files()
    weights.write_bytes(bytes(128))
    arguments = ("model", "register", "--program", program, "--weights", weights, "--name", "[red]")
    with town.mining():
        code, shown = on_terminal(arguments, [("Register the model?", "y")], town.env)
    assert code == 0, shown
    assert "uploading the weights" in shown and "registering [red]" in shown
    identity = shown.rpartition("\n")[0].splitlines()[-1].rpartition("K")[2].strip()
    assert town.client.call("getmodel", id=identity)["name"] == "[red]"


# Versions and cards ---------------------------------------------------------------------------


def ids(ended: Ended) -> list[str]:
    assert ended.code == 0, ended
    return [each["id"] for each in json.loads(ended.out)]


def test_a_card_is_registered_and_shown(town: Town, tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text('{"description": "one layer", "classes": ["cat", "dog"]}')
    with town.mining():
        ended = register(town, "--card", card, "--royalty", f"{FRIEND_TEXT}=2.5")
    identity = ended.out.strip()
    told = town.client.call("getmodel", id=identity)
    assert told["card"] == '{"description":"one layer","classes":["cat","dog"]}'
    shown = town.pouw("model", "show", identity)
    for line in (
        "description: one layer",
        'classes: ["cat","dog"]',
        f"{FRIEND_TEXT} 2.50 %",
        "1 of 1",
        "one item costs",
    ):
        assert line in shown.out
    quote = town.client.call("quotejob", model=identity, items=1)
    total = quote["min_bounty"] + quote["burn"] + quote["check_fee"]
    assert f"about {format_amount(total)} POUW" in shown.out
    assert "newer version" not in shown.err


def test_a_new_version_replaces_the_old_one(town: Town, model: str) -> None:
    with town.mining():
        first = register(town, "--name", "versioned").out.strip()
        second = register(town, "--name", "versioned", "--replaces", first.upper()).out.strip()
    shown = town.pouw("model", "show", first)
    assert "1 of 2" in shown.out and f"2: {second} (0 jobs)" in shown.out
    assert f"a newer version exists: `pouw model show {second}`" in shown.err
    told = town.client.call("getmodel", id=second)
    assert (told["version"], told["previous"], told["successor"]) == (2, first, None)
    again = register(town, "--replaces", first)
    assert again.error == (f"model {first} has been replaced already: replace the newest, {second}")
    assert town.client.call("getmempool")["count"] == 0


def test_only_the_owners_account_replaces_a_model(town: Town, model: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    keystore.create(path, TINY, generate_phrase(), PASSWORD, cost=CHEAP)
    ended = register(town, "--wallet", path, "--replaces", model)
    assert f"belongs to {town.address}: only that account can replace it" in ended.error
    assert town.client.call("getmempool")["count"] == 0


def test_models_are_found_by_owner_and_name_page_after_page(town: Town, model: str) -> None:
    with town.mining():
        for name in ("findable one", "FINDABLE two", "findable three"):
            assert register(town, "--name", name).code == 0
    found = ids(town.pouw("model", "list", "--name", "Findable", "--json"))
    assert len(found) == 3
    assert ids(town.pouw("model", "list", "--name", "findable t", "--json")) == found[:2]
    assert model in ids(town.pouw("model", "list", "--owner", town.address, "--json"))
    assert ids(town.pouw("model", "list", "--owner", FRIEND_TEXT, "--json")) == []
    page = town.pouw("model", "list", "--name", "findable", "--limit", "2")
    assert found[1] in page.out and found[2] not in page.out
    assert f"there may be more: add --after {found[1]}" in page.err
    rest = town.pouw("model", "list", "--name", "findable", "--after", found[1], "--json")
    assert ids(rest) == found[2:]
    assert town.pouw("model", "list", "--name", "nowhere").out == "no such model\n"


def test_a_search_reads_as_many_answers_as_it_takes(
    town: Town, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ids(town.pouw("model", "list", "--json"))
    monkeypatch.setattr("pouw.node.rpc.models.MAX_EXAMINED", 1)
    assert ids(town.pouw("model", "list", "--json")) == expected
    assert ids(town.pouw("model", "list", "--json", "--limit", "2")) == expected[:2]


def test_a_search_that_cannot_be_made_is_one_line(town: Town) -> None:
    assert "is not an address" in town.pouw("model", "list", "--owner", "me").error
    assert "is not the id of a model" in town.pouw("model", "list", "--after", "me").error
    assert "no model" in town.pouw("model", "list", "--after", "ab" * 32).error


# Wrong models ---------------------------------------------------------------------------------


def program_with(*ops: Matmul, shape: tuple[int, ...] = (8, 16), hi: int = 63) -> bytes:
    const = Declaration(TensorType(DType.INT8, shape), Interval(-63, hi))
    return encode_program(Program(1, PROGRAM.input, (const,), ops))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"program": b""}, "layer.program: encoding"),
        ({"program": b"not a program"}, "layer.program: encoding"),
        ({"program": b"\x94" * 100_000}, "layer.program: encoding"),
        ({"program": bytes(2**18 + 1)}, "layer.program is longer than"),
        ({"program": program_with()}, "program-limits"),
        (
            {"program": program_with(Matmul(0, 1), Matmul(2, 1))},
            "layer.program: program-dtype: op 1 (matmul)",
        ),
        ({"program": program_with(Matmul(0, 1), shape=(8, 15))}, "op 0 (matmul)"),
        ({"program": program_with(Matmul(0, 7))}, "program-operand: op 0 (matmul)"),
        ({"weights": WEIGHTS.tobytes()[:-1]}, "has 127 bytes, the program's constants take 128"),
        ({"weights": b""}, "has 0 bytes"),
        ({"weights": bytes(129)}, "has 129 bytes"),
        ({"weights": b"\x80" * 128}, "layer.weights: weights-range: constant 0"),
    ],
)
def test_a_wrong_file_is_one_line(town: Town, files: dict[str, bytes], reason: str) -> None:
    ended = register(town, **files)
    assert reason in ended.error
    assert ended.out == ""
    assert town.client.call("getmempool")["count"] == 0


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--name", ""], "a model's name"),
        (["--name", "n" * 65], "a model's name"),
        (["--name", "two\nlines"], "a model's name"),
        (["--licence", "x" * 16_385], "a licence is at most"),
        (["--royalty", FRIEND_TEXT], "is not a royalty"),
        (["--royalty", f"{FRIEND_TEXT}=a lot"], "is not a royalty"),
        (["--royalty", f"{FRIEND_TEXT}=1.234"], "is not a royalty"),
        (["--royalty", f"{FRIEND_TEXT}=-1"], "is not a royalty"),
        (["--royalty", f"{FRIEND_TEXT}=0"], "at least one basis point"),
        (["--royalty", f"{FRIEND_TEXT}=50.01"], "at most 5000 basis points"),
        (["--royalty", f"{FRIEND_TEXT}=1", "--royalty", f"{FRIEND_TEXT}=1"], "two royalties"),
        (["--royalty", "nobody=1"], "is not an address"),
        (["--program", "missing"], "there is no file missing"),
        (["--weights", "missing"], "there is no file missing"),
        (["--card", "missing"], "there is no file missing"),
        (["--replaces", "a layer"], "is not the id of a model"),
        (["--replaces", "ab" * 32], "no model"),
        (["--wallet", "missing"], "there is no wallet missing"),
        (["--rpc", "http://127.0.0.1:1"], "no node answers"),
        (["--token", "wrong"], "without its token"),
        (["--account", "none"], "no account 'none'"),
    ],
)
def test_what_cannot_be_registered_costs_nothing(town: Town, more: list[str], reason: str) -> None:
    assert reason in register(town, *more).error
    assert town.client.call("getmempool")["count"] == 0


def test_a_licence_that_is_no_text_is_refused(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "LICENCE"
    path.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in register(town, "--licence", path).error
    path.write_bytes(b"x" * 70_000)
    assert "is longer than" in register(town, "--licence", path).error


def test_an_uploader_without_money_is_told(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    keystore.create(path, TINY, generate_phrase(), PASSWORD, cost=CHEAP)
    weights = np.zeros((8, 16), np.int8).tobytes()  # not on the chain yet
    ended = register(town, "--wallet", path, weights=weights)
    assert "balance" in ended.error


def test_a_model_too_large_for_any_block_is_refused_before_it_is_uploaded(tmp_path: Path) -> None:
    program, weights = tmp_path / "large.program", tmp_path / "large.weights"
    source = Declaration(TensorType(DType.INT8, (4096,)), Interval(-64, 63))
    const = Declaration(TensorType(DType.INT8, (4096, 4096)), Interval(-64, 63))
    program.write_bytes(encode_program(Program(1, source, (const,), (Matmul(0, 1),))))
    weights.write_bytes(bytes(4096 * 4096))
    assert load_model(MAINNET, program, weights) == (program.read_bytes(), weights.read_bytes())
    with pytest.raises(UserError, match="too large for tiny"):
        load_model(TINY, program, weights)


# Looking up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "ab", "xy" * 32, "ab" * 33, "a layer", "\x1b[31m"])
def test_an_id_that_is_none_is_one_line(town: Town, text: str) -> None:
    assert "is not the id of a model" in town.pouw("model", "show", text).error


def test_an_unknown_model_is_one_line(town: Town) -> None:
    for more in ((), ("--json",)):
        assert "no model" in town.pouw("model", "show", "ab" * 32, *more).error


@pytest.mark.parametrize("name", ["register", "list", "show"])
def test_every_command_shows_an_example(town: Town, name: str) -> None:
    ended = town.pouw("model", name, "--help")
    assert ended.code == 0
    assert f"Example: pouw model {name}" in ended.out


def test_misuse_is_two(town: Town) -> None:
    for arguments in (["register"], ["show"], ["list", "--limit", "0"], ["nothing"]):
        assert town.pouw("model", *arguments).code == 2
