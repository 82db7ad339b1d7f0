"""The two halves of a proof of useful work as they travel: the head and the opening.

The head names what was multiplied and the winning tile; the block id covers it. The opening is the
body of the proof, bound by the roots in the head, and travels apart from it (protocol §7). The
rules are in `consensus/ticket`.
"""

from typing import Annotated, Final

import msgspec

from .codec import U32, Bytes8, Bytes32, Value
from .commitment import TILE, path_length

MAX_ROWS: Final = 2**20
"""Largest m and n: rows of A, columns of B."""
MAX_DEPTH: Final = 16_384
"""Largest k: bounds an opened side to 256 kB and every accumulator to int32."""
MAX_HEAD_BYTES: Final = 320
"""Upper bound of an encoded head."""
MAX_OPENING_BYTES: Final = 2 * (TILE * MAX_DEPTH + 34 * path_length(MAX_ROWS) + 8) + 1
"""Upper bound of an encoded opening."""

Lanes = Annotated[bytes, msgspec.Meta(min_length=128, max_length=128)]
"""S of protocol §6: 32 unsigned 32-bit integers, little-endian."""
OpenedRows = Annotated[bytes, msgspec.Meta(max_length=TILE * MAX_DEPTH)]
"""Sixteen rows of k int8 values, row-major; empty for the zero operand."""
Path = Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=path_length(MAX_ROWS))]
"""Siblings from the 16-leaf subtree up, lowest first; empty for the zero operand."""


class Head(Value, frozen=True):
    """What was multiplied, and where the ticket won."""

    m: U32
    """Rows of A, a multiple of 16."""
    n: U32
    """Columns of B, a multiple of 16."""
    k: U32
    """Columns of A and rows of B, a multiple of 128."""
    nonce: Bytes8
    """Unsigned, little-endian; zero when a job is named."""
    job_id: Bytes32
    """The job that the product belongs to; zeros for none."""
    op: U32
    """Number of the product within the job's program; zero when no job is named."""
    tile_row: U32
    """Row of the winning 16×16 tile, counted in tiles."""
    tile_col: U32
    """Column of the winning 16×16 tile, counted in tiles."""
    root_a: Bytes32
    """Commitment to A's rows; zeros for the zero operand."""
    root_b: Bytes32
    """Commitment to B's columns; zeros for the zero operand."""
    lanes: Lanes
    """Folded partial sums of the winning tile."""


class Opening(Value, frozen=True):
    """The operands' rows that the winning tile was computed from, with their Merkle paths."""

    a_rows: OpenedRows
    """Rows 16·tile_row … of A."""
    a_path: Path
    """Siblings of A's rows."""
    b_rows: OpenedRows
    """Columns 16·tile_col … of B, each a row of k values."""
    b_path: Path
    """Siblings of B's columns."""
