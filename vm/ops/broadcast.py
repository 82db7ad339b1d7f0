"""How a second operand is spread over the first, and how to walk both in blocks.

y is spread over x as in numpy, in this direction only: aligned at the last dimension, each length
of y is x's or 1. A constant y may have fewer dimensions than x; a computed y has as many, because
the item dimension comes before them (a reshape adds lengths of 1). Every result element thus
depends on one element of each operand.
"""

from collections.abc import Iterator
from math import prod
from typing import Final, TypeAlias

import numpy as np

from ...core.errors import RuleViolation
from ..types import Array, Operand

_BLOCK_ELEMENTS: Final = 2**16
"""Wide temporaries of this many elements stay in the cache."""


def require_spread(y: Operand, x: Operand) -> None:
    """Refuse a y that cannot be spread over x."""
    ours, theirs = y.type.shape, x.type.shape
    aligned = theirs[len(theirs) - len(ours) :]
    fits = len(ours) <= len(theirs) if y.constant else len(ours) == len(theirs)
    if not fits or any(a not in (1, b) for a, b in zip(ours, aligned, strict=True)):
        raise RuleViolation("program-shape", f"y {y.type} cannot be spread over x {x.type}")


Block: TypeAlias = tuple[int | slice, ...]
"""An index into the leading dimensions of an array, that of the items included."""


def spread_blocks(shape: tuple[int, ...]) -> Iterator[Block]:
    """Yield indices that cut an array of at least two dimensions into blocks of whole rows.

    Blocks hold at most 2¹⁶ elements, or one row, and keep the array's last dimension, so that
    per-channel constants fit each.
    """
    axis = 0
    while axis < len(shape) - 2 and prod(shape[axis + 1 :]) > _BLOCK_ELEMENTS:
        axis += 1
    step = max(1, _BLOCK_ELEMENTS // prod(shape[axis + 1 :]))
    for outer in np.ndindex(shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*outer, slice(start, start + step))


def spread_part(y: Array, block: Block, dims: int) -> Array:
    """Return what of y meets a block of an x of `dims` dimensions; numpy spreads it over that."""
    lengths = (1,) * (dims - y.ndim) + y.shape
    part = tuple(
        at if length > 1 else 0 if isinstance(at, int) else slice(None)
        for at, length in zip(block, lengths, strict=False)
    )
    return y.reshape(lengths)[part]
