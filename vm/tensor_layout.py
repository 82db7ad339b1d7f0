"""Where the cells of a value stand in its commitment, so that a few can be opened.

A value of any number of dimensions is a matrix: its last dimension gives the columns (one for
single numbers), everything before it, items first, the rows. The tree of the matrix has

    int8    a leaf per row, rows padded to 16 and columns to 128 with zeros: exactly the operand of
            a ticket, so that the root a block was mined with is the root of the value
    int32   a leaf per block of 256 columns of a row (of all columns where there are fewer), the
            last block padded with zeros: a cell's leaf stays small however long the row

under the root of protocol §5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RuleViolation
from ..core.hashing import Hash, digest, u32
from .limits import K_GRID, MAX_PRODUCT_K, ROW_GRID
from .multiproof import tree_height
from .operands import round_up
from .types import Array, DType, TensorType

BLOCK_COLUMNS: Final = 256
"""Columns of an int32 leaf: one chunk of BLAKE3."""
MAX_INT8_COLUMNS: Final = MAX_PRODUCT_K

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """Neighbouring cells of a value: from `start`, so many along each dimension, items included."""

    start: Index
    lengths: Index

    @property
    def cells(self) -> int:
        """Number of cells."""
        return prod(self.lengths)


@dataclass(frozen=True)
class TensorLayout:
    """Where the cells of a value stand in its tree."""

    dtype: DType
    shape: Index
    """Of the whole value: items first, unless it is a constant."""
    single: bool
    """One number per item, or a constant of one: a column of its own, in no dimension."""

    @classmethod
    def of(cls, kind: TensorType, items: int | None) -> "TensorLayout":
        """Return the layout of a value of so many items, or of a constant (None).

        Raises RuleViolation "challenge-row" where an int8 row is longer than any ticket's.
        """
        columns = kind.shape[-1] if kind.shape else 1
        if kind.dtype is DType.INT8 and columns > MAX_INT8_COLUMNS:
            raise RuleViolation(
                "challenge-row", f"a row of {columns} operands exceeds {MAX_INT8_COLUMNS}"
            )
        shape = kind.shape if items is None else (items, *kind.shape)
        return cls(kind.dtype, shape, not kind.shape)

    @property
    def columns(self) -> int:
        """Columns of the matrix, without padding."""
        return 1 if self.single else self.shape[-1]

    @cached_property
    def cells(self) -> int:
        """Cells of the value."""
        return prod(self.shape)

    @cached_property
    def rows(self) -> int:
        """Rows of the matrix, without padding."""
        return self.cells // self.columns

    @cached_property
    def leaf_columns(self) -> int:
        """Cells of a leaf, padding included."""
        if self.dtype is DType.INT8:
            return round_up(self.columns, K_GRID)
        return min(self.columns, BLOCK_COLUMNS)

    @property
    def leaf_bytes(self) -> int:
        """Length of every leaf."""
        return self.leaf_columns * self.dtype.size

    @cached_property
    def blocks(self) -> int:
        """Leaves of a row."""
        return -(-self.columns // self.leaf_columns)

    @cached_property
    def leaves(self) -> int:
        """Leaves of the tree, those of padded rows included."""
        if self.dtype is DType.INT8:
            return round_up(self.rows, ROW_GRID)
        return self.rows * self.blocks

    @property
    def is_padded(self) -> bool:
        """Whether leaves hold more than the value's own cells."""
        return self.cells != self.leaves * self.leaf_columns

    @property
    def hashed_bytes(self) -> int:
        """Bytes of all leaves, padding included: what committing to the value costs."""
        return self.leaves * self.leaf_bytes

    @cached_property
    def height(self) -> int:
        """Levels above the leaves."""
        return tree_height(self.leaves)

    def root(self, top: Hash) -> Hash:
        """Return the root of the tree with this top: that of a matrix of protocol §5."""
        shape = u32(self.leaves), u32(self.leaf_bytes)
        return digest("root", *shape, bytes([self.dtype]), top)

    def leaves_of(self, box: Box) -> list[int]:
        """Return the leaves that hold the cells of a box, ascending."""
        first, last = self._blocks_of(box)
        return [
            row * self.blocks + block for row in self._rows_of(box) for block in range(first, last)
        ]

    def cells_of(self, box: Box, leaves: bytes) -> Array:
        """Return the cells of a box out of its leaves' bytes, joined; shape `box.lengths`."""
        first, last = self._blocks_of(box)
        start, length = self._columns_of(box)
        rows = np.frombuffer(leaves, self.dtype.storage).reshape(
            -1, (last - first) * self.leaf_columns
        )
        offset = start - first * self.leaf_columns
        return rows[:, offset : offset + length].reshape(box.lengths)

    def leaf_cells(self, leaf: int) -> int:
        """Return how many cells of a leaf are the value's own; the rest is padding."""
        row, block = divmod(leaf, self.blocks)
        if row >= self.rows:
            return 0
        return min(self.leaf_columns, self.columns - block * self.leaf_columns)

    def leaf_data(self, array: Array, first: int, count: int) -> NDArray[np.uint8]:
        """Return the bytes of leaves first … first + count − 1 of the value, (count, leaf_bytes).

        No copy where nothing is padded.
        """
        low, high = first // self.blocks, -(-(first + count) // self.blocks)
        width = self.blocks * self.leaf_columns
        rows = array.reshape(-1, self.columns)[low:high]
        if rows.shape != (high - low, width):
            padded = np.zeros((high - low, width), self.dtype.storage)
            padded[: len(rows), : self.columns] = rows
            rows = padded
        cells = np.ascontiguousarray(rows, self.dtype.storage).reshape(-1, self.leaf_columns)
        skipped = first - low * self.blocks
        return cells[skipped : skipped + count].view(np.uint8)

    def _columns_of(self, box: Box) -> tuple[int, int]:
        """Return first column and length."""
        return (0, 1) if self.single else (box.start[-1], box.lengths[-1])

    def _blocks_of(self, box: Box) -> tuple[int, int]:
        start, length = self._columns_of(box)
        return start // self.leaf_columns, (start + length - 1) // self.leaf_columns + 1

    def _rows_of(self, box: Box) -> Iterator[int]:
        """Yield the rows of a box, ascending."""
        dims = len(self.shape) if self.single else len(self.shape) - 1
        spans = [
            range(start, start + length)
            for start, length in zip(box.start[:dims], box.lengths[:dims], strict=True)
        ]
        for index in product(*spans):
            row = 0
            for at, length in zip(index, self.shape, strict=False):
                row = row * length + at
            yield row
