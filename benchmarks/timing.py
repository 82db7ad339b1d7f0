"""Medians of repeated calls."""

import time
from collections.abc import Callable
from statistics import median


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of `repeats` calls, after one that is not counted."""
    call()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times)
