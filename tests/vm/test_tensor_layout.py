"""Layouts of values, against the commitment of protocol §5, cell by cell."""

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.commitment import Tree, leaf, prove_row, verify_row
from pouw.core.errors import RuleViolation
from pouw.vm.multiproof import top_from
from pouw.vm.operands import pad_operand
from pouw.vm.tensor_layout import Box, TensorLayout
from pouw.vm.trace import (
    CommittedTensor,
    PlainRowHasher,
)
from pouw.vm.types import Array, DType, Shape, TensorType

PLAIN = PlainRowHasher()


def filled(layout: TensorLayout, seed: int = 1) -> Array:
    interval = layout.dtype.interval
    cells = np.random.default_rng(seed).integers(interval.lo, interval.hi + 1, layout.shape)
    return cells.astype(layout.dtype.storage)


def literal_matrix(kind: TensorType, items: int | None, array: Array) -> Array:
    """Lay a value out cell by cell, as the protocol's words have it."""
    columns = kind.shape[-1] if kind.shape else 1
    rows = array.reshape(-1, columns)
    if kind.dtype is DType.INT8:
        return pad_operand(rows)
    width = min(columns, 256)
    blocks = -(-columns // width)
    leaves = np.zeros((len(rows) * blocks, width), np.int32)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            leaves[i * blocks + j // width, j % width] = cell
    return leaves


shapes = st.one_of(
    st.tuples(),
    st.tuples(st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.sampled_from([1, 3, 127, 128, 129, 255, 256, 257, 513])),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5)),
)
kinds = st.builds(TensorType, st.sampled_from(DType), shapes)


@settings(max_examples=60, deadline=None)
@given(kinds, st.one_of(st.none(), st.integers(1, 3)))
def test_the_tree_is_that_of_the_padded_matrix(kind: TensorType, items: int | None) -> None:
    layout = TensorLayout.of(kind, items)
    array = filled(layout)
    matrix = literal_matrix(kind, items, array)
    assert (layout.leaves, layout.leaf_bytes) == (len(matrix), matrix[0].nbytes)
    committed = CommittedTensor(layout, array, PLAIN)
    tree = Tree(matrix)
    assert committed.root == tree.root
    for number in {0, layout.leaves // 2, layout.leaves - 1}:
        siblings = committed.siblings([number])
        data = committed.leaves([number])
        assert siblings == prove_row(tree, number)
        assert data == matrix[number].tobytes()
        verify_row(tree.root, len(matrix), len(data), kind.dtype, number, data, siblings)
        own = layout.leaf_cells(number)
        assert not np.frombuffer(data, layout.dtype.storage)[own:].any()


def test_own_cells_of_all_leaves_are_the_cells_of_the_value() -> None:
    for dtype, shape in product(DType, [(), (5,), (17, 300), (3, 2, 257), (2, 128)]):
        layout = TensorLayout.of(TensorType(dtype, shape), 3)
        assert sum(map(layout.leaf_cells, range(layout.leaves))) == layout.cells


@settings(max_examples=60, deadline=None)
@given(kinds, st.one_of(st.none(), st.integers(1, 3)), st.integers())
def test_a_box_is_read_out_of_its_leaves(kind: TensorType, items: int | None, seed: int) -> None:
    rng = Random(seed)
    layout = TensorLayout.of(kind, items)
    array = filled(layout)
    start = tuple(rng.randrange(length) for length in layout.shape)
    lengths = tuple(
        rng.randint(1, length - at) for at, length in zip(start, layout.shape, strict=True)
    )
    box = Box(start, lengths)
    committed = CommittedTensor(layout, array, PLAIN)
    leaves = layout.leaves_of(box)
    assert leaves == sorted(set(leaves)) and leaves[-1] < layout.leaves
    data = committed.leaves(leaves)
    part = tuple(slice(at, at + length) for at, length in zip(start, lengths, strict=True))
    assert np.array_equal(layout.cells_of(box, data), array[part])
    size = layout.leaf_bytes
    hashes = [leaf(data[at : at + size]) for at in range(0, len(data), size)]
    siblings = committed.siblings(leaves)
    assert layout.root(top_from(leaves, hashes, layout.height, siblings)) == committed.root


def test_a_row_longer_than_any_operand_is_refused() -> None:
    assert TensorLayout.of(TensorType(DType.INT8, (2, 16_384)), 1).leaf_bytes == 16_384
    assert TensorLayout.of(TensorType(DType.INT32, (16_385,)), 1).leaf_bytes == 1024
    for items in (None, 1):
        with pytest.raises(RuleViolation, match="challenge-row"):
            TensorLayout.of(TensorType(DType.INT8, (2, 16_385)), items)


def test_shapes_are_bound() -> None:
    zeros: dict[Shape, bytes] = {}
    for shape in [(4, 6), (6, 4), (2, 12), (24,)]:
        layout = TensorLayout.of(TensorType(DType.INT32, shape), 1)
        zeros[shape] = CommittedTensor(layout, np.zeros(layout.shape, np.int32), PLAIN).root
    assert len(set(zeros.values())) == len(zeros)
