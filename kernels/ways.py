"""Choosing how to multiply: the fastest way this processor has that is right on the worst cases."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from ..consensus.ticket.constants import RANK, TILE
from ..consensus.ticket.transcript import lanes_of_tiles
from ..core.errors import UserError
from .layout import (
    Layout,
    Left,
    natural_sums,
    natural_transcripts,
    packed_columns,
    tiled_rows,
)
from .machine import NativeFunction, aligned, features, native
from .product import ARGUMENTS, FOLDED, NAME, QUARTERS, Dot, vector_product
from .tile_product import DEPTH, LANES, permitted, tile_product

SLACK: Final = 16
"""Entries of zeros behind all transcripts, because tickets are drawn in whole vectors."""


def sums_room(layout: Layout, panels: int, tiles: int) -> NDArray[np.int32]:
    """Return room for the sums of so many panels and row tiles, (…, …, 16, 4, lanes)."""
    return aligned((panels, tiles, TILE, QUARTERS, layout.lanes), np.int32)


def transcripts_room(layout: Layout, panels: int, tiles: int) -> NDArray[np.uint32]:
    """Return room for the transcripts of so many panels and row tiles, (…, …, 8, lanes)."""
    count = panels * tiles
    words = aligned((count + SLACK, FOLDED, layout.lanes), np.uint32)
    words[count:] = 0
    return words[:count].reshape(panels, tiles, FOLDED, layout.lanes)


class Way:
    """One way to multiply, with the layout of its operands."""

    def __init__(self, name: str, layout: Layout, module: ir.Module) -> None:
        """Compile it."""
        self.name, self.layout = name, layout
        self._run: NativeFunction = native(module, NAME, ARGUMENTS)

    def multiply(
        self,
        left: Left,
        b: NDArray[Any],
        sums: NDArray[np.int32],
        words: NDArray[np.uint32],
        *,
        fresh: bool,
    ) -> None:
        """Set (fresh) or raise the sums by A'·B', and fold them into `words` after every slab.

        `b` is (panels, slabs, …). Sums or words that nobody wants may have room for one panel only,
        which then serves all.
        """
        self._run(
            *(operand.ctypes.data for operand in (left.tiles, b, left.bias)),
            *(left.tiles.shape[1], len(left.tiles), len(b)),
            *_address_and_step(sums, len(b)),
            *_address_and_step(words, len(b)),
            int(fresh),
        )


def _address_and_step(room: NDArray[Any], panels: int) -> tuple[int, int]:
    return room.ctypes.data, room.strides[0] if len(room) == panels else 0


@cache
def best_way() -> Way:
    """Return the fastest way that passes its test here. Raises UserError when none does."""
    for make in candidates():
        way = make()
        if is_right(way):
            return way
    raise UserError("no kernel multiplies rightly on this processor; use another device")


def candidates() -> list[Callable[[], Way]]:
    """Return every way that this processor's instructions allow, fastest first."""
    have = features()
    found: list[Callable[[], Way]] = []
    if {"amx-tile", "amx-int8"} <= have and permitted():
        found.append(lambda: Way("amx", Layout(LANES, DEPTH), tile_product()))
    found += [_vector_way(name, dot) for name, needs, dot in _DOTS if needs <= have]
    return found


def is_right(way: Way) -> bool:
    """Compare a way with the consensus reference on operands that overflow or wrap elsewhere."""
    tiles, panels, slabs = 2, 2, 5
    columns, k = panels * way.layout.columns, slabs * RANK
    sums = sums_room(way.layout, panels, tiles)
    words = transcripts_room(way.layout, panels, tiles)
    for a in _extremes(TILE * tiles, k):
        for b in _extremes(columns, k):
            left = Left.of(tiled_rows(a, way.layout), way.layout)
            right = packed_columns(tiled_rows(b, way.layout), way.layout)
            way.multiply(left, right, sums, words, fresh=True)
            if not np.array_equal(natural_sums(sums), a.astype(np.int64) @ b.astype(np.int64).T):
                return False
            if not np.array_equal(natural_transcripts(words), lanes_of_tiles(a, b)):
                return False
    return True


_VNNI: Final = "vpdpbusd $3, $2, $0"
_DOTS: Final = (
    ("avx512-vnni", {"avx512vnni", "avx512bw"}, Dot(16, 4, 4, assembly=_VNNI)),
    ("avx-vnni", {"avxvnni"}, Dot(8, 4, 2, assembly="{vex} " + _VNNI)),
    ("avx512", {"avx512bw"}, Dot(16, 2, 4, intrinsic="llvm.x86.avx512.pmaddw.d.512")),
    ("avx2", {"avx2"}, Dot(8, 2, 2, intrinsic="llvm.x86.avx2.pmadd.wd")),
    ("portable", set[str](), Dot(8, 2, 2)),
)


def _vector_way(name: str, dot: Dot) -> Callable[[], Way]:
    layout = Layout(dot.lanes, dot.depth, biased=bool(dot.assembly))
    return lambda: Way(name, layout, vector_product(dot))


def _extremes(rows: int, k: int) -> list[NDArray[np.int8]]:
    ramp = np.arange(rows * k, dtype=np.int64).reshape(rows, k) * 37 % 256 - 128
    mixed = np.where(np.arange(k) % 4 < 2, 127, -128)
    return [
        np.full((rows, k), -128, np.int8),
        np.full((rows, k), 127, np.int8),
        ramp.astype(np.int8),
        np.broadcast_to(mixed, (rows, k)).astype(np.int8),
    ]
