"""`pouw devnet up` left running while a second terminal uses it, as the README tells people to.

One network for the whole file; the tests build on each other in order. The second terminal is the
real command line in processes of its own.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pouw.core.codec import encode
from pouw.core.keys import PrivateKey, format_address
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.mlp import QuantisedMlp, quantise_mlp
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.wallet.client import RpcClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

IMAGES = 16
FEATURES, HIDDEN, CLASSES = 64, 512, 10
READY_SECONDS = 60.0
STEP_SECONDS = 120.0
FRIEND = format_address(PrivateKey(b"somebody who never mines a block").address, "dpouw")


class Devnet:
    """The process of the first terminal, what it printed, and commands in a second one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "net"
        command = ["devnet", "up", "--nodes", "3", "--miners", "2", "--idle-rate", "30M"]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "pouw.cli.main", *command, "--folder", str(self.folder)],
            stdout=(folder / "up.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.log = folder / "up.log"

    def wait_ready(self) -> None:
        """Wait for the closing line of what it prints."""
        end = time.monotonic() + READY_SECONDS
        while "Ctrl-C ends it all" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def printed(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())

    @property
    def urls(self) -> list[str]:
        return self.printed(r"node\d\s+RPC (\S+)")

    @property
    def miner_pids(self) -> list[int]:
        return [int(pid) for pid in self.printed(r"miner\d\s+pid (\d+)")]

    def pouw(self, *arguments: str, node: int = 0, check: bool = True) -> str:
        """Run a command of the second terminal against one node; return what it prints."""
        environment = os.environ | {
            "POUW_NETWORK": "devnet",
            "POUW_RPC": self.urls[node],
            "POUW_DATA": str(self.folder / f"node{node + 1}"),
            "POUW_WALLET": str(self.folder / "user.wallet.json"),
            "POUW_WALLET_PASSWORD": "devnet",
        }
        done = subprocess.run(
            [sys.executable, "-m", "pouw.cli.main", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr
        if check:
            assert done.returncode == 0, done.stderr + self.log.read_text()
        return done.stderr if done.returncode else done.stdout

    def json(self, *arguments: str, node: int = 0) -> Any:
        return json.loads(self.pouw(*arguments, "--json", node=node))

    def wait(self, what: str, seconds: float, ready: Any) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, f"waited {seconds} s for {what}"
            time.sleep(0.05)

    def job(self, job: str, node: int = 0) -> dict[str, Any]:
        """Ask by RPC: a command takes longer to start than a job may stay in one status."""
        return RpcClient(self.urls[node]).call("getjob", id=job)


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    net = Devnet(tmp_path_factory.mktemp("devnet"))
    try:
        net.wait_ready()
        yield net
    finally:
        if net.process.poll() is None:
            net.process.send_signal(signal.SIGINT)
            net.process.wait(60)


@pytest.fixture(scope="module")
def classifier() -> QuantisedMlp:
    """A network with random weights: what it answers does not matter, that all agree does."""
    random = np.random.default_rng(7)
    sizes = (FEATURES, HIDDEN, HIDDEN, CLASSES)
    layers = [
        (random.normal(size=(out, into)) / np.sqrt(into), random.normal(size=out) / 10)
        for into, out in itertools.pairwise(sizes)
    ]
    return quantise_mlp(layers, random.normal(size=(64, FEATURES)))


@pytest.fixture(scope="module")
def images(classifier: QuantisedMlp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "images.bin"
    random = np.random.default_rng(8)
    path.write_bytes(classifier.encoder.encode(random.normal(size=(IMAGES, FEATURES))))
    return path


@pytest.fixture(scope="module")
def model(
    devnet: Devnet, classifier: QuantisedMlp, tmp_path_factory: pytest.TempPathFactory
) -> str:
    folder = tmp_path_factory.mktemp("model")
    (folder / "program").write_bytes(encode(classifier.program))
    (folder / "weights").write_bytes(classifier.weights)
    files = ["--program", str(folder / "program"), "--weights", str(folder / "weights")]
    answer = devnet.json("model", "register", *files, "--name", "random perceptron")
    return answer["id"]


def plain_answer(classifier: QuantisedMlp, images: Path) -> list[int]:
    handler = plain_products(ReferenceMultiplier())
    checked = check_program(classifier.program)
    return (
        execute(checked, classifier.weights, images.read_bytes(), handler).output.ravel().tolist()
    )


def test_transfer_is_seen_by_another_node(devnet: Devnet) -> None:
    devnet.pouw("wallet", "send", FRIEND, "1.5", "--wait")
    devnet.wait(
        "the payment at node 3",
        STEP_SECONDS,
        lambda: devnet.json("wallet", "balance", FRIEND, node=2)["total"] == 1_500_000_000,
    )


def test_job_is_settled_with_the_exact_answer(
    devnet: Devnet, model: str, classifier: QuantisedMlp, images: Path, tmp_path: Path
) -> None:
    answer = devnet.json("job", "submit", model, "--input", str(images), "--yes", "--wait")
    assert devnet.json("job", "status", answer["job"])["worker"] == answer["worker"]
    output = tmp_path / "answer.npy"
    devnet.wait("node 2", STEP_SECONDS, lambda: devnet.job(answer["job"], 1)["status"] == "settled")
    devnet.pouw("job", "result", answer["job"], "--output", str(output), node=1)
    assert np.load(output).ravel().tolist() == plain_answer(classifier, images)


def test_stopped_node_catches_up_after_its_restart(devnet: Devnet) -> None:
    info = devnet.json("node", "info", node=2)
    devnet.pouw("node", "stop", node=2)
    devnet.wait("node 3 to end", 30, lambda: "node3 has ended with 0" in devnet.log.read_text())
    devnet.wait(
        "three blocks without node 3",
        STEP_SECONDS,
        lambda: devnet.json("node", "info")["height"] >= info["height"] + 3,
    )
    command = ["node", "run", "--network", "devnet", "--data", str(devnet.folder / "node3")]
    ports = ["--p2p-port", "0", "--rpc-port", devnet.urls[2].rpartition(":")[2]]
    with (devnet.folder / "node3-again.log").open("wb") as log:
        again = subprocess.Popen(
            [sys.executable, "-m", "pouw.cli.main", *command, *ports],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        target = devnet.json("node", "info")["height"]

        def caught_up() -> bool:
            found = devnet.pouw("node", "info", "--json", node=2, check=False)
            return found.startswith("{") and json.loads(found)["height"] >= target

        devnet.wait("node 3 to catch up", 60, caught_up)
    finally:
        again.send_signal(signal.SIGINT)
        assert again.wait(30) == 0


def test_job_of_a_killed_miner_is_finished_by_the_other(
    devnet: Devnet, model: str, classifier: QuantisedMlp, images: Path, tmp_path: Path
) -> None:
    job = devnet.json("job", "submit", model, "--input", str(images), "--yes")["job"]
    devnet.wait(
        "a claim", STEP_SECONDS, lambda: devnet.job(job)["status"] in ("claimed", "committed")
    )
    worker = devnet.job(job)["worker"]
    addresses = [json.loads((devnet.folder / f"worker{i}.wallet.json").read_text()) for i in (1, 2)]
    killed = next(i for i, wallet in enumerate(addresses) if worker in json.dumps(wallet))
    os.kill(devnet.miner_pids[killed], signal.SIGKILL)
    devnet.wait("the settlement", 240, lambda: devnet.job(job)["status"] == "settled")
    settled = devnet.job(job)
    assert settled["openings"] == 1, "the job was not opened again"
    assert settled["worker"] != worker
    output = tmp_path / "answer.npy"
    devnet.pouw("job", "result", job, "--output", str(output))
    assert np.load(output).ravel().tolist() == plain_answer(classifier, images)


def test_supply_adds_up(devnet: Devnet) -> None:
    supply = devnet.json("chain", "supply")
    assert supply["circulating"] == supply["emitted"] - supply["burned"]


def test_a_used_port_is_named(devnet: Devnet, tmp_path: Path) -> None:
    port = devnet.urls[0].rpartition(":")[2]
    data = str(tmp_path / "other")
    said = devnet.pouw(
        "node", "run", "--data", data, "--p2p-port", "0", "--rpc-port", port, check=False
    )
    assert port in said.splitlines()[-1]


def test_ctrl_c_leaves_no_process_behind(devnet: Devnet) -> None:
    devnet.process.send_signal(signal.SIGINT)
    assert devnet.process.wait(60) == 130
    mine = f"{devnet.folder}".encode()
    left = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if mine in path.read_bytes() and int(path.parent.name) != os.getpid()
    ]
    assert not left, f"processes left: {left}"
