"""Commitments to every value of an execution, made to be opened cell by cell.

A *trace* is the input and every op's result, each a tree as in `tensor_layout`; the roots of all
its tensors are the leaves of one tree, whose root is all that a worker posts. Constants make
another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.commitment import node
from ..core.hashing import HASH_BYTES, ZERO_HASH, Hash, digest, u32
from .check import CheckedProgram
from .multiproof import padding_hash, sibling_places, tree_height
from .program import INPUT
from .tensor import Buffer
from .tensor_layout import TensorLayout
from .types import Array
from .weights import load_weights

TRACE_LABEL: Final = "trace"
CONSTANTS_LABEL: Final = "constants"

_KEPT_FROM: Final = 4
"""Levels below are hashed again when a leaf is opened: 16 leaves at most."""
_BATCH_BYTES: Final = 2**18
"""Leaves that are padded first are hashed in batches that stay in the cache."""

Hashes: TypeAlias = NDArray[np.uint8]
"""(n, 32)."""


class RowHasher(Protocol):
    """Hashes many short messages of one length, however it does that."""

    def hash_rows(self, label: str, rows: NDArray[np.uint8], /) -> Hashes:
        """Return H(label, row), (n, 32), of each row of C-contiguous (n, length) bytes."""
        ...


class PlainRowHasher:
    """One call of the library for each row: slow, obviously right."""

    def hash_rows(self, label: str, rows: NDArray[np.uint8], /) -> Hashes:
        """See `RowHasher.hash_rows`."""
        joined = b"".join(digest(label, row.data) for row in rows)
        return np.frombuffer(joined, np.uint8).reshape(-1, HASH_BYTES)


class Openable(Protocol):
    """A tensor some of whose leaves can be opened: computed here, or learned from its worker."""

    @property
    def layout(self) -> TensorLayout:
        """Where its cells stand."""
        ...

    @property
    def root(self) -> Hash:
        """Root of its tree."""
        ...

    def leaves(self, numbers: Sequence[int]) -> bytes:
        """Return the bytes of some leaves, joined."""
        ...

    def siblings(self, numbers: Sequence[int]) -> tuple[Hash, ...]:
        """Return the hashes that prove some leaves, distinct and ascending (`multiproof`)."""
        ...


class CommittedTensor:
    """A value with the upper levels of its tree, from which any leaves can be opened."""

    def __init__(self, layout: TensorLayout, array: Array, hasher: RowHasher) -> None:
        """Hash a value; `array`, of the layout's shape, must not change afterwards."""
        self.layout: Final = layout
        self.array: Final = array
        self._hasher: Final = hasher
        self._base: Final = min(_KEPT_FROM, layout.height)
        self._upper: Final = self._levels_above()
        self.root: Final[Hash] = layout.root(self._upper[-1].tobytes())

    def leaves(self, numbers: Sequence[int]) -> bytes:
        """Return the bytes of some leaves, joined."""
        data = self.layout.leaf_data
        return b"".join(data(self.array, leaf, 1).tobytes() for leaf in numbers)

    def siblings(self, numbers: Sequence[int]) -> tuple[Hash, ...]:
        """Return the hashes that prove some leaves, distinct and ascending (`multiproof`)."""
        nodes = self._nodes(sibling_places(numbers, self.layout.height))
        return tuple(nodes)

    def _nodes(self, places: Iterator[tuple[int, int]]) -> Iterator[Hash]:
        subtrees: dict[int, list[Hashes]] = {}
        for level, index in places:
            if level >= self._base:
                kept = self._upper[level - self._base]
            else:
                subtree = index >> (self._base - level)
                if subtree not in subtrees:
                    subtrees[subtree] = self._subtree(subtree)
                kept = subtrees[subtree][level]
                index -= subtree << (self._base - level)
            yield kept[index].tobytes() if index < len(kept) else padding_hash(level)

    def _subtree(self, number: int) -> list[Hashes]:
        """Hash the leaves below node `number` of the lowest level that is kept."""
        first = number << self._base
        count = min(1 << self._base, self.layout.leaves - first)
        level = self._leaf_hashes(first, count)
        levels = [level]
        for height in range(self._base - 1):
            level = folded(level, height, self._hasher)
            levels.append(level)
        return levels

    def _levels_above(self) -> list[Hashes]:
        layout = self.layout
        batch = max(1, _BATCH_BYTES // layout.leaf_bytes) if layout.is_padded else layout.leaves
        parts = [
            self._leaf_hashes(first, min(batch, layout.leaves - first))
            for first in range(0, layout.leaves, batch)
        ]
        level = parts[0] if len(parts) == 1 else np.concatenate(parts)
        levels: list[Hashes] = []
        for height in range(layout.height):
            levels += [level] if height >= self._base else []
            level = folded(level, height, self._hasher)
        return [*levels, level]

    def _leaf_hashes(self, first: int, count: int) -> Hashes:
        return self._hasher.hash_rows("leaf", self.layout.leaf_data(self.array, first, count))


def folded(level: Hashes, height: int, hasher: RowHasher) -> Hashes:
    """Return the parents of the nodes at a height, which padding completes to pairs."""
    if len(level) % 2:
        padding = np.frombuffer(padding_hash(height), np.uint8)
        level = np.concatenate([level, padding[np.newaxis]])
    return hasher.hash_rows("node", level.reshape(-1, 2 * HASH_BYTES))


class RootTree:
    """The tree whose leaves are the roots of tensors, in the order of their values."""

    def __init__(self, label: str, roots: Sequence[Hash]) -> None:
        """Hash a list of roots, which may be empty."""
        self.roots: Final = tuple(roots)
        self._levels: Final = [list(roots) or [ZERO_HASH]]
        for height in range(tree_height(len(roots))):
            level = self._levels[-1]
            if len(level) % 2:
                level.append(padding_hash(height))
            pairs = zip(level[::2], level[1::2], strict=True)
            self._levels.append([node(left, right) for left, right in pairs])
        self.root: Final[Hash] = roots_root(label, len(roots), self._levels[-1][0])

    def siblings(self, numbers: Sequence[int]) -> tuple[Hash, ...]:
        """Return the hashes that prove some roots, distinct and ascending (`multiproof`)."""
        places = sibling_places(numbers, len(self._levels) - 1)
        return tuple(self._levels[level][index] for level, index in places)


def roots_root(label: str, count: int, top: Hash) -> Hash:
    """Return H(label, u32 count ‖ top): the root over so many tensors' roots."""
    return digest(label, u32(count), top)


@dataclass(frozen=True, slots=True)
class Committed:
    """Some values, committed to one by one and together."""

    tensors: tuple[Openable, ...]
    tree: RootTree

    @property
    def root(self) -> Hash:
        """The one root over all."""
        return self.tree.root


class TraceCommitter:
    """Commits to a job's values as they are computed: give `observe` to `executor.execute`.

    Every value is kept, so that any of its cells can be opened later.
    """

    def __init__(self, checked: CheckedProgram, items: int, hasher: RowHasher) -> None:
        """Prepare for a job of `items`. Raises RuleViolation "challenge-row"."""
        self._checked: Final = checked
        self._hasher: Final = hasher
        self._layouts: Final = trace_layouts(checked, items)
        self._tensors: Final[list[CommittedTensor]] = []

    def observe(self, array: Array) -> None:
        """Commit to the next value: the input, then each op's result."""
        layout = self._layouts[len(self._tensors)]
        self._tensors.append(CommittedTensor(layout, array, self._hasher))

    def root_of(self, value: int) -> Hash:
        """Return the root of a computed value observed before.

        Of an int8 value it is that of the operand A as blocks are mined with it: a worker that
        commits to its trace need not hash operands again.
        """
        return self._tensors[trace_number(self._checked, value)].root

    def trace(self) -> Committed:
        """Return the trace; all its values must have been observed."""
        if len(self._tensors) != len(self._layouts):
            raise ValueError(f"{len(self._tensors)} of {len(self._layouts)} values were observed")
        roots = [tensor.root for tensor in self._tensors]
        return Committed(tuple(self._tensors), RootTree(TRACE_LABEL, roots))


def commit_constants(checked: CheckedProgram, weights: Buffer, hasher: RowHasher) -> Committed:
    """Commit to a program's constants, in declared order, once at registration.

    Raises RuleViolation: weights-size, challenge-row.
    """
    arrays = load_weights(checked, weights)
    tensors = tuple(
        CommittedTensor(layout, array, hasher)
        for layout, array in zip(constant_layouts(checked), arrays, strict=True)
    )
    return Committed(tensors, RootTree(CONSTANTS_LABEL, [tensor.root for tensor in tensors]))


def trace_layouts(checked: CheckedProgram, items: int) -> tuple[TensorLayout, ...]:
    """Return the layouts of a trace's values: the input's, then each result's."""
    values = [value for value in checked.values if not value.constant]
    return tuple(TensorLayout.of(value.type, items) for value in values)


def constant_layouts(checked: CheckedProgram) -> tuple[TensorLayout, ...]:
    """Return the layouts of the constants, in declared order."""
    return tuple(TensorLayout.of(const.type, None) for const in checked.program.consts)


def trace_number(checked: CheckedProgram, value: int) -> int:
    """Return the place in the trace of a computed value: 0 for the input, then each op's result."""
    return 0 if value == INPUT else value - len(checked.program.consts)
