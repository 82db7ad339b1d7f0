"""Every way to multiply on this processor is exact, and the self-test catches one that is not."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.ticket.transcript import lanes_of_tiles
from pouw.kernels.layout import (
    Layout,
    Left,
    natural_sums,
    natural_transcripts,
    packed_columns,
    tiled_rows,
)
from pouw.kernels.product import Dot, vector_product
from pouw.kernels.ways import (
    Way,
    best_way,
    candidates,
    is_right,
    sums_room,
    transcripts_room,
)

WAYS = {way.name: way for way in (make() for make in candidates())}


def drawn(rows: int, k: int, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 127, (rows, k), np.int8, endpoint=True)


@pytest.mark.parametrize("name", list(WAYS))
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_sums_and_transcripts_equal_the_reference(
    name: str, row_tiles: int, col_tiles: int, slabs: int, seed: int
) -> None:
    way = WAYS[name]
    rows, columns, k = 16 * row_tiles, 16 * col_tiles, 128 * slabs
    a, b = drawn(rows, k, seed), drawn(columns, k, seed + 1)
    left = Left.of(tiled_rows(a, way.layout), way.layout)
    right = packed_columns(tiled_rows(b, way.layout), way.layout)
    sums = sums_room(way.layout, len(right), row_tiles)
    words = transcripts_room(way.layout, len(right), row_tiles)
    way.multiply(left, right, sums, words, fresh=True)
    plain = a.astype(np.int64) @ b.astype(np.int64).T
    assert np.array_equal(natural_sums(sums)[:, :columns], plain)
    assert np.array_equal(natural_transcripts(words)[:, :col_tiles], lanes_of_tiles(a, b))
    way.multiply(left, right, sums, words, fresh=False)
    assert np.array_equal(natural_sums(sums)[:, :columns], 2 * plain)


@pytest.mark.parametrize("name", list(WAYS))
def test_room_for_one_panel_serves_all(name: str) -> None:
    """Sums that nobody wants are overwritten panel by panel, and the transcripts stay right."""
    way = WAYS[name]
    a, b = drawn(32, 768, 1), drawn(3 * way.layout.columns, 768, 2)
    left = Left.of(tiled_rows(a, way.layout), way.layout)
    right = packed_columns(tiled_rows(b, way.layout), way.layout)
    sums, words = sums_room(way.layout, 1, 2), transcripts_room(way.layout, 3, 2)
    way.multiply(left, right, sums, words, fresh=True)
    assert np.array_equal(natural_transcripts(words), lanes_of_tiles(a, b))


def test_the_chosen_way_is_the_first_that_is_right() -> None:
    assert best_way().name == next(name for name, way in WAYS.items() if is_right(way))
    assert all(is_right(way) for way in WAYS.values())


def test_self_test_rejects_kernels_that_compute_something_else() -> None:
    """The portable kernel is right for plain columns, wrong for those stored with 128 added."""
    dot = Dot(8, 2, 2)
    assert is_right(Way("portable", Layout(8, 2), vector_product(dot)))
    assert not is_right(Way("biased", Layout(8, 2, biased=True), vector_product(dot)))


def test_the_portable_way_is_always_there() -> None:
    assert [*WAYS][-1] == "portable"


LIMITED = """
import numpy as np
from blake3 import blake3
from pouw.kernels.hashing import Messages, hash_lanes
from pouw.kernels.ways import best_way, is_right

messages = Messages.room(3, 64)
messages.words[...] = np.arange(messages.words.size, dtype=np.uint32).reshape(messages.words.shape)
out = messages.hashed(bytes(32), 1)
expected = blake3(messages.words[0, :, 2].tobytes(), key=bytes(32)).digest(64)
print(best_way().name, is_right(best_way()), hash_lanes(), out[0, :, 2].tobytes() == expected)
"""


@pytest.mark.skipif("avx2" not in WAYS, reason="the limit is one of x86 processors")
def test_a_limit_on_instructions_is_obeyed() -> None:
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED], env=limited, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["avx2", "True", "8", "True"]
