"""A real node of the tiny network in a thread, a funded wallet file, and a way to run commands."""

import asyncio
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import click
import numpy as np
import structlog
from click.testing import CliRunner
from numpy.typing import NDArray
from pouw.cli.main import pouw, run
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.block import Header, seal
from pouw.core.codec import decode, encode
from pouw.core.keys import PrivateKey, format_address
from pouw.core.transaction import Body
from pouw.genesis import TINY
from pouw.genesis.networks import DEVNET_FAUCET
from pouw.node.config import NodeConfig
from pouw.node.logs import configure_logs
from pouw.node.service import Node
from pouw.node.token import TOKEN_FILE
from pouw.vm.ops import Matmul
from pouw.vm.program import Program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.wallet import bodies, keystore
from pouw.wallet.client import RpcClient
from pouw.wallet.keystore import ScryptCost
from pouw.wallet.session import Pace, Sent, Session

COIN: Final = 10**9
PASSWORD: Final = "a password of the test"
PHRASE: Final = "legal winner thank year wave sausage worth useful legal winner thank yellow"
MINER: Final = PrivateKey(b"the key of the miner in the test")
WORKER: Final = PrivateKey(b"the hot key of a worker, a miner")
FRIEND: Final = PrivateKey(b"a person who is paid in the test")
CHEAP: Final = ScryptCost(n=16, r=8, p=1)
SHAPE: Final = Shape(16, 16, 256)
"""Wins with every ticket on the tiny network."""
FUNDS: Final = 1_000 * COIN
ITEMS: Final = 3

_RNG: Final = np.random.default_rng(7)
WEIGHTS: Final[NDArray[np.int8]] = _RNG.integers(-63, 64, (8, 16), dtype=np.int8)
DATA: Final[NDArray[np.int8]] = _RNG.integers(-64, 64, (ITEMS, 16), dtype=np.int8)
OUTPUT: Final[NDArray[np.int32]] = DATA.astype(np.int32) @ WEIGHTS.astype(np.int32).T
PROGRAM: Final = Program(
    1,
    Declaration(TensorType(DType.INT8, (16,)), Interval(-64, 63)),
    (Declaration(TensorType(DType.INT8, (8, 16)), Interval(-63, 63)),),
    (Matmul(0, 1),),
)
"""One product that every node recomputes."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a failed command says, its notes before spending aside."""
        assert self.code == 1, self
        assert "Traceback" not in self.err, self.err
        lines = self.err.splitlines()
        assert [line.startswith("error: ") for line in lines].index(True) == len(lines) - 1
        return lines[-1].removeprefix("error: ")


def command(
    *arguments: str | Path, stdin: str | bytes = "", env: dict[str, str] | None = None
) -> Ended:
    """Run `pouw` as its entry point does, without a terminal and with no settings but `env`."""
    names = ("NETWORK", "DATA", "RPC", "RPC_TOKEN", "WALLET", "WALLET_PASSWORD", "DEBUG")
    settings: dict[str, str | None] = {f"POUW_{name}": None for name in names}
    words = [str(argument) for argument in arguments]
    whole = click.Command("whole", callback=lambda: run(pouw, "pouw", words))
    result = CliRunner().invoke(whole, [], input=stdin, env={**settings, **(env or {})})
    return Ended(result.exit_code, result.stdout, result.stderr)


def on_terminal(
    arguments: Sequence[str | Path], answers: Sequence[tuple[str, str]], env: dict[str, str]
) -> tuple[int, str]:
    """Run `pouw` on a terminal; type each answer when its question appears.

    Returns the exit status and all that the terminal showed.
    """
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "pouw.cli.main", *map(str, arguments)]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, env={**kept, **env}, start_new_session=True
    )
    os.close(slave)
    shown, waiting = "", list(answers)
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # EIO: the last program on this terminal has ended
            piece = b""
        if not piece:
            break
        shown += piece.decode("utf-8", "replace")
        if waiting and waiting[0][0] in shown.rpartition("\n")[2]:
            os.write(master, f"{waiting.pop(0)[1]}\n".encode())
    os.close(master)
    return process.wait(60), shown


