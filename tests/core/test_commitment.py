"""Commitment trees against a plain recursive reading of protocol §3, and attacks on openings."""

from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.commitment import (
    INT8,
    INT32,
    ZERO_OPERAND_ROOT,
    Tree,
    leaf,
    list_root,
    node,
    operand_root,
    path_length,
    prove_item,
    verify_item,
    verify_opening,
)
from pouw.core.errors import RuleViolation


def h(label: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context="pouw v1 " + label).digest()


def plain_top(leaves: list[bytes]) -> bytes:
    width = 1
    while width < len(leaves):
        width *= 2
    level = leaves + [bytes(32)] * (width - len(leaves))
    while len(level) > 1:
        level = [h("node", level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def plain_root(array: NDArray[Any]) -> bytes:
    code = 1 if array.dtype == np.int8 else 2
    rows = [row.astype(row.dtype.newbyteorder("<")).tobytes() for row in array]
    top = plain_top([h("leaf", row) for row in rows])
    shape = len(rows).to_bytes(4, "little") + len(rows[0]).to_bytes(4, "little")
    return h("root", shape + bytes([code]) + top)


def matrix(rows: int, columns: int, dtype: Any = np.int8, seed: int = 1) -> NDArray[Any]:
    info = np.iinfo(dtype)
    generator = np.random.default_rng(seed)
    return generator.integers(info.min, info.max, (rows, columns), dtype, endpoint=True)


@given(st.integers(1, 70), st.integers(1, 9), st.sampled_from([np.int8, np.int32]))
def test_root_is_the_plain_one(rows: int, columns: int, dtype: Any) -> None:
    array = matrix(rows, columns, dtype)
    assert Tree(array).root == operand_root(array) == plain_root(array)


def test_zero_operand_has_the_zero_root() -> None:
    assert operand_root(None) == ZERO_OPERAND_ROOT == bytes(32)


@pytest.mark.parametrize("array", [np.zeros((0, 4), np.int8), np.zeros(4, np.int8)])
def test_tree_needs_a_matrix(array: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="matrix"):
        Tree(array)


def test_tree_knows_two_types_only() -> None:
    with pytest.raises(ValueError, match="int64"):
        Tree(np.zeros((2, 2), np.int64))


def test_root_does_not_depend_on_memory_order() -> None:
    array = matrix(32, 6)
    assert Tree(np.asfortranarray(array)).root == Tree(array).root


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.data(), st.sampled_from([(np.int8, INT8), (np.int32, INT32)]))
def test_every_tile_opens(tiles: int, data: st.DataObject, kind: tuple[Any, int]) -> None:
    dtype, code = kind
    array = matrix(16 * tiles, 5, dtype)
    tree = Tree(array)
    tile = data.draw(st.integers(0, tiles - 1))
    path = tree.open(tile)
    assert len(path) == path_length(16 * tiles)
    rows = array[16 * tile : 16 * tile + 16].tobytes()
    verify_opening(tree.root, rows, path, 16 * tiles, tile, code)
    other = data.draw(st.integers(0, tiles))
    if other != tile:
        refuse(tree.root, rows, path, 16 * tiles, other, code)


def refuse(
    root: bytes, rows: bytes, path: tuple[bytes, ...], total: int, tile: int, code: int
) -> None:
    with pytest.raises(RuleViolation) as caught:
        verify_opening(root, rows, path, total, tile, code)
    assert caught.value.rule == "opening"


def test_no_tile_outside_the_matrix_or_off_the_grid() -> None:
    tree = Tree(matrix(32, 4))
    for tile in (-1, 2):
        with pytest.raises(ValueError, match="aligned"):
            tree.open(tile)
    with pytest.raises(ValueError, match="aligned"):
        Tree(matrix(17, 4)).open(0)


class TestForgedOpening:
    array = matrix(80, 64)
    tree = Tree(array)
    rows = array[16:32].tobytes()
    path = tree.open(1)

    def test_changed_value(self) -> None:
        refuse(self.tree.root, bytes([self.rows[0] ^ 1]) + self.rows[1:], self.path, 80, 1, INT8)

    def test_unaligned_rows(self) -> None:
        refuse(self.tree.root, self.array[17:33].tobytes(), self.path, 80, 1, INT8)

    def test_repeated_row(self) -> None:
        refuse(self.tree.root, self.array[16:17].tobytes() * 16, self.path, 80, 1, INT8)

    def test_wrong_number_of_siblings(self) -> None:
        refuse(self.tree.root, self.rows, self.path[:-1], 80, 1, INT8)
        refuse(self.tree.root, self.rows, (*self.path, bytes(32)), 80, 1, INT8)

    def test_changed_sibling(self) -> None:
        refuse(self.tree.root, self.rows, (bytes(32), *self.path[1:]), 80, 1, INT8)

    def test_bytes_that_are_not_sixteen_rows(self) -> None:
        refuse(self.tree.root, b"", self.path, 80, 1, INT8)
        refuse(self.tree.root, self.rows[:-1], self.path, 80, 1, INT8)

    def test_one_root_has_one_number_of_rows(self) -> None:
        """Five and six tiles pad to the same tree; the root still tells them apart."""
        assert path_length(96) == path_length(80)
        refuse(self.tree.root, self.rows, self.path, 96, 1, INT8)

    def test_one_root_has_one_type(self) -> None:
        refuse(self.tree.root, self.rows, self.path, 80, 1, INT32)

    def test_one_root_has_one_row_length(self) -> None:
        """Two rows read as one longer row are other leaves."""
        refuse(self.tree.root, self.array[:32].tobytes(), self.path[2:], 32, 0, INT8)

    def test_padding_is_not_a_row(self) -> None:
        refuse(self.tree.root, bytes(len(self.rows)), self.path, 96, 5, INT8)

    def test_inner_nodes_are_not_leaves(self) -> None:
        """A matrix of 64-byte rows whose rows are the pairs of hashes below its own level."""
        leaves = [leaf(row.tobytes()) for row in self.array[:64]]
        pairs = [left + right for left, right in zip(leaves[::2], leaves[1::2], strict=True)]
        assert [leaf(pair) for pair in pairs] != [node(pair[:32], pair[32:]) for pair in pairs]
        tree = Tree(self.array[:64])
        refuse(tree.root, b"".join(pairs[:16]), tree.open(0)[1:], 32, 0, INT8)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_list_root_is_the_plain_one(items: list[bytes]) -> None:
    top = plain_top([h("leaf", item) for item in items]) if items else bytes(32)
    assert list_root(items) == h("list", len(items).to_bytes(4, "little") + top)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=20), st.data())
def test_items_are_proved(items: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    root, proof = list_root(items), prove_item(items, index)
    verify_item(root, len(items), index, items[index], proof)
    with pytest.raises(RuleViolation) as caught:
        verify_item(root, len(items), index, items[index] + b"x", proof)
    assert caught.value.rule == "list-proof"


def test_item_proof_binds_count_and_index() -> None:
    items = [b"a", b"b", b"c"]
    root, proof = list_root(items), prove_item(items, 2)
    for count, index, siblings in (
        (4, 2, proof),
        (3, 1, proof),
        (3, 3, proof),
        (3, -1, proof),
        (3, 2, proof[:1]),
        (3, 2, (*proof, bytes(32))),
    ):
        with pytest.raises(RuleViolation) as caught:
            verify_item(root, count, index, b"c", siblings)
        assert caught.value.rule == "list-proof"
    with pytest.raises(ValueError, match="item 3 of 3"):
        prove_item(items, 3)
