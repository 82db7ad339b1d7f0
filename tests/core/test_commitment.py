"""Commitment trees against a plain recursive reading of protocol §5, and attacks on openings."""

from collections.abc import Sequence
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
    prove_row,
    verify_item,
    verify_opening,
    verify_row,
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


KINDS = [(np.int8, INT8), (np.int32, INT32)]


def row_bytes_of(array: NDArray[Any], index: int) -> bytes:
    return array[index].astype(array.dtype.newbyteorder("<")).tobytes()


def refuse_row(
    root: bytes,
    rows: int,
    row_bytes: int,
    dtype: int,
    index: int,
    row: bytes,
    siblings: Sequence[bytes],
) -> None:
    with pytest.raises(RuleViolation) as caught:
        verify_row(root, rows, row_bytes, dtype, index, row, siblings)
    assert caught.value.rule == "opening"


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 15, 16, 17, 31, 33, 64, 65])
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_of_every_size_is_proved_at_its_own_index_alone(
    rows: int, kind: tuple[Any, int]
) -> None:
    dtype, code = kind
    array = matrix(rows, 3, dtype)
    tree = Tree(array)
    size = array[0].nbytes
    for index in range(rows):
        row, siblings = row_bytes_of(array, index), prove_row(tree, index)
        assert len(siblings) == (rows - 1).bit_length()
        verify_row(tree.root, rows, size, code, index, row, siblings)
        for other in {(index + 1) % rows, index ^ 1, index - rows, index + rows} - {index}:
            refuse_row(tree.root, rows, size, code, other, row, siblings)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.sampled_from(KINDS), st.data())
