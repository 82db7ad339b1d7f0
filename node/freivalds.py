"""The thin products that check posted results: compiled where LLVM is installed, else numpy's BLAS.

Nothing is compiled before the first posted product, and what was compiled has to get the worst
cases right before it is used.
"""

import importlib
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from ..consensus.freivalds import COLUMNS, PlainThinProducts, ThinProducts
from ..core.errors import UserError
from ..kernels.blas import BlasThinProducts

_log: Final = structlog.get_logger(__name__)

_TEST_SHAPES: Final = ((1, 1, 1), (5, 67, 130), (3, 4100, 64), (9, 64, 4100))


class ExactThinProducts:
    """`ThinProducts` that choose what they stand on when they are first needed."""

    def of_weight(self, b_t: NDArray[np.int8], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """See `ThinProducts.of_weight`."""
        return chosen_thin_products().of_weight(b_t, r)

    def of_operand(self, a: NDArray[np.int8], b_r: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `ThinProducts.of_operand`."""
        return chosen_thin_products().of_operand(a, b_r)

    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """See `ThinProducts.of_result`."""
        return chosen_thin_products().of_result(c, r)


@cache
def chosen_thin_products() -> ThinProducts:
    """Return the fastest of this machine that are exact on the worst cases."""
    thin = _native() or BlasThinProducts()
    _log.info("freivalds.chosen", kind=type(thin).__name__)
    return thin


def is_exact(thin: ThinProducts) -> bool:
    """Compare with plain integers on operands that overflow or round elsewhere."""
    plain = PlainThinProducts()
    for m, n, k in _TEST_SHAPES:
        for r in _extremes(n, COLUMNS, np.int8):
            for b_t in _extremes(n, k, np.int8):
                b_r = plain.of_weight(b_t, r)
                if not np.array_equal(thin.of_weight(b_t, r), b_r):
                    return False
                for a in _extremes(m, k, np.int8):
                    if not np.array_equal(thin.of_operand(a, b_r), plain.of_operand(a, b_r)):
                        return False
            for c in _extremes(m, n, np.int32):
                if not np.array_equal(thin.of_result(c, r), plain.of_result(c, r)):
                    return False
    return True


def _native() -> ThinProducts | None:
    if find_spec("llvmlite") is None:
        return None
    try:
        module = importlib.import_module("..kernels.freivalds", __package__)
        thin: ThinProducts = module.native_thin_products()
        if is_exact(thin):
            return thin
        _log.warning("freivalds.inexact", kind=type(thin).__name__)
    except (ImportError, OSError, RuntimeError, UserError) as error:  # no fit for this machine
        _log.warning("freivalds.unusable", kind="native", why=str(error))
    return None


def _extremes(rows: int, columns: int, dtype: type[Any]) -> list[NDArray[Any]]:
    limits = np.iinfo(dtype)
    ramp = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns) * 37_000_037
    return [
        np.full((rows, columns), limits.min, dtype),
        np.full((rows, columns), limits.max, dtype),
        ramp.astype(dtype),
    ]
