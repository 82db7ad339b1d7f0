"""Useful and idle mining beside torch's plain int8 product, one thread.

plain: `torch._int_mm`; useful: A and B given, tickets drawn, exact A·B returned; idle: both
operands zero, tickets only. GOP/s counts 2·m·n·k operations of the unpadded product. The three take
turns, and a ratio is the median over rounds, so that a machine that changes its speed (other work,
other clock) changes both sides of it. `ONEDNN_MAX_CPU_ISA=AVX2` shows all three on a processor
without VNNI.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

SHAPES = ((2048, 2048, 2048), (4096, 4096, 4096), (16, 4096, 4096), (256, 4096, 4096))
_SIGMA = bytes(range(32))
_NOTHING_WINS = 1 << 200


def run(device: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row per shape. Only "cpu" is measured so far."""
    if device != "cpu":
        raise SystemExit(f"matmul: {device} is not measured yet; use --device cpu")
    import torch  # noqa: PLC0415 - a benchmark that is not run should not need torch

    torch.set_num_threads(1)
    return [_row(m, n, k, repeats) for m, n, k in SHAPES]


def _row(m: int, n: int, k: int, repeats: int) -> dict[str, Any]:
    import torch  # noqa: PLC0415

    from ..consensus.ticket import Tag  # noqa: PLC0415
    from ..core.commitment import ZERO_OPERAND_ROOT, operand_root  # noqa: PLC0415
    from ..kernels.cpu import MiningPass, NoisedOperandB  # noqa: PLC0415

    random = np.random.default_rng(1)
    a = random.integers(-64, 64, (m, k), np.int8)
    b_t = random.integers(-64, 64, (n, k), np.int8)
    left, right = torch.from_numpy(a), torch.from_numpy(b_t).t()
    root_a = operand_root(a)
    useful_b = NoisedOperandB(_SIGMA, b_t, operand_root(b_t), n, k)
    idle_b = NoisedOperandB(_SIGMA, None, ZERO_OPERAND_ROOT, n, k)

    def plain() -> None:
        torch._int_mm(left, right)  # pyright: ignore[reportPrivateImportUsage]

    def useful() -> None:
        MiningPass(useful_b, m, root_a, Tag(), _NOTHING_WINS).mine_rows(a, 0, m)

    def idle() -> None:
        MiningPass(idle_b, m, ZERO_OPERAND_ROOT, Tag(), _NOTHING_WINS).mine_rows(None, 0, m)

    calls = (plain, useful, idle)
    for call in calls:
        call()
    rounds = [[_seconds(call) for call in calls] for _ in range(repeats)]
    giga_ops = 2 * m * n * k / 1e9
    rates = [giga_ops / median(times) for times in zip(*rounds, strict=True)]
    useful_ratio, idle_ratio = (median(times[0] / times[i] for times in rounds) for i in (1, 2))
    return {
        "m": m,
        "n": n,
        "k": k,
        "plain_gops": round(rates[0], 1),
        "useful_gops": round(rates[1], 1),
        "idle_gops": round(rates[2], 1),
        "useful_ratio": round(useful_ratio, 3),
        "idle_ratio": round(idle_ratio, 3),
    }


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
