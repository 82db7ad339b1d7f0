"""Blobs: the tree against a plain recursion, and every way a chunk can be wrong."""

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.blob import (
    CHUNK_BYTES,
    MAX_CHUNKS,
    Chunk,
    blob_root,
    chunk_count,
    split_blob,
    verify_chunk,
)
from pouw.core.codec import decode, encode
from pouw.core.errors import BodyMismatch, DecodeError, RuleViolation


def labelled(label: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context="pouw v1 " + label).digest()


def plain_top(pieces: list[bytes], width: int) -> bytes:
    """The tree by recursion over halves, missing leaves being zero."""
    if width == 1:
        return labelled("chunk", pieces[0]) if pieces else bytes(32)
    half = width // 2
    left, right = plain_top(pieces[:half], half), plain_top(pieces[half:], half)
    return labelled("node", left + right)


def plain_root(data: bytes) -> bytes:
    pieces = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    width = 1
    while width < len(pieces):
        width *= 2
    return labelled("blob", len(data).to_bytes(8, "little") + plain_top(pieces, width))


def content(size: int, seed: int = 0) -> bytes:
    return blake3(seed.to_bytes(4, "little")).digest(length=size)


def near_multiple(chunks: int, offset: int) -> int:
    return max(1, chunks * CHUNK_BYTES + offset)


sizes = st.one_of(
    st.integers(1, 3 * CHUNK_BYTES),
    st.builds(near_multiple, st.integers(0, 9), st.integers(-1, 1)),
)


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 100))
def test_root_is_the_plain_tree_and_every_chunk_verifies(size: int, seed: int) -> None:
    data = content(size, seed)
    root, chunks = split_blob(data)
    assert root == plain_root(data) == blob_root(data)
    assert b"".join(chunk.data for chunk in chunks) == data
    assert len(chunks) == chunk_count(size)
    for index, chunk in enumerate(chunks):
        verify_chunk(root, size, index, chunk)


@settings(max_examples=30, deadline=None)
@given(sizes, st.data())
def test_a_chunk_verifies_at_its_own_place_only(size: int, data: st.DataObject) -> None:
    root, chunks = split_blob(content(size))
    index = data.draw(st.integers(0, len(chunks) - 1))
    other = data.draw(st.integers(0, 2 * len(chunks)).filter(lambda i: i != index))
    with pytest.raises(BodyMismatch):
        verify_chunk(root, size, other, chunks[index])


@settings(max_examples=30, deadline=None)
@given(sizes, st.data())
def test_changed_byte_sibling_or_root(size: int, data: st.DataObject) -> None:
    root, chunks = split_blob(content(size))
    index = data.draw(st.integers(0, len(chunks) - 1))
    chunk = chunks[index]
    at = data.draw(st.integers(0, len(chunk.data) - 1))
    changed = chunk.data[:at] + bytes([chunk.data[at] ^ 1]) + chunk.data[at + 1 :]
    with pytest.raises(BodyMismatch, match="does not belong"):
        verify_chunk(root, size, index, msgspec.structs.replace(chunk, data=changed))
    with pytest.raises(BodyMismatch, match="does not belong"):
        verify_chunk(bytes(32), size, index, chunk)
    if chunk.path:
        path = (bytes(32) if chunk.path[0] != bytes(32) else bytes([1] * 32), *chunk.path[1:])
        with pytest.raises(BodyMismatch, match="does not belong"):
            verify_chunk(root, size, index, Chunk(chunk.data, path))


def test_path_length() -> None:
    root, chunks = split_blob(content(3 * CHUNK_BYTES))
    for path in (chunks[0].path[:-1], (*chunks[0].path, bytes(32)), ()):
        with pytest.raises(BodyMismatch, match="path"):
            verify_chunk(root, 3 * CHUNK_BYTES, 0, Chunk(chunks[0].data, path))


def test_chunk_length() -> None:
    data = content(CHUNK_BYTES + 10)
    root, chunks = split_blob(data)
    for index, piece in ((0, data[:100]), (1, data[-9:]), (1, data[-11:]), (1, b"")):
        with pytest.raises(BodyMismatch, match="bytes"):
            verify_chunk(root, len(data), index, Chunk(piece, chunks[index].path))


def test_one_root_has_one_size() -> None:
    """The root binds the size: the same bytes under another size do not verify."""
    data = content(CHUNK_BYTES * 2)
    root, chunks = split_blob(data)
    with pytest.raises(BodyMismatch):
        verify_chunk(root, len(data) + CHUNK_BYTES, 0, chunks[0])
    with pytest.raises(BodyMismatch):
        verify_chunk(root, len(data) - 1, 0, chunks[0])


def test_padding_is_no_chunk() -> None:
    """A zero leaf that fills the tree up cannot be opened, and an inner node is no chunk."""
    data = content(2 * CHUNK_BYTES + 1)
    root, chunks = split_blob(data)
    with pytest.raises(BodyMismatch):
        verify_chunk(root, len(data), 3, Chunk(b"", chunks[2].path))
    left = labelled("chunk", chunks[0].data) + labelled("chunk", chunks[1].data)
    with pytest.raises(BodyMismatch):
        verify_chunk(root, len(data), 0, Chunk(left, chunks[0].path[1:]))


@pytest.mark.parametrize("size", [-1, 0, MAX_CHUNKS * CHUNK_BYTES + 1, 1 << 70])
def test_size_bounds(size: int) -> None:
    with pytest.raises(RuleViolation) as caught:
        chunk_count(size)
    assert caught.value.rule == "blob-size"


def test_empty_blob() -> None:
    with pytest.raises(RuleViolation) as caught:
        split_blob(b"")
    assert caught.value.rule == "blob-size"


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (1, 1),
        (CHUNK_BYTES, 1),
        (CHUNK_BYTES + 1, 2),
        (MAX_CHUNKS * CHUNK_BYTES, MAX_CHUNKS),
    ],
)
def test_chunk_count(size: int, count: int) -> None:
    assert chunk_count(size) == count


def test_encoded_chunks_are_bounded() -> None:
    fits = Chunk(bytes(CHUNK_BYTES), (bytes(32),) * 16)
    assert decode(Chunk, encode(fits), 1 << 20) == fits
    for chunk in (Chunk(bytes(CHUNK_BYTES + 1), ()), Chunk(b"", (bytes(32),) * 17)):
        with pytest.raises(DecodeError):
            decode(Chunk, encode(chunk), 1 << 20)
