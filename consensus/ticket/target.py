"""From a transcript to a lottery number, and the number that wins (protocol §6)."""

from ...core.errors import RuleViolation
from ...core.hashing import Hash, expand, u32
from .constants import DIGEST_BITS, TILE_AREA

MAX_TARGET = 2**DIGEST_BITS - 1


def ticket_digest(a_seed: Hash, lanes: bytes, tile_row: int, tile_col: int) -> Hash:
    """Return the ticket of one tile: 32 bytes, an integer read little-endian."""
    return expand(a_seed, b"T" + lanes + u32(tile_row) + u32(tile_col), 32)


def target(difficulty: int, k: int) -> int:
    """Return the largest winning number: min(2²⁵⁶ − 1, ⌊2²⁵⁶ · 256 · k / D⌋).

    `difficulty` is the expected number of multiply-accumulates per block. Raises RuleViolation
    "ticket-difficulty" when it is not positive.
    """
    if difficulty < 1:
        raise RuleViolation("ticket-difficulty", f"difficulty {difficulty} is not positive")
    return min(MAX_TARGET, (TILE_AREA * k << DIGEST_BITS) // difficulty)


def meets_target(digest: Hash, limit: int) -> bool:
    """Tell whether a ticket wins against `target(...)`."""
    return int.from_bytes(digest, "little") <= limit
