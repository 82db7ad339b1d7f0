"""How much one pool holds. Policy of this node: other nodes may choose otherwise."""

from dataclasses import dataclass
from typing import Final

ENTRY_BYTES: Final = 2048
"""Counted for every transaction besides its canonical bytes: what Python's objects take. Without
it, 256 MiB of the smallest transactions would be some gigabytes."""


PART_BYTES: Final = 160
"""Counted for every output, posted product and chunk likewise: 36 bytes on the wire, an object, a
byte string and an integer in memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one pool."""

    total_bytes: int = 256 << 20
    """Estimated memory of all that waits, chunks included; the worst paying packages go first."""
    sender_transactions: int = 64
    """One after the other from one sender: bounds what must be run again when one changes."""
    sender_bytes: int = 32 << 20
    """Canonical bytes from one sender, chunks included: four full blocks."""
    age_seconds: int = 3 * 24 * 3600
    """After so long, whoever sent it has given up or will send it again."""
