"""What this machine does: plain, useful and idle multiply-accumulates per second."""

import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from ..consensus.ticket import Operand, Tag
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.hashing import Hash
from .devices import Device

SHAPES: Final = ((256, 1024, 1024), (1024, 1024, 1024), (2048, 2048, 2048), (16, 4096, 4096))
_SIGMA: Final[Hash] = bytes(range(32))
_NO_WINNERS: Final = 1 << 240
"""A difficulty at which nothing is found."""


def measure(device: Device, shape: tuple[int, int, int], repeats: int) -> dict[str, float | int]:
    """Return one row of figures for an (m, n, k), each speed in MACs per second, medians.

    useful: both operands given, tickets drawn, the exact product returned; idle: both zero. B is
    noised beforehand, as it is once per block template.
    """
    m, n, k = shape
    random = np.random.default_rng(1)
    a = Operand.commit(random.integers(-64, 64, (m, k), np.int8))
    b = Operand.commit(random.integers(-64, 64, (n, k), np.int8))
    noised = device.noise_b(_SIGMA, b, n, k)
    blank = device.noise_b(_SIGMA, None, n, k)

    def plain() -> None:
        device.multiplier.matmul(a.values, b.values)

    def useful() -> None:
        noised.start(m, a.tree.root, Tag(), _NO_WINNERS).mine_rows(a.values, 0, m)

    def idle() -> None:
        blank.start(m, ZERO_OPERAND_ROOT, Tag(), _NO_WINNERS).mine_rows(None, 0, m)

    speeds = [m * n * k / _median_seconds(call, repeats) for call in (plain, useful, idle)]
    return {
        "m": m,
        "n": n,
        "k": k,
        "plain_macs_per_s": round(speeds[0]),
        "useful_macs_per_s": round(speeds[1]),
        "idle_macs_per_s": round(speeds[2]),
        "useful_ratio": round(speeds[1] / speeds[0], 3),
    }


def _median_seconds(call: Callable[[], None], repeats: int) -> float:
    call()
    times: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
