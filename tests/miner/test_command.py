"""`pouw-miner` as people start and stop it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from pouw.cli import miner as command
from pouw.core.keys import format_address
from pouw.genesis import TINY
from pouw.tests.miner.harbour import FRIEND, open_harbour, serving
from pouw.wallet import keystore
from pouw.wallet.keystore import ScryptCost
from pouw.wallet.mnemonic import generate_phrase

PASSWORD = "correct horse"
CHEAP = ScryptCost(n=1 << 10, r=8, p=1)


@pytest.fixture
def wallet(tmp_path: Path) -> Path:
    path = tmp_path / "wallet.json"
    keystore.create(path, TINY, generate_phrase(12), PASSWORD, cost=CHEAP)
    return path


def start(arguments: list[str], password: str = PASSWORD) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from pouw.cli.miner import main; main()", *arguments],
        env=os.environ | {"POUW_WALLET_PASSWORD": password},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def one_line_of(arguments: list[str], password: str = PASSWORD) -> str:
    process = start(arguments, password)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_mines_for_a_node_and_ends_in_a_second(
    tmp_path: Path, wallet: Path, number: signal.Signals
) -> None:
    payout = format_address(FRIEND.address, TINY.address_prefix)
    token = tmp_path / "rpc.token"
    token.write_text("secret\n")
    with open_harbour(tmp_path / "chain", TINY) as harbour, serving(harbour, "secret") as url:
        arguments = ["--node", url, "--wallet", str(wallet), "--payout", payout]
        process = start([*arguments, "--token-file", str(token), "--json-log", "--idle-rate", "4M"])
        end = time.monotonic() + 30
        while harbour.height < 3 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        asked = time.monotonic()
        _, log = process.communicate(timeout=10)
        assert time.monotonic() - asked < 2
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "miner.started"
    assert events[-1] == "miner.stopped"
    assert events.count("block.found") >= 3
    assert "block.refused" not in events


def test_waits_for_a_node_that_is_not_there_yet_and_can_be_stopped(wallet: Path) -> None:
    process = start(["run", "--node", "http://127.0.0.1:1", "--wallet", str(wallet)])
    if process.stderr is None:
        pytest.fail("no log")
    assert "node.away" in process.stderr.readline()
    process.terminate()
    process.communicate(timeout=5)
    assert process.returncode == 0


def test_a_node_of_another_network_is_refused(tmp_path: Path, wallet: Path) -> None:
    with open_harbour(tmp_path / "chain", TINY) as harbour, serving(harbour) as url:
        harbour.answers["getinfo"] = {"network": "mainnet", "chain_id": 1, "height": 5}
        told = one_line_of(["--node", url, "--wallet", str(wallet)])
    assert "serves 'mainnet', the wallet is for tiny" in told


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (["--device", "cuda:0"], "device cuda:0: "),
        (["--idle-rate", "fast"], "not a rate"),
        (["--payout", "pouw1qqq"], "another network"),
        (["--no-jobs", "--no-idle"], "nothing to do"),
        (["--token", "a", "--token-file", "b"], "either --token or --token-file"),
        (["--password-file", "/nowhere/at/all"], "no file"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(
    wallet: Path, extra: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--node", "http://127.0.0.1:1", "--wallet", str(wallet), *extra]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["pouw-miner", *arguments])
        patch.setenv("POUW_WALLET_PASSWORD", PASSWORD)
        command.main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_wrong_password_is_told(wallet: Path) -> None:
    assert "wrong password" in one_line_of(["--node", "http://x", "--wallet", str(wallet)], "guess")


def test_bench_prints_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SHAPES", ((32, 64, 512),))
    result = CliRunner().invoke(command.cli, ["bench", "--repeats", "1", "--json"])
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["benchmark"] == "miner"
    assert [row["k"] for row in report["rows"]] == [512]
    plain = CliRunner().invoke(command.cli, ["bench", "--repeats", "1"])
    assert "32×64×512" in plain.stdout


def test_run_is_the_default() -> None:
    shown = CliRunner().invoke(command.cli, ["--wallet", "x"])
    assert "Missing option '--node'" in shown.output