def test_a_row_proof_with_anything_changed_is_refused(
    rows: int, columns: int, kind: tuple[Any, int], data: st.DataObject
) -> None:
    dtype, code = kind
    array = matrix(rows, columns, dtype)
    tree = Tree(array)
    size = array[0].nbytes
    index = data.draw(st.integers(0, rows - 1))
    row, siblings = row_bytes_of(array, index), prove_row(tree, index)
    verify_row(tree.root, rows, size, code, index, row, siblings)
    joined = b"".join(siblings)
    flip = data.draw(st.integers(0, size + len(joined) + 32 - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    changed = bytearray(row + joined + tree.root)
    changed[flip] ^= bit
    path = [bytes(changed[i : i + 32]) for i in range(size, size + len(joined), 32)]
    refuse_row(bytes(changed[-32:]), rows, size, code, index, bytes(changed[:size]), path)
    count = data.draw(st.integers(1, 140).filter(lambda count: count != rows))
    refuse_row(tree.root, count, size, code, index, row, siblings)
    refuse_row(tree.root, rows, size, INT8 + INT32 - code, index, row, siblings)
    refuse_row(tree.root, rows, size, code, index, row, (*siblings, bytes(32)))
    refuse_row(tree.root, rows, size, code, index, row, (bytes(32), *siblings))
    if siblings:
        refuse_row(tree.root, rows, size, code, index, row, siblings[:-1])
        refuse_row(tree.root, rows, size, code, index, row, siblings[1:])


def test_every_flipped_byte_of_a_row_proof_is_refused() -> None:
    array = matrix(21, 2, np.int32)
    tree = Tree(array)
    row, siblings = row_bytes_of(array, 20), prove_row(tree, 20)
    for position in range(len(row)):
        changed = bytearray(row)
        changed[position] ^= 255
        refuse_row(tree.root, 21, 8, INT32, 20, bytes(changed), siblings)
    for position in range(32 * len(siblings)):
        path = [bytearray(sibling) for sibling in siblings]
        path[position // 32][position % 32] ^= 1
        refuse_row(tree.root, 21, 8, INT32, 20, row, [bytes(sibling) for sibling in path])


def test_rows_outside_the_matrix_are_not_proved() -> None:
    tree = Tree(matrix(5, 4))
    for index in (-1, 5, 7):
        with pytest.raises(ValueError, match="of 5"):
            prove_row(tree, index)


class TestForgedRow:
    array = matrix(5, 64)
    tree = Tree(array)
    row = array[3].tobytes()
    siblings = prove_row(tree, 3)

    @pytest.mark.parametrize(
        ("rows", "row_bytes", "dtype", "index"),
        [
            (0, 64, INT8, 0),
            (5, 0, INT8, 3),
            (5, 63, INT8, 3),
            (5, 2**32, INT8, 3),
            (2**32, 64, INT8, 3),
            (5, 64, 3, 3),
            (5, 64, 256, 3),
            (5, 64, INT8, -2),
            (5, 64, INT8, 5),
        ],
    )
    def test_numbers_off_the_matrix(
        self, rows: int, row_bytes: int, dtype: int, index: int
    ) -> None:
        refuse_row(self.tree.root, rows, row_bytes, dtype, index, self.row, self.siblings)

    def test_padding_is_not_a_row(self) -> None:
        """Leaf 5 is padding: neither its hash nor its bytes open, within the count or beyond it."""
        padded = prove_row(self.tree, 4)
        for count in (5, 6, 8):
            refuse_row(self.tree.root, count, 64, INT8, 5, bytes(64), padded)
            refuse_row(self.tree.root, count, 32, INT8, 5, bytes(32), padded)

    def test_the_zero_operand_has_no_rows(self) -> None:
        refuse_row(ZERO_OPERAND_ROOT, 1, 64, INT8, 0, bytes(64), ())

    @pytest.mark.parametrize("rows", [2, 4, 5, 8])
    def test_inner_nodes_are_not_leaves(self, rows: int) -> None:
        """A pair of hashes is as long as a row here; it opens nowhere."""
        array = self.array[np.arange(rows) % 5]
        tree = Tree(array)
        pair = leaf(array[0].tobytes()) + leaf(array[1].tobytes())
        siblings = prove_row(tree, 0)
        for count in {rows, max(rows // 2, 1), -(-rows // 2)}:
            refuse_row(tree.root, count, 64, INT8, 0, pair, siblings[1:])
            refuse_row(tree.root, count, 64, INT8, 0, pair, siblings)

    def test_a_matrix_is_not_a_list(self) -> None:
        items = [row.tobytes() for row in self.array]
        refuse_row(list_root(items), 5, 64, INT8, 3, self.row, prove_item(items, 3))


def crooked_root(rows: int, row_bytes: int, dtype: int, top: bytes) -> bytes:
    """Return the root that a prover who keeps to no rule derives from any top."""
    shape = rows.to_bytes(4, "little") + row_bytes.to_bytes(4, "little")
    return h("root", shape + bytes([dtype]) + top)


class TestCrookedTree:
    """Roots made to open where no matrix does: only the checks of lengths stand in the way."""

    row = bytes(range(8))
    pair = h("node", h("leaf", row) + bytes(32))

    def test_the_tree_opens_when_its_lengths_are_right(self) -> None:
        verify_row(crooked_root(2, 8, INT8, self.pair), 2, 8, INT8, 0, self.row, [bytes(32)])

    @pytest.mark.parametrize("rows", [1, 3, 4, 5, 2**32 - 1])
    def test_tree_of_another_height(self, rows: int) -> None:
        root = crooked_root(rows, 8, INT8, self.pair)
        refuse_row(root, rows, 8, INT8, 0, self.row, [bytes(32)])

    @pytest.mark.parametrize("row_bytes", [1, 7, 9, 16])
    def test_row_of_another_length(self, row_bytes: int) -> None:
        root = crooked_root(2, row_bytes, INT8, self.pair)
        refuse_row(root, 2, row_bytes, INT8, 0, self.row, [bytes(32)])

    def test_index_beyond_the_count(self) -> None:
        """Three rows leave room for a fourth leaf."""
        top = h("node", bytes(32) + h("node", bytes(32) + h("leaf", self.row)))
        root = crooked_root(3, 8, INT8, top)
        refuse_row(root, 3, 8, INT8, 3, self.row, [bytes(32)] * 2)
        refuse_row(root, 3, 8, INT8, -1, self.row, [bytes(32)] * 2)

    def test_half_a_number(self) -> None:
        root = crooked_root(1, 7, INT32, h("leaf", self.row[:7]))
        refuse_row(root, 1, 7, INT32, 0, self.row[:7], [])

    def test_empty_row(self) -> None:
        refuse_row(crooked_root(1, 0, INT8, h("leaf", b"")), 1, 0, INT8, 0, b"", [])

    def test_unknown_type(self) -> None:
        refuse_row(crooked_root(1, 8, 3, h("leaf", self.row)), 1, 8, 3, 0, self.row, [])

    @pytest.mark.parametrize("size", [0, 31, 33, 64])
    def test_sibling_of_another_length(self, size: int) -> None:
        top = h("node", h("leaf", self.row) + bytes(size))
        refuse_row(crooked_root(2, 8, INT8, top), 2, 8, INT8, 0, self.row, [bytes(size)])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.sampled_from(KINDS), st.data())
def test_rows_and_tiles_open_the_same_root(
    tiles: int, kind: tuple[Any, int], data: st.DataObject
) -> None:
    dtype, code = kind
    array = matrix(16 * tiles, 5, dtype)
    tree = Tree(array)
    index = data.draw(st.integers(0, 16 * tiles - 1))
    assert prove_row(tree, index)[4:] == tree.open(index // 16)
    row = row_bytes_of(array, index)
    verify_row(tree.root, 16 * tiles, len(row), code, index, row, prove_row(tree, index))


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
