"""`pouw node` as people run it: its process, its folder, its exit, its one-line errors."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pouw.chain.chainstate import Chain
from pouw.chain.kv import open_database
from pouw.chain.schema import SCHEMA_VERSION
from pouw.consensus.genesis_block import genesis_block
from pouw.devnet.process import NodeProcess
from pouw.genesis import TINY
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.wallet.client import RpcClient

Prepare = Callable[..., NodeProcess]
Mine = Callable[[RpcClient, int], str]

pytestmark = pytest.mark.slow


def pouw(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "pouw.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def at(node: NodeProcess) -> list[str]:
    """Options that make a command talk to a node."""
    return ["--network", "tiny", "--rpc", node.url, "--data", str(node.data)]


def run_in(folder: Path, *more: str) -> list[str]:
    """Arguments of a node that would listen on ports of its own."""
    ports = ["--p2p-port", "0", "--rpc-port", "0"]
    return ["node", "run", "--network", "tiny", "--data", str(folder), *ports, *more]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def started(process: NodeProcess) -> RpcClient:
    """Start a node and return a client once it answers."""
    process.start()
    process.wait_ready()
    return process.client()


def ended(process: NodeProcess, seconds: float = 20.0) -> int | None:
    """Wait for the end of a process and return its exit status."""
    wait_until(lambda: not process.running, seconds)
    return process.exit_code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(
    prepare: Prepare, mine: Mine, number: signal.Signals
) -> None:
    process = prepare()
    client = started(process)
    tip = mine(client, 3)
    process.signal(number)
    assert ended(process) == 0
    assert not (process.data / "rpc.token").exists()
    database = open_database(process.data, genesis_block(TINY).id, SCHEMA_VERSION)
    try:
        chain = Chain(database, TINY, ReferenceMultiplier())
        assert (chain.tip.id.hex(), chain.tip.height) == (tip, 3)
        chain.state.audit()
    finally:
        database.close()


def test_a_restart_keeps_the_tip_even_after_a_kill(prepare: Prepare, mine: Mine) -> None:
    process = prepare()
    tip = mine(started(process), 4)
    process.kill()
    assert process.exit_code == -signal.SIGKILL
    client = started(process)
    assert client.call("getinfo")["tip"] == tip
    mine(client, 1)
    assert client.call("getinfo")["height"] == 5


def test_two_processes_synchronise(prepare: Prepare, mine: Mine) -> None:
    first = prepare("first")
    tip = mine(started(first), 5)
    second = prepare("second", connect=(first.address,))
    client = started(second)
    wait_until(lambda: client.call("getinfo")["tip"] == tip)
    shown = pouw("node", "peers", *at(second))
    assert first.address in shown.stdout and "outbound" in shown.stdout


def test_info_and_stop_from_the_command_line(prepare: Prepare, mine: Mine) -> None:
    process = prepare()
    tip = mine(started(process), 2)
    shown = pouw("node", "info", "--json", *at(process))
    assert shown.returncode == 0
    info: dict[str, Any] = json.loads(shown.stdout)
    assert (info["tip"], info["height"], info["network"]) == (tip, 2, "tiny")
    assert tip in pouw("node", "info", *at(process)).stdout
    assert json.loads(pouw("node", "peers", "--json", *at(process)).stdout) == []
    refused = pouw("node", "stop", "--token", "wrong", *at(process))
    assert refused.returncode == 1 and "without its token" in refused.stderr
    assert pouw("node", "stop", *at(process)).returncode == 0
    assert ended(process) == 0
    gone = pouw("node", "info", *at(process))
    assert gone.returncode == 1
    assert gone.stderr.startswith("error: no node answers at ")
    assert gone.stderr.count("\n") == 1


def test_chain_commands(prepare: Prepare, mine: Mine) -> None:
    process = prepare()
    tip = mine(started(process), 2)
    by_height = json.loads(pouw("chain", "block", "2", "--json", *at(process)).stdout)
    by_id = json.loads(pouw("chain", "block", tip.upper(), "--json", *at(process)).stdout)
    assert by_height == by_id and by_id["id"] == tip
    assert tip in pouw("chain", "block", "2", *at(process)).stdout
    for which in ("3", "-1", "abc"):
        missing = pouw("chain", "block", *at(process), "--", which)
        assert missing.returncode == 1 and missing.stderr.startswith("error: ")
    supply = json.loads(pouw("chain", "supply", "--json", *at(process)).stdout)
    assert supply["circulating"] == supply["emitted"] - supply["burned"]
    assert "1000100 POUW" in pouw("chain", "supply", *at(process)).stdout
    usefulness = pouw("chain", "usefulness", "--blocks", "1", "--json", *at(process))
    assert json.loads(usefulness.stdout)["from_height"] == 2


def test_a_used_port_is_named_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        for option in ("--p2p-port", "--rpc-port"):
            refused = pouw(*run_in(tmp_path / "data", option, port))
            assert refused.returncode == 1
            (line,) = [x for x in refused.stderr.splitlines() if x.startswith("error: ")]
            assert f"port {port}" in line
            assert "Traceback" not in refused.stderr


def test_a_foreign_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear diary")
    refused = pouw(*run_in(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ") and refused.stderr.count("\n") == 1
    assert "not a pouw database" in refused.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


def test_a_damaged_folder_is_refused_in_one_line(prepare: Prepare, mine: Mine) -> None:
    process = prepare()
    mine(started(process), 2)
    process.stop()
    for table in (process.data / "leveldb").iterdir():
        if table.suffix in (".ldb", ".log") and table.stat().st_size > 100:
            content = bytearray(table.read_bytes())
            content[len(content) // 2] ^= 1
            table.write_bytes(content)
    refused = pouw(*run_in(process.data))
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ") and refused.stderr.count("\n") == 1
    assert "damaged" in refused.stderr


def test_a_folder_in_use_is_refused_in_one_line(prepare: Prepare) -> None:
    process = prepare()
    client = started(process)
    refused = pouw(*run_in(process.data))
    assert refused.returncode == 1
    assert "in use by another running node" in refused.stderr
    assert client.call("getinfo")["height"] == 0
