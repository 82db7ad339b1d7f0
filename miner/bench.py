"""What this machine does: speeds of multiplying and mining, tickets, and the time to verify one."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

import numpy as np

from ..consensus.ticket import Operand, Shape, Tag, check_head, check_opening, prove
from ..consensus.ticket.constants import TILE_AREA
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.hashing import Hash
from .devices import Device, use_one_thread

SHAPES: Final = ((256, 1024, 1024), (1024, 1024, 1024), (2048, 2048, 2048), (16, 4096, 4096))
_SIGMA: Final[Hash] = bytes(range(32))
_NO_WINNERS: Final = 1 << 240
"""A difficulty at which nothing is found."""
_ALL_WIN: Final = 1

Row: TypeAlias = dict[str, float | int | str]


class Interrupted(Exception):
    """Whoever asked for figures wants none any more."""


def measure(
    devices: Sequence[Device], shape: tuple[int, int, int], repeats: int, stop: threading.Event
) -> list[Row]:
    """Return one row of figures per device for an (m, n, k), each speed in MACs per second.

    useful: both operands given, tickets drawn, the exact product returned; idle: both zero. B is
    noised beforehand, as it is once per block template. A ticket stands for 256·k MACs whatever
    the shape, so tickets per second follow from the speeds. verify_ms is what every node spends
    on one block's proof of this shape, with both operands given.

    All devices work at the same time, as they do while mining: cores share memory and power.
    Raises Interrupted soon after `stop` is set.
    """
    m, n, k = shape
    random = np.random.default_rng(1)
    a = Operand.commit(random.integers(-64, 64, (m, k), np.int8))
    b = Operand.commit(random.integers(-64, 64, (n, k), np.int8))
    verify_ms = round(1000 * _verify_seconds(a, b, repeats, stop), 3)

    def run(device: Device) -> Row:
        return _speeds(device, a, b, repeats, stop)

    with ThreadPoolExecutor(len(devices), initializer=use_one_thread) as threads:
        try:
            rows = list(threads.map(run, devices))
        except BaseException:  # Ctrl-C as well: the threads are waited for
            stop.set()
            raise
    return [row | {"verify_ms": verify_ms} for row in rows]


def together(rows: list[Row]) -> int:
    """Return the idle MACs per second of all devices together at their best common shape."""
    speeds: dict[tuple[object, ...], int] = {}
    for row in rows:
        shape = (row["m"], row["n"], row["k"])
        speeds[shape] = speeds.get(shape, 0) + int(row["idle_macs_per_s"])
    return max(1, *speeds.values())


def _speeds(device: Device, a: Operand, b: Operand, repeats: int, stop: threading.Event) -> Row:
    (m, k), n = a.values.shape, len(b.values)
    noised = device.noise_b(_SIGMA, b, n, k)
    blank = device.noise_b(_SIGMA, None, n, k)

    def plain() -> None:
        device.multiplier.matmul(a.values, b.values)

    def useful() -> None:
        noised.start(m, a.tree.root, Tag(), _NO_WINNERS).mine_rows(a.values, 0, m)

    def idle() -> None:
        blank.start(m, ZERO_OPERAND_ROOT, Tag(), _NO_WINNERS).mine_rows(None, 0, m)

    calls = (plain, useful, idle)
    speeds = [m * n * k / _median_seconds(call, repeats, stop) for call in calls]
    return {
        "device": device.name,
        "m": m,
        "n": n,
        "k": k,
        "plain_macs_per_s": round(speeds[0]),
        "useful_macs_per_s": round(speeds[1]),
        "idle_macs_per_s": round(speeds[2]),
        "useful_ratio": round(speeds[1] / speeds[0], 3),
        "useful_tickets_per_s": round(speeds[1] / (TILE_AREA * k), 1),
        "idle_tickets_per_s": round(speeds[2] / (TILE_AREA * k), 1),
    }


def _verify_seconds(a: Operand, b: Operand, repeats: int, stop: threading.Event) -> float:
    """Return how long consensus takes to check a proof about these operands."""
    shape = Shape(len(a.values), len(b.values), a.values.shape[1])
    head, opening = prove(_SIGMA, shape, Tag(), a, b, (0, 0))

    def verify() -> None:
        check_head(_SIGMA, head, _ALL_WIN)
        check_opening(_SIGMA, head, opening)

    return _median_seconds(verify, repeats, stop)


def _median_seconds(call: Callable[[], None], repeats: int, stop: threading.Event) -> float:
    call()
    times: list[float] = []
    for _ in range(repeats):
        if stop.is_set():
            raise Interrupted
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
