"""Child processes of a local network: started with a log, stopped for certain.

Each runs in a process group of its own, so that Ctrl-C in the terminal reaches only the parent,
which then stops its children in order; on Linux the kernel also ends a child whose parent died.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..core.errors import UserError
from ..wallet.client import RpcClient

STOP_SECONDS: Final = 10.0
"""How long a process may take to end after SIGTERM before it is killed."""
START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
_LOG_TAIL_LINES: Final = 5
_PR_SET_PDEATHSIG: Final = 1


class ManagedProcess:
    """One child process. Its output goes to a log file."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path) -> None:
        """Plan `python -m module arguments…`; nothing runs before `start`."""
        self.name: Final = name
        self.log: Final = log
        self.command: Final = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The running process, or None."""
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Run the command, appending to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def stop(self) -> None:
        """Ask the process to end, and make it if it does not."""
        self.signal(signal.SIGTERM)
        self._reap(STOP_SECONDS)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.signal(signal.SIGKILL)
        self._reap(STOP_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)  # with whatever it started itself

    def tail(self) -> str:
        """Return the last lines of the log, for an error message."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def _reap(self, seconds: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()


class NodeProcess(ManagedProcess):
    """A full node with its own folder and ports."""

    def __init__(self, name: str, folder: Path, network: str, connect: Sequence[str] = ()) -> None:
        """Plan a node of `network` in `folder` that dials `connect` (host:port each)."""
        self.data: Final = folder / name
        self.p2p_port: Final = free_port()
        self.rpc_port: Final = free_port()
        arguments = ["node", "run", "--network", network, "--data", str(self.data)]
        arguments += ["--p2p-port", str(self.p2p_port), "--rpc-port", str(self.rpc_port)]
        for address in connect:
            arguments += ["--connect", address]
        super().__init__(name, "pouw.cli.main", arguments, folder / f"{name}.log")

    @property
    def address(self) -> str:
        """host:port for peers."""
        return f"127.0.0.1:{self.p2p_port}"

    @property
    def url(self) -> str:
        """Where its RPC answers."""
        return f"http://127.0.0.1:{self.rpc_port}"

    @property
    def token_file(self) -> Path:
        """File with the token of its RPC, made anew at every start."""
        return self.data / "rpc.token"

    def client(self) -> RpcClient:
        """Return a client with the node's token. The node must be up."""
        return RpcClient(self.url, self.token_file.read_text().strip())

    def wait_ready(self, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Return `getinfo` once the node answers. Raises UserError with its last log lines."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.running:
            try:
                if self.token_file.exists():
                    return self.client().call("getinfo")
            except UserError:
                pass  # not listening yet
            time.sleep(_POLL_SECONDS)
        raise UserError(f"{self.name} did not start; its log {self.log} ends:\n{self.tail()}")


class MinerProcess(ManagedProcess):
    """A `pouw-miner` for one node."""

    def __init__(
        self,
        name: str,
        folder: Path,
        node: NodeProcess,
        wallet: Path,
        password_file: Path,
        payout: str,
        options: Sequence[str],
    ) -> None:
        """Plan a CPU miner with further options of the command line."""
        arguments = ["run", "--node", node.url, "--token-file", str(node.token_file)]
        arguments += ["--wallet", str(wallet), "--password-file", str(password_file)]
        arguments += ["--payout", payout, "--device", "cpu", *options]
        super().__init__(name, "pouw.cli.miner", arguments, folder / f"{name}.log")


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent dies without a chance to do so."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)
