"""`pouw-miner` as people start and stop it."""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import urllib.request
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
    _, told = process.communicate(timeout=90)
    assert process.returncode == 1
    *log, last = told.splitlines()
    assert last.startswith("error: ")
    assert not any("Traceback" in line or line.startswith("error: ") for line in log)
    return last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_mines_for_a_node_and_ends_when_told(
    tmp_path: Path, wallet: Path, number: signal.Signals
) -> None:
    payout = format_address(FRIEND.address, TINY.address_prefix)
    token = tmp_path / "rpc.token"
    token.write_text("secret\n")
    with open_harbour(tmp_path / "chain", TINY) as harbour, serving(harbour, "secret") as url:
        arguments = ["--node", url, "--wallet", str(wallet), "--payout", payout]
        process = start([*arguments, "--token-file", str(token), "--json-log", "--idle-rate", "4M"])
        end = time.monotonic() + 90
        while harbour.height < 3 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "device.chosen" in events
    assert "miner.started" in events
    assert events[-1] == "miner.stopped"
    assert events.count("block.found") >= 3
    assert "block.refused" not in events


def test_waits_for_a_node_that_is_not_there_yet_and_can_be_stopped(wallet: Path) -> None:
    process = start(["run", "--node", "http://127.0.0.1:1", "--wallet", str(wallet)])
    if process.stderr is None:
        pytest.fail("no log")
    while "node.away" not in (line := process.stderr.readline()):
        assert line, "it ended"
    process.terminate()
    process.communicate(timeout=30)
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
        (["--metrics", "here"], "write 127.0.0.1:9464"),
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


class Terminal:
    """The program on a terminal of its own, 100×30; everything it draws is kept."""

    def __init__(self, arguments: list[str], kind: str = "xterm-256color") -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from pouw.cli.miner import main; main()", *arguments],
            env=os.environ | {"POUW_WALLET_PASSWORD": PASSWORD, "TERM": kind},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.drawn = ""

    def read_until(self, *texts: str) -> None:
        """Read until all texts were drawn, or the program has ended."""
        end = time.monotonic() + 90
        while not all(text in self.drawn for text in texts):
            assert time.monotonic() < end, f"not drawn in time: {texts} in {self.drawn[-2000:]!r}"
            if not select.select([self._ours], [], [], 1)[0]:
                continue
            try:
                more = os.read(self._ours, 1 << 16)
            except OSError:  # the other end is closed (EIO on Linux)
                return
            self.drawn += more.decode(errors="replace")

    def end(self) -> int:
        """Interrupt it and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        self.read_until("the end of all output")
        os.close(self._ours)
        return self.process.wait(30)


ALTERNATE, BACK, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


def test_a_terminal_shows_a_view_and_gets_its_screen_back(tmp_path: Path, wallet: Path) -> None:
    with open_harbour(tmp_path / "chain", TINY) as harbour, serving(harbour) as url:
        terminal = Terminal(["--node", url, "--wallet", str(wallet), "--idle-rate", "4M"])
        terminal.read_until("block.found", "answers", "MMAC/s")
        assert terminal.end() == 0
    view, _, after = terminal.drawn.rpartition(BACK)
    assert ALTERNATE in view and CURSOR in terminal.drawn
    assert "on tiny, since" in view
    assert "jobs settled" in after and "mined " in after
    assert "miner.stopped" not in after


def test_an_error_under_the_view_is_seen_after_it(tmp_path: Path, wallet: Path) -> None:
    with open_harbour(tmp_path / "chain", TINY) as harbour, serving(harbour) as url:
        harbour.answers["getinfo"] = {"network": "mainnet", "chain_id": 1, "height": 5}
        terminal = Terminal(["--node", url, "--wallet", str(wallet)])
        assert terminal.process.wait(90) == 1
        terminal.read_until("the end of all output")
    assert "error: " in terminal.drawn.rpartition(BACK)[2]


@pytest.mark.parametrize(
    ("extra", "kind"), [(["--plain"], "xterm"), (["--json-log"], "xterm"), ([], "dumb")]
)
def test_lines_of_log_where_no_view_is_wanted(wallet: Path, extra: list[str], kind: str) -> None:
    terminal = Terminal(["--node", "http://127.0.0.1:1", "--wallet", str(wallet), *extra], kind)
    terminal.read_until("node.away")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.drawn


def test_metrics_are_served_while_it_mines(tmp_path: Path, wallet: Path) -> None:
    with open_harbour(tmp_path / "chain", TINY) as harbour, serving(harbour) as url:
        arguments = ["--node", url, "--wallet", str(wallet), "--idle-rate", "4M"]
        process = start([*arguments, "--metrics", "127.0.0.1:0", "--json-log"])
        if process.stderr is None:
            pytest.fail("no log")
        while (first := json.loads(process.stderr.readline()))["event"] != "metrics.serving":
            pass
        while json.loads(process.stderr.readline())["event"] != "block.found":
            pass
        with urllib.request.urlopen(first["url"], timeout=10) as answer:
            text = answer.read().decode()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert 'pouw_miner_blocks_total{kind="idle"} ' in text
    assert "pouw_miner_jobs_total 0.0" in text


def test_a_metrics_port_in_use_is_told(wallet: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["--node", "http://127.0.0.1:1", "--wallet", str(wallet), "--metrics", port]
        assert "choose another port" in one_line_of(arguments)


def test_run_is_the_default() -> None:
    shown = CliRunner().invoke(command.cli, ["--wallet", "x"])
    assert "Missing option '--node'" in shown.output
