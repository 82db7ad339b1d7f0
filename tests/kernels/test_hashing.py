"""Vectorised BLAKE3 equals the package, byte for byte, for any length of one chunk."""

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.kernels.hashing import Messages, hash_lanes

LENGTHS = [1, 5, 64, 65, 137, 200]
"""Each is compiled by itself: parts of a word, whole blocks, one more than a block, several."""


@pytest.mark.parametrize("length", LENGTHS)
@settings(max_examples=8, deadline=None)
@given(st.integers(1, 40), st.integers(1, 2), st.binary(min_size=32, max_size=32))
def test_digests_equal_the_package(length: int, count: int, blocks: int, key: bytes) -> None:
    messages = Messages.room(count, length)
    groups, words, lanes = messages.words.shape
    assert lanes == hash_lanes()
    content = np.random.default_rng(length).integers(0, 256, (groups * lanes, length), np.uint8)
    padded = np.zeros((groups * lanes, 4 * words), np.uint8)
    padded[:, :length] = content
    messages.words[...] = padded.view("<u4").reshape(groups, lanes, words).transpose(0, 2, 1)
    out = messages.hashed(key, blocks).transpose(0, 2, 1).reshape(groups * lanes, -1)
    for index in range(count):
        expected = blake3(content[index].tobytes(), key=key).digest(length=64 * blocks)
        assert out[index].astype("<u4").tobytes() == expected


@pytest.mark.parametrize("length", [0, 1025])
def test_only_messages_of_one_chunk_are_taken(length: int) -> None:
    with pytest.raises(ValueError, match="not one chunk"):
        Messages.room(1, length)
