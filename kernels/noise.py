"""Noise for whole operands, slab by slab, bit-equal to `consensus.ticket.noise`."""

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket.constants import RANK


def noised_slabs(
    operand: NDArray[np.int8] | None,
    left: NDArray[np.int8],
    permutations: NDArray[np.intp],
) -> NDArray[np.int8]:
    """Return operand + noise as (slabs, rows, 128) from its rows (rows×k) and their factor L.

    None stands for the zero operand. L is `left_factor` of the same rows in the same order.
    """
    slabs, rows = len(permutations), len(left)
    noised = np.empty((slabs, rows, RANK), np.int8)
    for slab, permutation in enumerate(permutations):
        chosen = np.take(left, permutation, axis=1)
        target = noised[slab]
        np.subtract(chosen[:, :-1], chosen[:, 1:], out=target[:, :-1])
        np.subtract(chosen[:, -1], chosen[:, 0], out=target[:, -1])
        if operand is not None:
            target += operand[:, slab * RANK : (slab + 1) * RANK]
    return noised
