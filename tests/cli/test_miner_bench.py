"""`pouw-miner bench`: figures, and what they are expected to bring."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pouw.cli import bench as command
from pouw.cli.miner import cli
from pouw.genesis import TESTNET, TINY
from pouw.tests.miner.harbour import open_harbour, serving


@pytest.fixture(autouse=True)
def one_small_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SHAPES", ((32, 64, 512),))


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bench", "--repeats", "1", "--device", "cpu", *arguments])


def report(*arguments: str) -> dict[str, Any]:
    result = bench(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def test_json_holds_rows_and_expectations() -> None:
    told = report()
    assert told["benchmark"] == "miner"
    assert set(told["devices"]) == {row["device"] for row in told["rows"]}
    row = told["rows"][0]
    assert row["k"] == 512 and row["verify_ms"] > 0 and row["idle_tickets_per_s"] > 0
    expected = told["expected"]
    assert expected["macs_per_s"] == row["idle_macs_per_s"]
    assert expected["seconds_to_block"] == expected["difficulty"] / expected["macs_per_s"]
    assert told["network"] == "mainnet"
    assert "mainnet's initial difficulty" in told["difficulty_source"]


def test_text_says_the_same_and_that_it_is_an_expectation() -> None:
    result = bench("--network", "testnet")
    assert result.exit_code == 0
    for text in (
        "32×64×512",
        "testnet's initial difficulty",
        "expected time to a block",
        "expected blocks a day",
        "expected POUW a day",
        "at 50 a block",
        "not a promise",
    ):
        assert text in result.stdout


def test_a_given_difficulty_counts() -> None:
    told = report("--network", "testnet", "--difficulty", str(10**30))
    expected = told["expected"]
    assert expected["difficulty"] == 10**30 and not expected["too_fast"]
    assert expected["subsidy"] == TESTNET.initial_subsidy
    assert told["difficulty_source"] == "the difficulty given"


def test_a_machine_that_outruns_a_network_is_told_so() -> None:
    assert "would rise" in bench("--network", "tiny").stdout
    assert "would rise" not in bench("--difficulty", str(10**30)).stdout


def test_a_node_tells_difficulty_and_subsidy(tmp_path: Path) -> None:
    with open_harbour(tmp_path, TINY) as harbour, serving(harbour) as url:
        harbour.answers["getinfo"] = {
            "network": "tiny",
            "chain_id": 4,
            "height": 7,
            "difficulty": 10**20,
            "subsidy": 25,
        }
        told = report("--node", url)
    assert told["expected"]["difficulty"] == 10**20
    assert told["expected"]["subsidy"] == 25
    assert told["network"] == "tiny"
    assert told["difficulty_source"] == f"{url} at height 7"


def test_a_node_that_does_not_tell_is_named(tmp_path: Path) -> None:
    with open_harbour(tmp_path, TINY) as harbour, serving(harbour) as url:
        result = bench("--node", url)
    assert "does not tell its difficulty" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--node", "http://127.0.0.1:1", "--difficulty", "5"], "drop --network"),
        (["--node", "http://127.0.0.1:1"], "127.0.0.1:1"),
        (["--difficulty", str(1 << 256)], "below 2^256"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_what_cannot_work_is_told(arguments: list[str], told: str) -> None:
    result = bench(*arguments)
    assert result.exit_code == 1
    assert told in str(result.exception)
