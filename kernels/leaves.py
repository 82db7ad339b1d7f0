"""BLAKE3 in derive-key mode of many rows at once, one row per vector lane: leaves and tree nodes.

Bit-equal to `core.hashing.digest`. Rows lie one after the other as commitments have them; sixteen
(or eight) of them are read side by side and transposed in registers, block by block. Longer rows
than a chunk of 1024 bytes are hashed chunk by chunk, and the chunks' values joined as BLAKE3 joins
them: pair by pair, what is left over moving up.
"""

from functools import cache
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from ..core.hashing import HASH_BYTES, digest
from .emit import POINTER, VOID, WORD, Emitter, Value, size
from .hashing import (
    _COLUMNS_THEN_DIAGONALS,
    _IV,
    _ROUNDS,
    _SHUFFLE,
    BLOCK,
    BLOCK_WORDS,
    _full,
    _mix,
    hash_lanes,
)
from .machine import NativeFunction, native

_CHUNK: Final = 1024
_CONTEXT_PREFIX: Final = "pouw v1 "
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT, _CONTEXT, _MATERIAL = 1, 2, 4, 8, 32, 64
_NAME: Final = "compress_rows"
_ARGUMENTS: Final = 12
_AHEAD: Final = 2 * BLOCK
"""Sixteen rows are more streams than a processor foresees by itself."""
_WORDS: Final = HASH_BYTES // 4
_CONTEXT_CHAIN: Final = (*_IV, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)


class NativeRowHasher:
    """Hashes rows in vector lanes; a `vm.trace.RowHasher`."""

    def hash_rows(self, label: str, rows: NDArray[np.uint8], /) -> NDArray[np.uint8]:
        """Return H(label, row), (n, 32), of each row of C-contiguous (n, length) bytes."""
        count, length = rows.shape
        if count < hash_lanes():
            joined = b"".join(digest(label, row.data) for row in rows)
            return np.frombuffer(joined, np.uint8).reshape(count, HASH_BYTES)
        return _hashed(_context_key(label), rows, length)


