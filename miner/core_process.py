"""CPU cores as devices: each multiplies in a process of its own."""

import subprocess
import sys
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket import Operand, Tag
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.errors import UserError
from ..core.hashing import Hash, u256
from ..vm.multiplier import Multiplier
from .core_messages import (
    Drop,
    Failed,
    Mine,
    Mined,
    Multiply,
    Noise,
    Reply,
    Request,
    Start,
    receive_reply,
    send,
)
from .devices import CPU_IDLE_COLUMNS, NoisedB, RowMiner
from .processor import describe_processor

if TYPE_CHECKING:
    from ..kernels.cpu import MinedRows

_END_SECONDS: Final = 2.0


class CoreLost(Exception):
    """The process of a core has ended, or says that it cannot go on."""


class CoreProcess:
    """One CPU core. Its process starts with it; `wait_ready` tells whether that went well."""

    def __init__(self, name: str) -> None:
        """Start a process; `name` is the device's ("cpu:0")."""
        self.name = name
        self.description = describe_processor()
        self.idle_columns = CPU_IDLE_COLUMNS
        self._numbers = count()
        self._dropped: list[int] = []
        self._process = _start()

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        return self._process.pid

    @property
    def multiplier(self) -> Multiplier:
        """Plain products."""
        return self

    def wait_ready(self) -> None:
        """Wait until it multiplies. Raises UserError saying why it does not."""
        try:
            self._receive()
        except CoreLost as loss:
            self.close()
            raise UserError(f"device {self.name}: {loss}") from None

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """See `Multiplier.matmul`."""
        mined = self._ask(Multiply(a.tobytes(), b_t.tobytes(), a.shape[1]))
        return _product(mined, len(a), len(b_t))

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        """See `Device.noise_b`."""
        values = None if b is None else b.values.tobytes()
        root = ZERO_OPERAND_ROOT if b is None else b.tree.root
        name = self.new_name()
        self.tell(Noise(name, sigma, values, root, n, k))
        return _CoreNoisedB(self, name, n)

    def reopen(self) -> None:
        """End the process and start another. Raises UserError saying why it is unusable."""
        self.close()
        self._dropped.clear()
        self._process = _start()
        self.wait_ready()

    def close(self) -> None:
        """End the process."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # unsent frames of a process that has gone
                    pipe.close()
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)

    def new_name(self) -> int:
        """Return a name for something that the process is to remember."""
        return next(self._numbers)

    def drop(self, name: int) -> None:
        """Let the process forget something, with the next request."""
        self._dropped.append(name)

    def tell(self, request: Request) -> None:
        """Send a request that has no reply. Raises CoreLost."""
        pipe = self._process.stdin
        try:
            if pipe is None:
                raise CoreLost("its process has no input")
            if self._dropped:
                send(pipe, Drop([self._dropped.pop() for _ in range(len(self._dropped))]))
            send(pipe, request)
        except (OSError, ValueError):
            raise CoreLost(self._end()) from None

    def _ask(self, request: Request) -> Mined:
        self.tell(request)
        reply = self._receive()
        if not isinstance(reply, Mined):
            raise CoreLost("its process answered something else")
        return reply

    def _receive(self) -> Reply:
        pipe = self._process.stdout
        try:
            if pipe is None:
                raise CoreLost("its process has no output")
            reply = receive_reply(pipe)
        except (EOFError, OSError, ValueError):
            raise CoreLost(self._end()) from None
        if isinstance(reply, Failed):
            raise CoreLost(reply.why)
        return reply

    def _end(self) -> str:
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process does not answer"
        return f"its process ended with status {status}"

    def mine(self, request: Mine, n: int) -> "MinedRows":
        """Mine rows of a pass n columns wide. Raises CoreLost."""
        from ..kernels.cpu import MinedRows  # noqa: PLC0415 - needs torch
        from ..kernels.tickets import Winner  # noqa: PLC0415

        mined = self._ask(request)
        rows = request.row1 - request.row0
        product = None if mined.product is None else _product(mined, rows, n)
        return MinedRows(product, [Winner(*won) for won in mined.winners], mined.tiles)


class _CoreNoisedB:
    def __init__(self, core: CoreProcess, name: int, n: int) -> None:
        self._core, self._name, self._n = core, name, n

    def __del__(self) -> None:
        self._core.drop(self._name)

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        name = self._core.new_name()
        tagged = (tag.nonce, tag.job_id, tag.op)
        self._core.tell(Start(name, self._name, m, root_a, *tagged, u256(difficulty)))
        return _CoreRows(self._core, name, self._n)


class _CoreRows:
    def __init__(self, core: CoreProcess, name: int, n: int) -> None:
        self._core, self._name, self._n = core, name, n

    def __del__(self) -> None:
        self._core.drop(self._name)

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> "MinedRows":
        rows = None if a_rows is None else a_rows.tobytes()
        return self._core.mine(Mine(self._name, rows, row0, row1), self._n)


def open_cores(number: int) -> list[CoreProcess]:
    """Return as many CPU cores, started side by side. Raises UserError when one is unusable."""
    cores: list[CoreProcess] = []
    try:
        for index in range(number):
            cores.append(CoreProcess(f"cpu:{index}"))
        for core in cores:
            core.wait_ready()
    except (OSError, UserError) as error:
        for core in cores:
            core.close()
        raise UserError(str(error)) from None
    return cores


def _start() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", f"{__package__}.core_server"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _product(mined: Mined, rows: int, columns: int) -> NDArray[np.int32]:
    if mined.product is None:
        raise CoreLost("its process returned no product")
    return np.frombuffer(mined.product, np.int32).reshape(rows, columns)
