"""The process of one CPU core: multiplies what its miner sends, until the pipe is closed.

Python runs one thread at a time between the calls of a kernel, so that threads in one process leave
part of every core unused; processes do not.
"""

import os
import signal
import sys
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket import Tag
from ..core.hashing import read_u256
from .core_messages import (
    Drop,
    Failed,
    Mine,
    Mined,
    Multiply,
    Noise,
    Ready,
    Request,
    Start,
    receive_request,
    send,
)
from .devices import open_cpu, use_one_thread

_STDOUT: Final = 1
_STDERR: Final = 2


def main() -> None:
    """Serve the process's standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the miner as well
    replies = os.fdopen(os.dup(_STDOUT), "wb")
    os.dup2(_STDERR, _STDOUT)  # whatever else is printed must not get between frames
    try:
        serve(sys.stdin.buffer, replies)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        send(replies, Failed(str(error).strip() or type(error).__name__))


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests in order. Raises EOFError at their end, and whatever goes wrong."""
    use_one_thread()
    core = _Core()
    send(replies, Ready())
    while True:
        reply = core.answer(receive_request(requests))
        if reply is not None:
            send(replies, reply)


class _Core:
    def __init__(self) -> None:
        from ..kernels import cpu  # noqa: PLC0415 - needs torch

        self._multiplier = open_cpu().multiplier
        self._kernels = cpu
        self._noised: dict[int, cpu.NoisedOperandB] = {}
        self._passes: dict[int, cpu.MiningPass] = {}

    def answer(self, request: Request) -> Mined | None:
        match request:
            case Noise(name, sigma, values, root, n, k):
                rows = None if values is None else _matrix(values, k)
                self._noised[name] = self._kernels.NoisedOperandB(sigma, rows, root, n, k)
            case Start(name, noised, m, root_a, nonce, job, op, difficulty):
                b, tag = self._noised[noised], Tag(nonce, job, op)
                work = read_u256(difficulty)
                self._passes[name] = self._kernels.MiningPass(b, m, root_a, tag, work)
            case Mine():
                return self._mine(request)
            case Multiply(a, b, k):
                product = self._multiplier.matmul(_matrix(a, k), _matrix(b, k))
                return Mined(product.tobytes())
            case Drop(names):
                for name in names:
                    self._noised.pop(name, None)
                    self._passes.pop(name, None)
        return None

    def _mine(self, request: Mine) -> Mined:
        one = self._passes[request.name]
        rows = None if request.a is None else _matrix(request.a, one.shape.k)
        mined = one.mine_rows(rows, request.row0, request.row1)
        product = None if mined.product is None else mined.product.tobytes()
        winners = [(won.tile_row, won.tile_col, won.lanes) for won in mined.winners]
        return Mined(product, winners, mined.tiles)


def _matrix(data: bytes, columns: int) -> NDArray[np.int8]:
    return np.frombuffer(data, np.int8).reshape(-1, columns)


if __name__ == "__main__":
    main()
