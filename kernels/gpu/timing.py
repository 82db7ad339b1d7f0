"""Time on the device's own clock."""

from collections.abc import Callable
from statistics import median

import torch

_WARM_UPS = 3


def median_milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median time between two CUDA events around `call` on the current device, after
    some calls that are not counted (they compile and warm up)."""
    for _ in range(_WARM_UPS):
        call()
    torch.cuda.synchronize()
    return median(event_milliseconds(call) for _ in range(repeats))


def event_milliseconds(call: Callable[[], object]) -> float:
    """Return the time between two CUDA events around one `call`."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)
