"""Keyed BLAKE3 of many short messages of one length at once, one message per vector lane.

BLAKE3 (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020), restricted to messages of one chunk and to
keyed hashing with extended output, which is all that noise and tickets need.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from ..core.hashing import Hash
from .emit import WORD, Emitter, Value
from .machine import NativeFunction, aligned, features, native

BLOCK: Final = 64
BLOCK_WORDS: Final = 16
_CHUNK: Final = 1024
_NAME: Final = "hash_many"
_CHUNK_START, _CHUNK_END, _ROOT, _KEYED = 1, 2, 8, 16
_IV: Final = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A)
_SHUFFLE: Final = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_ROUNDS: Final = 7
_COLUMNS_THEN_DIAGONALS: Final = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


@dataclass(frozen=True)
class Messages:
    """Room for messages of one length, as words: (groups, 16·blocks, lanes) uint32.

    Message i is column i mod lanes of group i div lanes, little-endian, and must be zero beyond its
    end.
    """

    words: NDArray[np.uint32]
    length: int

    @classmethod
    def room(cls, count: int, length: int) -> "Messages":
        """Return room, not yet written, for at least `count` messages of 1 … 1024 bytes."""
        if not 1 <= length <= _CHUNK:
            raise ValueError(f"a message of {length} bytes is not one chunk")
        lanes = hash_lanes()
        words = aligned((-(-count // lanes), -(-length // BLOCK) * BLOCK_WORDS, lanes), np.uint32)
        return cls(words, length)

    def hashed(self, key: Hash, blocks: int) -> NDArray[np.uint32]:
        """Return 64·blocks bytes of keyed output each, as (groups, 16·blocks, lanes) words."""
        groups, _, lanes = self.words.shape
        out = aligned((groups, blocks * BLOCK_WORDS, lanes), np.uint32)
        key_words = np.frombuffer(key, "<u4").astype(np.uint32)
        _hash_many(self.length, blocks)(
            key_words.ctypes.data, self.words.ctypes.data, groups, out.ctypes.data
        )
        return out


@cache
def hash_lanes() -> int:
    """Return how many messages are hashed at once on this processor."""
    return 16 if "avx512f" in features() else 8


@cache
def _hash_many(length: int, out_blocks: int) -> NativeFunction:
    emit = Emitter(_NAME, 4)
    kind = ir.VectorType(WORD, hash_lanes())
    key, words, _, out = (emit.pointer(argument) for argument in emit.arguments)
    line = 4 * kind.count
    blocks = -(-length // BLOCK)
    chain = [emit.splat(emit.load(emit.at(key, 4 * i), WORD), kind) for i in range(8)]
    with emit.loop(emit.arguments[2]) as group:
        block_bytes = line * BLOCK_WORDS
        message = emit.at(words, emit.times(group, blocks * block_bytes))
        result = emit.at(out, emit.times(group, out_blocks * block_bytes))
        value = chain
        for index in range(blocks):
            places = [emit.at(message, index * block_bytes + i * line) for i in range(BLOCK_WORDS)]
            block = [emit.load(place, kind) for place in places]
            flags = _KEYED | (_CHUNK_START if index == 0 else 0)
            if index < blocks - 1:
                value = _compressed(emit, value, block, (0, BLOCK, flags))[:8]
                continue
            for counter in range(out_blocks):
                tweak = (counter, length - index * BLOCK, flags | _CHUNK_END | _ROOT)
                for i, word in enumerate(_compressed(emit, value, block, tweak)):
                    emit.store(word, emit.at(result, counter * block_bytes + i * line))
    emit.build.ret_void()
    return native(emit.module, _NAME, 4)


def _compressed(
    emit: Emitter, chain: list[Value], block: list[Value], tweak: tuple[int, int, int]
) -> list[Value]:
    """Return the 16 output words of one compression; tweak is (counter, block length, flags)."""
    kind = chain[0].type
    counter, length, flags = tweak
    state = [*chain, *(_full(kind, word) for word in (*_IV, counter, 0, length, flags))]
    order = list(range(BLOCK_WORDS))
    for _ in range(_ROUNDS):
        for turn, places in enumerate(_COLUMNS_THEN_DIAGONALS):
            _mix(emit, state, places, [block[i] for i in order[2 * turn : 2 * turn + 2]])
        order = [order[i] for i in _SHUFFLE]
    low, high = state[:8], state[8:]
    return [
        *(emit.build.xor(a, b) for a, b in zip(low, high, strict=True)),
        *(emit.build.xor(a, b) for a, b in zip(high, chain, strict=True)),
    ]


def _mix(
    emit: Emitter, state: list[Value], places: tuple[int, int, int, int], words: list[Value]
) -> None:
    a, b, c, d = places
    build = emit.build
    for word, first, second in zip(words, (16, 24), (20, 25), strict=True):
        state[a] = build.add(build.add(state[a], state[b]), word)
        state[d] = emit.rotate_left(build.xor(state[d], state[a]), first)
        state[c] = build.add(state[c], state[d])
        state[b] = emit.rotate_left(build.xor(state[b], state[c]), second)


def _full(kind: Value, word: int) -> Value:
    return ir.Constant(kind, [word] * kind.count)
