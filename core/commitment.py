"""Merkle commitments to the rows of an integer matrix (protocol §5) and to a list of byte strings.

    leaf = H("leaf", row)          node = H("node", left ‖ right)
    matrix root = H("root", u32 rows ‖ u32 row bytes ‖ u8 dtype ‖ top)
    list root   = H("list", u32 count ‖ top)

Leaves are padded to a power of two with 32 zero bytes. Labels keep leaves, nodes and roots apart,
and the root binds shape and type, so that one root means one matrix. A right operand B (k×n) is
committed transposed, so that its columns are the rows here.

A matrix is opened 16 aligned rows at a time, the rows and the siblings from their 16-leaf subtree
up, or row by row, whatever the number of rows. The number of siblings follows from the number of
rows alone.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import RuleViolation
from .hashing import HASH_BYTES, ZERO_HASH, Hash, digest, u32

TILE: Final = 16
"""Rows in one opening, and the side of a ticket's tile."""
INT8: Final = 1
INT32: Final = 2
ZERO_OPERAND_ROOT: Final[Hash] = ZERO_HASH
"""Root of the operand that is zero everywhere; it opens to no rows and no siblings."""

_TILE_HEIGHT: Final = 4
_U32_MAX: Final = 2**32 - 1
_LITTLE_ENDIAN: Final = {INT8: np.dtype("i1"), INT32: np.dtype("<i4")}


def leaf(row: bytes | memoryview) -> Hash:
    """Return the hash of one row (or list item)."""
    return digest("leaf", row)


def node(left: Hash, right: Hash) -> Hash:
    """Return the parent of two nodes of equal height."""
    return digest("node", left + right)


def dtype_code(array: NDArray[Any]) -> int:
    """Return the code that a root binds for int8 (1) or int32 (2); ValueError for other types."""
    if array.dtype == np.int8:
        return INT8
    if array.dtype == np.int32:
        return INT32
    raise ValueError(f"no commitment is defined for {array.dtype}: only int8 and int32")


class Tree:
    """The commitment tree of a matrix, kept whole so that any row or tile can be opened."""

    root: Hash

    def __init__(self, array: NDArray[Any]) -> None:
        """Hash a 2-D int8 or int32 array of at least one row and column."""
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"a matrix with rows and columns is needed, not shape {array.shape}")
        code = dtype_code(array)
        rows = np.ascontiguousarray(array, dtype=_LITTLE_ENDIAN[code])
        self.rows = len(rows)
        self._levels = _levels([leaf(row) for row in _split(rows.data, self.rows)])
        self.root = _matrix_root(self.rows, rows[0].nbytes, code, self._levels[-1][0])

    def open(self, tile: int) -> tuple[Hash, ...]:
        """Return the siblings that open rows [16·tile, 16·tile + 16), lowest first."""
        if self.rows % TILE or not 0 <= tile < self.rows // TILE:
            raise ValueError(f"{self.rows} rows have no aligned tile {tile} of {TILE}")
        return _siblings(self._levels, tile, _TILE_HEIGHT)


def operand_root(array: NDArray[Any] | None) -> Hash:
    """Return the root of an operand; None is the zero operand."""
    return ZERO_OPERAND_ROOT if array is None else Tree(array).root


def path_length(total_rows: int) -> int:
    """Return how many siblings open one tile of a matrix with this many rows."""
    return max(_height(total_rows) - _TILE_HEIGHT, 0)


