"""Difficulty: absolutely scheduled exponential targets (ASERT), in integers.

D = D₀ · 2^((spacing · blocks − seconds) / halflife), blocks and seconds counted from the anchor to
the parent. The anchor is block 1 and not the genesis, so that a network may start long after its
parameters were written. After Mark Lundeberg's aserti3-2d (Bitcoin Cash upgrade specification,
November 2020), whose cubic 2ˣ this uses; the sign is turned round because D is inverse to a target.
"""

from typing import Final

from ..genesis import Params

_RADIX_BITS: Final = 16
_RADIX: Final = 1 << _RADIX_BITS
MAX_DIFFICULTY: Final = 1 << 240
_MAX_DOUBLINGS: Final = 256
"""Clamp of the exponent either way: beyond it every result is a bound anyhow."""


def power_of_two(base: int, exponent: int) -> int:
    """Return base · 2^(exponent / 2¹⁶), rounded down; exact to 13 bits as in aserti3-2d."""
    clamped = max(-_MAX_DOUBLINGS * _RADIX, min(_MAX_DOUBLINGS * _RADIX, exponent))
    doublings, fraction = clamped >> _RADIX_BITS, clamped & (_RADIX - 1)
    factor = _RADIX + (
        (
            195_766_423_245_049 * fraction
            + 971_821_376 * fraction**2
            + 5_127 * fraction**3
            + (1 << 47)
        )
        >> 48
    )
    scaled = base * factor
    shift = doublings - _RADIX_BITS
    return scaled << shift if shift >= 0 else scaled >> -shift


def next_difficulty(params: Params, parent_height: int, anchor_time: int, parent_time: int) -> int:
    """Return the difficulty of the block after `parent_height` (times in UTC seconds).

    `anchor_time` is the time of block 1; blocks 1 and 2 have the network's initial difficulty.
    """
    if parent_height < 1:
        return params.initial_difficulty
    ahead = params.target_spacing * (parent_height - 1) - (parent_time - anchor_time)
    exponent = ahead * _RADIX // params.difficulty_halflife
    difficulty = power_of_two(params.initial_difficulty, exponent)
    return max(params.min_difficulty, min(MAX_DIFFICULTY, difficulty))
