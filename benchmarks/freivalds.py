"""Checking a posted product beside recomputing it, one thread.

check: C·R = A·(B·R) as a node checks it, by the fastest way of this processor and by numpy's BLAS
alone; recompute: `torch._int_mm`, here and with torch kept to a smaller instruction set; floor: A,
B and C read once, at the bandwidth of one copy (bytes copied, not read plus written).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..consensus.freivalds import COLUMNS, ThinProducts, product_is_right
from ..kernels.blas import BlasThinProducts
from ..node.freivalds import chosen_thin_products
from .timing import median_seconds

SIZES = (1024, 2048, 4096)
LIMITS = ("AVX512_CORE_VNNI", "AVX2")
"""Values of ONEDNN_MAX_CPU_ISA under which recomputing is measured again, in a process each."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_TURNS = 3
_JOBS = 8
_SHARED_ROWS = (16, 64)


def run(device: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row per n, and one per m of eight jobs that share a 4096² weight."""
    if device != "cpu":
        raise SystemExit("freivalds: nodes check on the CPU")
    return _elsewhere("measured", repeats, {})


def measured(repeats: int) -> list[dict[str, Any]]:
    """Measure in this process, whose libraries run one thread."""
    limited = {limit: _elsewhere("recomputed", repeats, _limit(limit)) for limit in LIMITS}
    here = recomputed(repeats)
    rows: list[dict[str, Any]] = []
    for index, n in enumerate(SIZES):
        operands = _operands(n, n)
        calls = (
            _copying(6 * n * n),
            _checking(chosen_thin_products(), operands),
            _checking(BlasThinProducts(), operands),
        )
        floor, check, blas = alternating_ms(calls, _TURNS * repeats)
        row = {
            "n": n,
            "recompute_ms": round(here[index], 2),
            "check_ms": round(check, 2),
            "ratio": round(check / here[index], 3),
            "floor_ms": round(floor, 2),
            "over_floor": round(check / floor, 2),
            "blas_check_ms": round(blas, 2),
        }
        for limit, times in limited.items():
            row[f"recompute_{limit.lower()}_ms"] = round(times[index], 2)
        rows.append(row)
    return rows + [_shared_row(m, repeats) for m in _SHARED_ROWS]


def recomputed(repeats: int) -> list[float]:
    """Return milliseconds of torch's exact product for each n."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    times: list[float] = []
    for n in SIZES:
        a, b_t, _, _ = _operands(n, n)
        left, right = torch.from_numpy(a), torch.from_numpy(b_t).t()

        def multiply(left: torch.Tensor = left, right: torch.Tensor = right) -> None:
            torch._int_mm(left, right)  # pyright: ignore[reportPrivateImportUsage]

        times.append(1000 * median_seconds(multiply, repeats))
    return times


def _shared_row(m: int, repeats: int) -> dict[str, Any]:
    """Compare checks of eight jobs one by one with one pass over the weight that they share."""
    thin, n = chosen_thin_products(), SIZES[-1]
    _, b_t, _, r = _operands(1, n)
    a, _, c, _ = _operands(m, n)
    together = np.concatenate([r] * _JOBS, axis=1)

    def one_by_one() -> None:
        for _ in range(_JOBS):
            product_is_right(thin, a, b_t, c, r)

    def at_once() -> None:
        b_r = thin.of_weight(b_t, together)
        for job in range(_JOBS):
            thin.of_operand(a, b_r[:, COLUMNS * job : COLUMNS * (job + 1)])
            thin.of_result(c, r)

    times = alternating_ms((one_by_one, at_once), repeats)
    return {
        "jobs": _JOBS,
        "m": m,
        "n": n,
        "one_by_one_ms": round(times[0], 2),
        "at_once_ms": round(times[1], 2),
        "gain": round(times[0] / times[1], 2),
    }


def alternating_ms(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median milliseconds of each call; all take turns, so that noise hits all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if turn:  # the first may compile
                own.append(1000 * (time.perf_counter() - start))
    return [median(own) for own in times]


def _checking(
    thin: ThinProducts,
    operands: tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int32], NDArray[np.int8]],
) -> Callable[[], object]:
    # Time does not depend on values, and nothing is skipped where C is wrong, as here.
    return lambda: product_is_right(thin, *operands)


def _copying(size: int) -> Callable[[], object]:
    source = np.ones(size, np.int8)
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


def _operands(
    m: int, n: int
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int32], NDArray[np.int8]]:
    random = np.random.default_rng(1)
    return (
        random.integers(-64, 64, (m, n), np.int8),
        random.integers(-64, 64, (n, n), np.int8),
        random.integers(-(2**24), 2**24, (m, n), np.int32),
        random.integers(-128, 128, (n, 16), np.int8),
    )


def _limit(isa: str) -> dict[str, str]:
    return {"ONEDNN_MAX_CPU_ISA": isa}


def _elsewhere(function: str, repeats: int, more: dict[str, str]) -> Any:
    """Return what a function of this module returns in a process with other settings."""
    code = (
        "import json, sys; from pouw.node.logs import configure_logs; configure_logs(); "
        f"from pouw.benchmarks import freivalds; print(json.dumps(freivalds.{function}({repeats})))"
    )
    settings = {**os.environ, **ONE_THREAD, **more}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=settings, stdout=subprocess.PIPE, check=True)
    return json.loads(ended.stdout)
