"""Drawing the tickets of many tiles at once."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from ..consensus.ticket.constants import LANES
from ..consensus.ticket.target import meets_target
from ..core.hashing import Hash
from .emit import WORD, Emitter, Value
from .hashing import BLOCK, BLOCK_WORDS, Messages, hash_lanes
from .machine import NativeFunction, aligned, native
from .product import FOLDED

_LENGTH: Final = 1 + 4 * LANES + 4 + 4
_LABEL: Final = ord("T")
_NAME: Final = "write_messages"
DRAWN_TOGETHER: Final = 4096
"""Tiles whose messages and digests are in memory at one time, about 1.2 MB."""


@dataclass(frozen=True)
class Winner:
    """A tile whose ticket wins, and its transcript (128 bytes)."""

    tile_row: int
    tile_col: int
    lanes: bytes


def winners(
    a_seed: Hash, words: NDArray[np.uint32], first_row: int, col_tiles: int, limit: int
) -> list[Winner]:
    """Return the winning tiles of some rows of tiles, in no particular order.

    `words` is a whole `ways.transcripts_room`, (panels, row tiles, 8, lanes); its first row has the
    given global number, and tiles from column `col_tiles` on are padding. `limit` is
    `consensus.ticket.target.target(...)`.
    """
    panels, tiles, _, lanes = words.shape
    wide = lanes // 4
    together = max(1, DRAWN_TOGETHER // (tiles * wide))
    found: list[Winner] = []
    for panel in range(0, panels, together):
        origin = (first_row, panel * wide)
        found += _drawn(a_seed, words[panel : panel + together], origin, limit)
    return [winner for winner in found if winner.tile_col < col_tiles]


def _drawn(
    a_seed: Hash, words: NDArray[np.uint32], origin: tuple[int, int], limit: int
) -> list[Winner]:
    """Return the winners of a few panels, padding included; `origin` numbers their first tile."""
    panels, tiles, _, lanes = words.shape
    wide = lanes // 4
    rows, cols = _numbers(panels, tiles, wide)
    messages = Messages.room(rows.size, _LENGTH)
    groups = len(messages.words)
    numbers = aligned((2, groups * hash_lanes()), np.uint32)
    np.add(rows, origin[0], out=numbers[0, : rows.size])
    np.add(cols, origin[1], out=numbers[1, : cols.size])
    _write_messages(lanes)(
        words.ctypes.data,
        *(row.ctypes.data for row in numbers),
        groups,
        messages.words.ctypes.data,
    )
    tickets = messages.hashed(a_seed, 1)
    highest = tickets[:, 7].reshape(-1)[: rows.size]
    found: list[Winner] = []
    for index in np.flatnonzero(highest <= np.uint32(limit >> 224)).tolist():
        group, lane = divmod(index, hash_lanes())
        if meets_target(tickets[group, :8, lane].astype("<u4").tobytes(), limit):
            row, col = int(rows[index]), int(cols[index])
            block = words[col // wide, row, :, 4 * (col % wide) : 4 * (col % wide) + 4]
            place = (origin[0] + row, origin[1] + col)
            found.append(Winner(*place, block.astype("<u4").tobytes()))
    return found


@lru_cache(maxsize=8)
def _numbers(panels: int, tiles: int, wide: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return row and column of every tile, in the order of the transcripts."""
    panel, row, tile = np.indices((panels, tiles, wide), np.uint32).reshape(3, -1)
    return row, panel * np.uint32(wide) + tile


@cache
def _write_messages(lanes: int) -> NativeFunction:
    """Compile "T" ‖ transcript ‖ row ‖ column for every tile: (words, rows, columns, groups,
    messages)."""
    emit = Emitter(_NAME, 5)
    build, together, wide = emit.build, hash_lanes(), lanes // 4
    kind, line, entry = ir.VectorType(WORD, together), 4 * together, 4 * FOLDED * lanes
    words, rows, cols, _, messages = (emit.pointer(argument) for argument in emit.arguments)
    size = -(-_LENGTH // BLOCK) * BLOCK_WORDS
    with emit.loop(emit.arguments[3]) as group:
        source = emit.at(words, emit.times(group, together // wide * entry))
        target = emit.at(messages, emit.times(group, size * line))
        content = [
            _gathered(
                emit,
                [
                    emit.at(source, tile // wide * entry + (i * lanes + tile % wide * 4 + j) * 4)
                    for tile in range(together)
                ],
                kind,
            )
            for i in range(FOLDED)
            for j in range(4)
        ]
        for numbers in (rows, cols):
            content.append(emit.load(emit.at(numbers, emit.times(group, line)), kind))
        carried: Value = ir.Constant(kind, [_LABEL] * together)
        eight, rest = (ir.Constant(kind, [bits] * together) for bits in (8, 24))
        for index, word in enumerate(content):
            emit.store(build.or_(carried, build.shl(word, eight)), emit.at(target, index * line))
            carried = build.lshr(word, rest)
        zero = ir.Constant(kind, [0] * together)
        for index, word in enumerate([carried, *[zero] * (size - len(content) - 1)]):
            emit.store(word, emit.at(target, (len(content) + index) * line))
    build.ret_void()
    return native(emit.module, _NAME, 5)


def _gathered(emit: Emitter, places: list[Value], kind: Value) -> Value:
    vector: Value = ir.Constant(kind, ir.Undefined)
    for index, place in enumerate(places):
        vector = emit.build.insert_element(vector, emit.load(place, WORD), ir.Constant(WORD, index))
    return vector
