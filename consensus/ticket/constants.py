"""Numbers of the ticket that every node must agree on (protocol §2). None is a miner's choice."""

from typing import Final

from ...core.commitment import TILE
from ...core.ticket import MAX_DEPTH, MAX_ROWS

RANK: Final = 128
"""Rank of the noise, and columns folded at a time. A fold period longer than the rank would open a
low-rank shortcut; a rank chosen by miners was exploited elsewhere."""

LANES: Final = 32
"""Words of a transcript: lane = (row mod 8)·4 + (column mod 8) div 2, the layout in which tensor
cores hold their accumulators, so that folding moves nothing between threads."""

ROTATION: Final = 13
"""Bits by which a transcript turns left before each slab is folded in."""

OPERAND_MIN: Final = -64
OPERAND_MAX: Final = 63
"""Noise lies in [−63, 63], so that a noised operand fits int8."""

MIN_DEPTH: Final = 256
"""Smallest k."""

DIGEST_BITS: Final = 256
TILE_AREA: Final = TILE * TILE

__all__ = [
    "DIGEST_BITS",
    "LANES",
    "MAX_DEPTH",
    "MAX_ROWS",
    "MIN_DEPTH",
    "OPERAND_MAX",
    "OPERAND_MIN",
    "RANK",
    "ROTATION",
    "TILE",
    "TILE_AREA",
]
