"""Where everything lies in the database. State values and tree keep "s" and "t" (statetree.py).

| key | value |
|---|---|
| h ‖ block id | IndexRecord |
| b ‖ block id | canonical body |
| u ‖ block id | UndoRecord, while the block is in the active chain |
| n ‖ u64 height | block id, active chain |
| x ‖ transaction id | u64 height, active chain |
| c ‖ blob root ‖ u32 index | chunk of a blob; content-addressed, so it may outlive a reorg |
| y ‖ u64 height | BlockTotals, active chain |
| T | id of the tip |

Integers in keys are big-endian, so that LevelDB's order is theirs.
"""

from typing import Final, TypeVar

from ..core.block import SealedHeader
from ..core.codec import Bytes32, Value, decode
from ..core.errors import RuleViolation, StorageError

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
TIP_KEY: Final = b"T"
INDEX_PREFIX: Final = b"h"


class IndexRecord(Value, frozen=True):
    """What is known of one block apart from its body."""

    sealed: SealedHeader
    has_body: bool
    invalid: str
    """The rule that condemned it, or ""."""


class UndoRecord(Value, frozen=True):
    """The inverse of a block's diff: state keys and the values before it."""

    entries: tuple[tuple[bytes, bytes | None], ...]


class BlockTotals(Value, frozen=True):
    """Sums from block 0 up to a block of the active chain, 32-byte little-endian each."""

    work: Bytes32
    useful_macs: Bytes32
    mined_macs: Bytes32


def read_stored(kind: type[T], data: bytes) -> T:
    """Decode a value that this node wrote itself.

    Raises StorageError and never RuleViolation: a damaged disk is no fault of a block.
    """
    try:
        return decode(kind, data, len(data))
    except RuleViolation as error:
        raise StorageError(
            f"a {kind.__name__} in the database is damaged ({error.detail}); synchronise anew"
        ) from error


def index_key(block: bytes) -> bytes:
    """Key of a block's index record."""
    return INDEX_PREFIX + block


def body_key(block: bytes) -> bytes:
    """Key of a block's body."""
    return b"b" + block


def undo_key(block: bytes) -> bytes:
    """Key of a block's undo record."""
    return b"u" + block


def height_key(height: int) -> bytes:
    """Key of the active block at a height."""
    return b"n" + height.to_bytes(8, "big")


def transaction_key(transaction: bytes) -> bytes:
    """Key of a transaction's height."""
    return b"x" + transaction


def chunk_key(root: bytes, index: int) -> bytes:
    """Key of one chunk."""
    return b"c" + root + index.to_bytes(4, "big")


def totals_key(height: int) -> bytes:
    """Key of the sums up to a height."""
    return b"y" + height.to_bytes(8, "big")
