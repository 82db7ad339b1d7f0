"""What every kernel demands of an operand before it touches it."""

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket.constants import OPERAND_MAX, OPERAND_MIN
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.hashing import Hash


def check_operand(
    side: str, rows: NDArray[np.int8] | None, shape: tuple[int, int], root: Hash
) -> None:
    """Raise ValueError unless rows have the committed shape and range, or are zero with root 0.

    `rows` is int8 of `shape`, values in [−64, 63], or None for the zero operand.
    """
    if (rows is None) != (root == ZERO_OPERAND_ROOT):
        raise ValueError(f"operand {side} and its root disagree on being zero")
    if rows is None:
        return
    if rows.shape != shape:
        raise ValueError(f"operand {side} is {rows.shape} where {shape} is committed")
    if rows.min() < OPERAND_MIN or rows.max() > OPERAND_MAX:
        raise ValueError(f"operand {side} has values outside [{OPERAND_MIN}, {OPERAND_MAX}]")