class Town:
    """A running node, who mines on it, and the wallet of a person."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.folder: Final = folder
        self.wallet: Final = folder / "wallet.json"
        self.url: Final = f"http://127.0.0.1:{node.rpc_port}"
        token = (node.config.data / TOKEN_FILE).read_text().strip()
        self.env: Final = {
            "POUW_NETWORK": "tiny",
            "POUW_RPC": self.url,
            "POUW_RPC_TOKEN": token,
            "POUW_WALLET": str(self.wallet),
            "POUW_WALLET_PASSWORD": PASSWORD,
            "XDG_DATA_HOME": str(folder / "xdg"),
        }
        self.client: Final = RpcClient(self.url, token)
        self._lock: Final = threading.Lock()
        created = keystore.create(self.wallet, TINY, PHRASE, PASSWORD, cost=CHEAP)
        self.key: Final = created.key()
        self.address: Final = address(self.key)
        self.fund(self.key.address)

    def pouw(self, *arguments: str | Path, **env: str) -> Ended:
        """Run a command with the settings of this town's person."""
        return command(*arguments, env={**self.env, **env})

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks with whatever waits."""
        for _ in range(blocks):
            with self._lock:
                answer = self.client.call(
                    "gettemplate", miner=MINER.public.hex(), payout=address(MINER)
                )
                header = decode(Header, bytes.fromhex(answer["header"]), 1024)
                head, opening = prove(header.sigma, SHAPE, Tag(), None, None, (0, 0))
                self.client.call(
                    "submitsolution",
                    template=answer["id"],
                    head=encode(head).hex(),
                    opening=encode(opening).hex(),
                    signature=seal(MINER, header, head).signature.hex(),
                )

    @contextmanager
    def mining(self) -> Generator[None]:
        """Mine a block whenever something waits for one."""
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(0.02):
                if self.client.call("getmempool", limit=1)["count"]:
                    self.mine()

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def session(self, key: PrivateKey) -> Session:
        """A session of a key that mines a block instead of sleeping."""
        return Session(self.client, TINY, key, pace=Pace(sleep=lambda _: self.mine()))

    def send(self, key: PrivateKey, body: Body) -> Sent:
        """Put a transaction into a block."""
        session = self.session(key)
        sent = session.send(body)
        session.wait_included(sent, "a transaction", session.patience(30))
        return sent

    def fund(self, to: bytes, amount: int = FUNDS) -> None:
        """Pay from the faucet."""
        self.send(DEVNET_FAUCET, bodies.transfer([(to, amount)]))

    def balance(self, key: PrivateKey) -> int:
        """What a key has on the chain."""
        return self.client.call("getaccount", address=address(key))["balance"]

    def job(self, identity: str) -> Any:
        """A job as the node tells it."""
        return self.client.call("getjob", id=identity)

    def work(self, identity: str, output: bytes) -> None:
        """Claim, compute and settle a job as a worker does."""
        self.fund(WORKER.address)
        raw, salt = bytes.fromhex(identity), bytes(32)
        self.send(WORKER, bodies.claim_job(raw))
        self.mine()
        self.send(WORKER, bodies.commit_result(WORKER.address, raw, output, salt))
        self.send(WORKER, bodies.settle_job(raw, output, salt))
        self.mine(TINY.settle_window)

    def model_files(self) -> tuple[Path, Path]:
        """Write the program and its weights; return where."""
        program, weights = self.folder / "layer.program", self.folder / "layer.weights"
        program.write_bytes(encode_program(PROGRAM))
        weights.write_bytes(WEIGHTS.tobytes())
        return program, weights

    def register(self) -> str:
        """Register the model by command and return its id."""
        program, weights = self.model_files()
        with self.mining():
            ended = self.pouw(
                "model", "register", "--program", program, "--weights", weights, "--name", "a layer"
            )
        assert ended.code == 0, ended
        return ended.out.strip()


def address(key: PrivateKey) -> str:
    """A key's address on the tiny network."""
    return format_address(key.address, TINY.address_prefix)


@contextmanager
def open_town(folder: Path) -> Generator[Town]:
    """Run a node in a thread of its own, and fund a person's wallet."""
    with (folder / "node.log").open("w") as log, _logs_to(log), _running(folder) as node:
        yield Town(folder, node)


@contextmanager
def _logs_to(stream: TextIO) -> Generator[None]:
    """Keep the node's log out of the commands' output."""
    before = structlog.get_config()
    configure_logs(stream)
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def _running(folder: Path) -> Generator[Node]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Node:
        node = Node(NodeConfig("tiny", folder / "node", 0, 0, p2p_host="127.0.0.1"))
        await node.start()
        return node

    try:
        node = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        try:
            yield node
        finally:
            asyncio.run_coroutine_threadsafe(node.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def files_in(folder: Path) -> set[Path]:
    """Every file below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}
