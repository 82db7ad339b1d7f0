"""The exact multiplier that checks results: torch's where it is installed and gets its test right.

torch is loaded at the first product and not before: a node that never sees a result starts at once,
and one without torch runs on numpy's BLAS.
"""

import importlib
from functools import cache
from importlib.util import find_spec
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from ..kernels.blas import BlasMultiplier
from ..vm.multiplier import Multiplier, ReferenceMultiplier

_log: Final = structlog.get_logger(__name__)

_TEST_SHAPES: Final = ((1, 1, 1), (3, 5, 300), (16, 32, 1024), (17, 64, 4100))


class ExactMultiplier:
    """A `Multiplier` that chooses what it stands on when it is first needed."""

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """See `vm.multiplier.Multiplier.matmul`."""
        return chosen_multiplier().matmul(a, b_t)


@cache
def chosen_multiplier() -> Multiplier:
    """Return the fastest multiplier of this machine that is exact on the worst cases."""
    multiplier = _torch_multiplier() or BlasMultiplier()
    _log.info("multiplier.chosen", kind=type(multiplier).__name__)
    return multiplier


def is_exact(multiplier: Multiplier) -> bool:
    """Compare a multiplier with plain integers on operands that overflow or round elsewhere."""
    reference = ReferenceMultiplier()
    for m, n, k in _TEST_SHAPES:
        for left in _extremes(m, k):
            for right_t in _extremes(n, k):
                product = multiplier.matmul(left, right_t)
                if not np.array_equal(product, reference.matmul(left, right_t)):
                    return False
    return True


def _torch_multiplier() -> Multiplier | None:
    if find_spec("torch") is None:
        return None
    try:
        module = importlib.import_module("..kernels.multiplier", __package__)
        multiplier: Multiplier = module.CpuMultiplier()
        if is_exact(multiplier):
            return multiplier
        _log.warning("multiplier.inexact", kind="CpuMultiplier")
    except (ImportError, OSError, RuntimeError) as error:  # a torch that does not fit this machine
        _log.warning("multiplier.unusable", kind="CpuMultiplier", why=str(error))
    return None


def _extremes(rows: int, k: int) -> list[NDArray[np.int8]]:
    ramp = np.arange(rows * k, dtype=np.int64).reshape(rows, k) * 37 % 128 - 64
    return [
        np.full((rows, k), -64, np.int8),
        np.full((rows, k), 63, np.int8),
        ramp.astype(np.int8),
    ]
