"""A devnet of real processes on this machine: nodes, miners and a user with funds.

Every process has its own folder and log below the cluster's. The wallets' password is no secret:
devnet coins are worth nothing.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ..core.errors import UserError
from ..core.keys import PrivateKey, format_address
from ..core.units import BASE_UNITS_PER_POUW
from ..genesis import DEVNET, Params
from ..genesis.networks import DEVNET_FAUCET
from ..wallet import bodies, keystore
from ..wallet.mnemonic import generate_phrase
from ..wallet.session import Pace, Progress, Session, silent
from .process import MinerProcess, NodeProcess

PASSWORD: Final = "devnet"
USER_FUNDS: Final = 20_000 * BASE_UNITS_PER_POUW
WORKER_FUNDS: Final = 5_000 * BASE_UNITS_PER_POUW
PACE: Final = Pace(poll_seconds=0.25)
FUNDING_SECONDS: Final = 120.0

_MARK: Final = ".pouw-devnet"
"""Marks a folder as ours, so that nothing else is ever deleted."""
_WALLET_COST: Final = keystore.ScryptCost(n=1 << 12, r=8, p=1)


class Cluster:
    """Starts and stops a devnet; a context manager, so that nothing is left running."""

    def __init__(
        self, folder: Path, nodes: int, miners: Sequence[Sequence[str]], params: Params = DEVNET
    ) -> None:
        """Plan the network in an emptied `folder`; `miners` has the options of each miner.

        Raises UserError when the folder holds anything but an earlier devnet.
        """
        self.folder: Final = folder
        self.params: Final = params
        self._lock: Final = _prepare(folder)
        self.password_file: Final = folder / "password.txt"
        self.password_file.write_text(PASSWORD + "\n")
        self.user: Final = self._new_wallet("user")
        self.nodes: Final[list[NodeProcess]] = []
        for i in range(nodes):
            # A line, not a star: nodes must find the others by themselves.
            connect = [self.nodes[-1].address] if self.nodes else []
            self.nodes.append(NodeProcess(f"node{i + 1}", folder, params.name, connect))
        self.workers: Final = [self._new_wallet(f"worker{i + 1}") for i in range(len(miners))]
        self.miners: Final = [
            MinerProcess(
                f"miner{i + 1}",
                folder,
                self.nodes[i % nodes],
                self.wallet_path(f"worker{i + 1}"),
                self.password_file,
                self.address(key),
                options,
            )
            for i, (key, options) in enumerate(zip(self.workers, miners, strict=True))
        ]

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, progress: Progress = silent) -> None:
        """Start everything and fund the wallets. Raises UserError naming what did not come up."""
        for process in self.nodes:
            process.start()
        for done, node in enumerate(self.nodes):
            progress("starting nodes", done, len(self.nodes))
            node.wait_ready()
        progress("starting nodes", len(self.nodes), len(self.nodes))
        for miner in self.miners:
            miner.start()
        if self.miners:
            self._fund(progress)

    def stop(self) -> None:
        """Stop miners, then nodes."""
        for process in (*self.miners, *self.nodes):
            process.stop()
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def wallet_path(self, name: str) -> Path:
        """Return where a wallet file lies: "user", or "worker1" and so on."""
        return self.folder / f"{name}.wallet.json"

    def address(self, key: PrivateKey) -> str:
        """Write a key's address as people see it."""
        return format_address(key.address, self.params.address_prefix)

    def session(self, node: int, key: PrivateKey, progress: Progress = silent) -> Session:
        """Return a session of a key at one of the nodes, counted from 0."""
        return Session(self.nodes[node].client(), self.params, key, progress, PACE)

    def infos(self) -> list[dict[str, Any]]:
        """Return every node's `getinfo`."""
        return [node.client().call("getinfo") for node in self.nodes]

    def wait_agreement(self, seconds: float) -> bool:
        """Wait until all nodes name the same tip and state root; tell whether they do."""
        end = time.monotonic() + seconds
        while True:
            if len({(info["tip"], info["state_root"]) for info in self.infos()}) == 1:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(PACE.poll_seconds)

    def check_alive(self) -> None:
        """Raise UserError when a process has ended by itself."""
        for process in (*self.nodes, *self.miners):
            if not process.running:
                raise UserError(
                    f"{process.name} has ended with {process.exit_code}; its log {process.log} "
                    f"ends:\n{process.tail()}"
                )

    def _fund(self, progress: Progress) -> None:
        """Send the faucet's money; this takes the network's first block."""
        payments = [(self.user.address, USER_FUNDS)]
        payments += [(worker.address, WORKER_FUNDS) for worker in self.workers]
        faucet = self.session(0, DEVNET_FAUCET)
        progress("funding wallets", 0, 1)
        sent = faucet.send(bodies.transfer(payments))
        faucet.wait_included(sent, "the faucet's transfer", faucet.patience(FUNDING_SECONDS))
        progress("funding wallets", 1, 1)

    def _new_wallet(self, name: str) -> PrivateKey:
        phrase = generate_phrase(12)
        path = self.wallet_path(name)
        return keystore.create(path, self.params, phrase, PASSWORD, cost=_WALLET_COST).key()


def _prepare(folder: Path) -> int:
    """Empty a folder of an earlier devnet and lock it; return the lock's descriptor."""
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
            raise UserError(f"{folder} is not empty and holds no devnet: choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _MARK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise UserError(f"a devnet is running in {folder}: choose another folder") from None
        _remove_all_but_mark(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be used for a devnet: {error.strerror}") from None
    return lock


def _remove_all_but_mark(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _MARK:
            entry.unlink()