def _hashed(key: NDArray[np.uint8], rows: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    rows = _in_blocks(rows)
    chunks = -(-length // _CHUNK)
    values = np.empty((len(rows), chunks * HASH_BYTES), np.uint8)
    flags = _MATERIAL, _CHUNK_START, _CHUNK_END | (_ROOT if chunks == 1 else 0)
    for chunk in range(chunks):
        here = chunk * _CHUNK
        part = rows[:, here : here + _CHUNK]
        _compress(key, part, min(_CHUNK, length - here), (chunk, *flags), _place(values, chunk))
    while chunks > 1:
        values, chunks = _joined(key, values, chunks), -(-chunks // 2)
    return values


def _joined(key: NDArray[np.uint8], values: NDArray[np.uint8], chunks: int) -> NDArray[np.uint8]:
    """Return (n, 32·⌈chunks ÷ 2⌉) from (n, 32·chunks)."""
    above = np.empty((len(values), -(-chunks // 2) * HASH_BYTES), np.uint8)
    flags = _MATERIAL | _PARENT | (_ROOT if chunks == 2 else 0), 0, 0
    for pair in range(chunks // 2):
        message = values[:, pair * BLOCK : (pair + 1) * BLOCK]
        _compress(key, message, BLOCK, (0, *flags), _place(above, pair))
    if chunks % 2:
        _place(above, -1)[:] = _place(values, -1)
    return above


def _place(values: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Return a view of one hash of each row."""
    return values.reshape(len(values), -1, HASH_BYTES)[:, number]


def _in_blocks(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return rows of whole blocks, completed with zeros."""
    spare = -rows.shape[1] % BLOCK
    return rows if spare == 0 else np.pad(rows, ((0, 0), (0, spare)))


def _compress(
    key: NDArray[np.uint8],
    rows: NDArray[np.uint8],
    length: int,
    tweak: tuple[int, int, int, int],
    out: NDArray[np.uint8],
) -> None:
    """Write the 32 bytes after the last block of each row of at most a chunk, whole blocks.

    `tweak` is the chunk's number and the flags of every block, of the first and of the last. There
    are at least as many rows as lanes; the bytes of each row and of each result are contiguous.
    """
    count, lanes = len(rows), hash_lanes()
    blocks = -(-length // BLOCK)
    tail = length - (blocks - 1) * BLOCK
    steps = rows.strides[0], out.strides[0]
    places = rows.ctypes.data, out.ctypes.data
    _compress_rows()(key.ctypes.data, *places, *steps, blocks, count // lanes, tail, *tweak)
    if count % lanes:  # the last group ends with the last row and begins within the one before
        places = [at + (count - lanes) * step for at, step in zip(places, steps, strict=True)]
        _compress_rows()(key.ctypes.data, *places, *steps, blocks, 1, tail, *tweak)


@cache
def _context_key(label: str) -> NDArray[np.uint8]:
    """Return the key that derive-key mode makes of a label."""
    context = (_CONTEXT_PREFIX + label).encode()
    if len(context) > BLOCK:
        raise ValueError(f"the label {label!r} is longer than a block")
    rows = np.zeros((hash_lanes(), BLOCK), np.uint8)
    rows[:, : len(context)] = np.frombuffer(context, np.uint8)
    tweak = 0, _CONTEXT, _CHUNK_START, _CHUNK_END | _ROOT
    out = np.empty((len(rows), HASH_BYTES), np.uint8)
    chain = np.array(_CONTEXT_CHAIN, "<u4").view(np.uint8)
    _compress(chain, rows, len(context), tweak, out)
    return out[0]


@cache
def _compress_rows() -> NativeFunction:
    """Return f(key, rows, out, row step, out step, blocks, groups, tail, chunk, flags ×3)."""
    emit = Emitter(_NAME, _ARGUMENTS)
    build, lanes = emit.build, hash_lanes()
    kind = ir.VectorType(WORD, lanes)
    key, rows, out = (emit.pointer(argument) for argument in emit.arguments[:3])
    step, out_step, blocks, groups, *tweak = emit.arguments[3:]
    tail, counter, always, first, last = (
        emit.splat(build.trunc(argument, WORD), kind) for argument in tweak
    )
    key_words = [_unaligned(emit, emit.at(key, 4 * i), WORD) for i in range(_WORDS)]
    start = [emit.splat(word, kind) for word in key_words]
    final = build.sub(blocks, ir.Constant(blocks.type, 1))
    chain = [emit.slot(kind) for _ in range(_WORDS)]
    nothing = _full(kind, 0)
    with emit.loop(groups) as group:
        base = emit.at(rows, build.mul(build.mul(group, step), size(lanes)))
        for slot, word in zip(chain, start, strict=True):
            emit.put(word, slot)
        with emit.loop(blocks) as block:
            begins = build.icmp_signed("==", block, size(0))
            ends = build.icmp_signed("==", block, final)
            flags = build.or_(always, build.select(begins, first, nothing))
            flags = build.or_(flags, build.select(ends, last, nothing))
            length = build.select(ends, tail, _full(kind, BLOCK))
            here = emit.at(base, emit.times(block, BLOCK))
            words = _block_words(emit, here, step, kind)
            state = [
                *(emit.get(slot) for slot in chain),
                *(_full(kind, word) for word in _IV),
                *(counter, nothing, length, flags),
            ]
            _rounds(emit, state, words)
            for i, slot in enumerate(chain):
                emit.put(build.xor(state[i], state[i + _WORDS]), slot)
        result = emit.at(out, build.mul(build.mul(group, out_step), size(lanes)))
        _store_rows(emit, [emit.get(slot) for slot in chain], result, out_step)
    build.ret_void()
    return native(emit.module, _NAME, _ARGUMENTS)


def _rounds(emit: Emitter, state: list[Value], words: list[Value]) -> None:
    order = list(range(BLOCK_WORDS))
    for _ in range(_ROUNDS):
        for turn, places in enumerate(_COLUMNS_THEN_DIAGONALS):
            _mix(emit, state, places, [words[i] for i in order[2 * turn : 2 * turn + 2]])
        order = [order[i] for i in _SHUFFLE]


def _block_words(emit: Emitter, here: Value, step: Value, kind: Value) -> list[Value]:
    """Return word 0 … 15 of a block of each row, a vector each."""
    words: list[Value] = []
    prefetch = emit.external("llvm.prefetch.p0", VOID, [POINTER, WORD, WORD, WORD])
    hints = [ir.Constant(WORD, hint) for hint in (0, 3, 1)]  # to read, into all caches, data
    place = emit.at(here, _AHEAD)
    for _ in range(kind.count):
        emit.build.call(prefetch, [place, *hints])
        place = emit.at(place, step)
    for part in range(0, BLOCK_WORDS, kind.count):
        lines: list[Value] = []
        place = emit.at(here, 4 * part)
        for _ in range(kind.count):
            lines.append(_unaligned(emit, place, kind))
            place = emit.at(place, step)
        words += _transposed(emit, lines)
    return words


def _store_rows(emit: Emitter, words: list[Value], place: Value, step: Value) -> None:
    """Store eight words of each row, given a vector for each word."""
    kind = words[0].type
    undefined = ir.Constant(kind, ir.Undefined)
    lines = _transposed(emit, words + [undefined] * (kind.count - _WORDS))
    for line in lines:
        half = _shuffled(emit, line, line, range(_WORDS))
        emit.build.store(half, place, align=1)
        place = emit.at(place, step)


def _transposed(emit: Emitter, lines: list[Value]) -> list[Value]:
    """Return the columns of a square of words, by exchanging ever larger blocks of it."""
    count, distance = len(lines), 1
    while distance < count:
        swapped = list(lines)
        for i in range(count):
            if i & distance:
                continue
            upper, lower = lines[i], lines[i + distance]
            high = [
                lane if not lane & distance else count + lane - distance for lane in range(count)
            ]
            low = [
                lane + distance if not lane & distance else count + lane for lane in range(count)
            ]
            swapped[i] = _shuffled(emit, upper, lower, high)
            swapped[i + distance] = _shuffled(emit, upper, lower, low)
        lines, distance = swapped, 2 * distance
    return lines


def _shuffled(emit: Emitter, left: Value, right: Value, places: Any) -> Value:
    mask = list(places)
    return emit.build.shuffle_vector(left, right, ir.Constant(ir.VectorType(WORD, len(mask)), mask))


def _unaligned(emit: Emitter, address: Value, kind: Value) -> Value:
    return emit.build.load(address, typ=kind, align=1)
