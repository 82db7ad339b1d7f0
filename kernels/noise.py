"""Noise for whole operands, bit-equal to `consensus.ticket.noise`.

Sixteen rows are handled at a time, one in each lane of a vector: the permutation of a slab is the
same for all rows, so choosing columns of L is reading other vectors. Four columns become a word,
and words are transposed back into rows.
"""

from functools import cache
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from ..consensus.ticket.constants import RANK, TILE
from ..core.hashing import Hash
from .emit import BYTE, SIZE, WORD, Emitter, Value
from .hashing import BLOCK, Messages, hash_lanes
from .layout import Layout
from .machine import NativeFunction, aligned, native

_LABEL: Final = ord("L")
_NAME: Final = "add_noise"
_LINE: Final = 4 * TILE
_GROUPS: Final = RANK // 4


def left_factors(seed: Hash, rows: range) -> NDArray[np.int8]:
    """Return L for consecutive global row numbers: len(rows)×128, values in [−32, 31]."""
    messages = Messages.room(len(rows), 5)
    lanes = hash_lanes()
    numbers = np.zeros(len(messages.words) * lanes, np.uint32)
    numbers[: len(rows)] = rows
    by_group = numbers.reshape(-1, lanes)
    messages.words.fill(0)
    messages.words[:, 0] = by_group << np.uint32(8) | np.uint32(_LABEL)
    messages.words[:, 1] = by_group >> np.uint32(24)
    by_message = messages.hashed(seed, RANK // BLOCK).transpose(0, 2, 1)
    words = np.ascontiguousarray(by_message, "<u4").reshape(len(numbers), RANK // 4)
    drawn = words.view(np.uint8)[: len(rows)]
    return (drawn & 63).view(np.int8) - np.int8(32)


def add_noise(
    tiles: NDArray[Any], left: NDArray[np.int8], orders: NDArray[np.intp], layout: Layout
) -> None:
    """Add noise to rows in (row tiles, slabs, 16, 128), in place, from their L and permutations.

    `left` is (rows×128) of the same rows, `orders` is `permutations` of their seed.
    """
    columns = aligned((len(tiles), RANK, TILE), np.uint32)
    columns[...] = left.reshape(len(tiles), TILE, RANK).transpose(0, 2, 1).view(np.uint8)
    cycles = cyclic_offsets(orders, _LINE)
    _add_noise(layout.depth)(
        tiles.ctypes.data, columns.ctypes.data, cycles.ctypes.data, len(orders), len(tiles)
    )


def cyclic_offsets(orders: NDArray[np.intp], line: int) -> NDArray[np.int64]:
    """Return permutations as distances of rows of `line` bytes, each closed to a cycle: the last of
    its 129 entries is the first."""
    return np.concatenate((orders, orders[:, :1]), axis=1).astype(np.int64) * line


@cache
def _add_noise(depth: int) -> NativeFunction:
    emit = Emitter(_NAME, 5)
    rows, columns, cycles = (emit.pointer(argument) for argument in emit.arguments[:3])
    slabs, tiles = emit.arguments[3:]
    words = emit.room(ir.VectorType(WORD, TILE), _GROUPS)
    with emit.loop(tiles) as tile, emit.loop(slabs) as slab:
        left = emit.at(columns, emit.times(tile, RANK * _LINE))
        cycle = emit.at(cycles, emit.times(slab, (RANK + 1) * 8))
        with emit.loop(_GROUPS) as group:
            word = _four_columns(emit, left, emit.at(cycle, emit.times(group, 4 * 8)))
            emit.store(word, emit.at(words, emit.times(group, _LINE)))
        place = emit.build.add(emit.build.mul(tile, slabs), slab)
        _add_rows(emit, words, emit.at(rows, emit.times(place, TILE * RANK * 4 // depth)), depth)
    emit.build.ret_void()
    return native(emit.module, _NAME, 5)


def _four_columns(emit: Emitter, left: Value, cycle: Value) -> Value:
    """Return the noise of four neighbouring columns, a byte each, for 16 rows."""
    build, kind = emit.build, ir.VectorType(WORD, TILE)
    chosen = [
        emit.load(emit.at(left, build.load(emit.at(cycle, 8 * i), typ=SIZE)), kind)
        for i in range(5)
    ]
    word = ir.Constant(kind, [0] * TILE)
    for i in range(4):
        byte = build.and_(build.sub(chosen[i], chosen[i + 1]), ir.Constant(kind, [255] * TILE))
        word = build.or_(word, build.shl(byte, ir.Constant(kind, [8 * i] * TILE)))
    return word


def _add_rows(emit: Emitter, words: Value, rows: Value, depth: int) -> None:
    """Transpose words (32 groups, 16 rows) and add their bytes to 16 rows of 128 columns."""
    build, kind = emit.build, ir.VectorType(WORD, TILE)
    count = 4 * TILE
    element, size = (BYTE, 1) if depth == 4 else (ir.IntType(16), 2)
    for start in range(0, _GROUPS, TILE):
        lines = [
            emit.load(emit.at(words, group * _LINE), kind) for group in range(start, start + TILE)
        ]
        for row, line in enumerate(_transposed(emit, lines)):
            noise = build.bitcast(line, ir.VectorType(BYTE, count))
            if depth != 4:
                noise = build.sext(noise, ir.VectorType(element, count))
            place = emit.at(rows, (row * RANK + 4 * start) * size)
            old = build.load(place, typ=ir.VectorType(element, count), align=_LINE)
            build.store(build.add(old, noise), place, align=_LINE)


def _transposed(emit: Emitter, lines: list[Value]) -> list[Value]:
    """Transpose 16×16 words: riffling the lines four times exchanges the two numbers of a word."""
    low, high = (
        ir.Constant(
            ir.VectorType(WORD, TILE),
            [i // 2 + start + i % 2 * TILE for i in range(TILE)],
        )
        for start in (0, TILE // 2)
    )
    for _ in range(4):
        lines = [
            emit.build.shuffle_vector(lines[i], lines[i + TILE // 2], mask)
            for i in range(TILE // 2)
            for mask in (low, high)
        ]
    return lines