def verify_opening(
    root: Hash,
    rows: bytes,
    siblings: Sequence[Hash],
    total_rows: int,
    tile: int,
    dtype: int,
) -> None:
    """Check that `rows` are rows [16·tile, 16·tile + 16) of the matrix that `root` commits to.

    `rows` holds the bytes of 16 rows of equal length, row-major and little-endian. Raises
    RuleViolation "opening".
    """
    if total_rows % TILE or not 0 <= tile < total_rows // TILE:
        raise RuleViolation("opening", f"{total_rows} rows have no aligned tile {tile} of {TILE}")
    if len(rows) == 0 or len(rows) % TILE:
        raise RuleViolation("opening", f"{len(rows)} bytes are not {TILE} equal rows")
    if len(siblings) != path_length(total_rows):
        raise RuleViolation(
            "opening",
            f"{len(siblings)} siblings where {path_length(total_rows)} open {total_rows} rows",
        )
    subtree = _levels([leaf(row) for row in _split(memoryview(rows), TILE)])[-1][0]
    top = _climb(subtree, tile, siblings)
    if _matrix_root(total_rows, len(rows) // TILE, dtype, top) != root:
        raise RuleViolation("opening", f"the rows of tile {tile} do not open root {root.hex()}")


def prove_row(tree: Tree, index: int) -> tuple[Hash, ...]:
    """Return the siblings that prove row `index` under `tree.root`, lowest first.

    Raises ValueError when the tree has no such row.
    """
    if not 0 <= index < tree.rows:
        raise ValueError(f"row {index} of {tree.rows}")
    return _siblings(tree._levels, index, 0)


def verify_row(
    root: Hash,
    rows: int,
    row_bytes: int,
    dtype: int,
    index: int,
    row: bytes,
    siblings: Sequence[Hash],
) -> None:
    """Check that `row` is row `index` of the matrix that `root` commits to.

    `rows` (1 … 2³² − 1), `row_bytes` and `dtype` (1 int8, 2 int32) are those of the matrix; `row`
    holds its little-endian bytes. Raises RuleViolation "opening".
    """
    element = _LITTLE_ENDIAN.get(dtype)
    if element is None:
        raise RuleViolation("opening", f"no commitment is defined for type {dtype}")
    if not 0 < row_bytes <= _U32_MAX or row_bytes % element.itemsize:
        raise RuleViolation("opening", f"no row of {element} has {row_bytes} bytes")
    if not 0 <= index < rows <= _U32_MAX:
        raise RuleViolation("opening", f"row {index} of {rows}")
    if len(row) != row_bytes:
        raise RuleViolation("opening", f"{len(row)} bytes of a row of {row_bytes}")
    if len(siblings) != _height(rows):
        raise RuleViolation(
            "opening", f"{len(siblings)} siblings where {_height(rows)} prove one of {rows} rows"
        )
    if any(len(sibling) != HASH_BYTES for sibling in siblings):
        raise RuleViolation("opening", f"a sibling is not {HASH_BYTES} bytes")
    if _matrix_root(rows, row_bytes, dtype, _climb(leaf(row), index, siblings)) != root:
        raise RuleViolation("opening", f"row {index} does not open root {root.hex()}")


def list_root(items: Sequence[bytes]) -> Hash:
    """Return the root of a list of byte strings, which binds their number and order."""
    return _list_root(len(items), _levels([leaf(item) for item in items])[-1][0])


def prove_item(items: Sequence[bytes], index: int) -> tuple[Hash, ...]:
    """Return the siblings that prove `items[index]` under `list_root(items)`, lowest first."""
    if not 0 <= index < len(items):
        raise ValueError(f"item {index} of {len(items)}")
    return _siblings(_levels([leaf(item) for item in items]), index, 0)


def verify_item(root: Hash, count: int, index: int, item: bytes, siblings: Sequence[Hash]) -> None:
    """Check that `item` is number `index` of the `count` items under `root`.

    Raises RuleViolation "list-proof".
    """
    if not 0 <= index < count:
        raise RuleViolation("list-proof", f"item {index} of {count}")
    if len(siblings) != _height(count):
        raise RuleViolation(
            "list-proof", f"{len(siblings)} siblings where {_height(count)} prove one of {count}"
        )
    if _list_root(count, _climb(leaf(item), index, siblings)) != root:
        raise RuleViolation("list-proof", f"item {index} is not under root {root.hex()}")


def _matrix_root(rows: int, row_bytes: int, dtype: int, top: Hash) -> Hash:
    return digest("root", u32(rows), u32(row_bytes), bytes([dtype]), top)


def _list_root(count: int, top: Hash) -> Hash:
    return digest("list", u32(count), top)


def _split(data: memoryview, parts: int) -> list[memoryview]:
    """Cut a contiguous buffer into `parts` equal pieces of bytes."""
    flat = data.cast("B")
    size = len(flat) // parts
    return [flat[start : start + size] for start in range(0, parts * size, size)]


def _height(leaves: int) -> int:
    """Return the height of a tree over this many leaves, padded to a power of two."""
    return max(leaves - 1, 0).bit_length()


def _levels(leaves: Sequence[Hash]) -> list[list[Hash]]:
    """Return every level from the leaves up to the top.

    Padding is not spelled out: a level is completed to even length by the one hash that a subtree
    of padding has at that height.
    """
    level = list(leaves) or [ZERO_HASH]
    padding = ZERO_HASH
    levels = [level]
    while len(level) > 1:
        if len(level) % 2:
            level.append(padding)
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [node(left, right) for left, right in pairs]
        padding = node(padding, padding)
        levels.append(level)
    return levels


def _siblings(levels: list[list[Hash]], index: int, height: int) -> tuple[Hash, ...]:
    """Return the siblings of node `index` at `height`, up to the top."""
    path: list[Hash] = []
    for level in levels[height:-1]:
        path.append(level[index ^ 1])
        index >>= 1
    return tuple(path)


def _climb(start: Hash, index: int, siblings: Sequence[Hash]) -> Hash:
    """Return the top reached from node `index` with its siblings, lowest first."""
    top = start
    for sibling in siblings:
        top = node(sibling, top) if index & 1 else node(top, sibling)
        index >>= 1
    return top
