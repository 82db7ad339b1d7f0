"""The noised product on vectors, as code: sums of int8 or int16 operands and their transcripts.

Operands lie in the order in which they are read:

    A'    (row tiles, slabs, 16 rows, 128 columns)
    B'    (panels, slabs, 128/depth, 4 quarters, lanes, depth)    depth · element size = 4 bytes
    sums  (panels, row tiles, 16 rows, 4 quarters, lanes)         int32
    words (panels, row tiles, 8, lanes)                           uint32, the transcripts

A panel is 4·lanes columns, lanes/4 tiles side by side. Quarter 2·side + parity holds, at lane
4·tile + j, column 16·tile + 8·side + 2·j + parity: so the 8 accumulators that a lane of the
transcript joins (rows r and r + 8, all four quarters) stand at the same place of 8 vectors, and
folding is XOR of whole registers, while the sums stay in registers too.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Final

from llvmlite import ir

from ..consensus.ticket.constants import RANK, ROTATION, TILE
from .emit import WORD, Emitter, Value, size

NAME: Final = "noised_product"
ARGUMENTS: Final = 11
"""A', B', bias, slabs, row tiles, panels, sums, bytes from panel to panel of the sums, words, bytes
from panel to panel of the words, 1 to begin at zero or 0 to add to what is there."""
QUARTERS: Final = 4
FOLDED: Final = TILE // 2
CHUNK: Final = 4
"""Slabs of one panel (32 KB) that serve every row tile before the next are read: they stay in the
fastest cache."""


@dataclass(frozen=True)
class Dot:
    """How a processor multiplies and adds pairs or fours of neighbours along k."""

    lanes: int
    """32-bit words of a vector."""
    depth: int
    """Products added into each: 4 of int8 or 2 of int16."""
    rows: int
    """Rows multiplied at a time, so that sums of 4 vectors each fit the registers."""
    assembly: str = ""
    """An instruction of unsigned times signed int8: B' is stored with 128 added, and `bias` holds
    128 times the sum of every row of A' in each slab, (row tiles, slabs, 16) int32."""
    intrinsic: str = ""
    """LLVM's name of an instruction that multiplies int16 and adds neighbours; none: plain IR."""


@dataclass(frozen=True)
class Place:
    """Addresses of one row tile and one chunk of one panel; `slabs` is the chunk's length."""

    a: Value
    b: Value
    bias: Value
    slabs: Value
    sums: Value
    words: Value


@contextmanager
def every_place(emit: Emitter, lanes: int, depth: int) -> Generator[Place]:
    """Write the loops over panels, chunks of k and row tiles; yield inside the innermost."""
    a, b, bias = (emit.pointer(argument) for argument in emit.arguments[:3])
    slabs, tiles, panels, sums, next_sums, words, next_words, fresh = emit.arguments[3:]
    build, vector = emit.build, 4 * lanes
    a_slab, b_slab, bias_slab = TILE * RANK * 4 // depth, slab_words(lanes, depth) * 4, TILE * 4
    chunks = build.udiv(build.add(slabs, size(CHUNK - 1)), size(CHUNK))
    with emit.loop(panels) as panel:
        panel_b = emit.at(b, build.mul(panel, emit.times(slabs, b_slab)))
        panel_sums = emit.at(emit.pointer(sums), build.mul(panel, next_sums))
        panel_words = emit.at(emit.pointer(words), build.mul(panel, next_words))
        with build.if_then(build.icmp_signed("!=", fresh, size(0))):
            _clear(emit, panel_sums, emit.times(tiles, TILE * QUARTERS), lanes)
            _clear(emit, panel_words, emit.times(tiles, FOLDED), lanes)
        with emit.loop(chunks) as chunk, emit.loop(tiles) as tile:
            first = emit.times(chunk, CHUNK)
            left = build.sub(slabs, first)
            slab = build.add(build.mul(tile, slabs), first)
            yield Place(
                a=emit.at(a, emit.times(slab, a_slab)),
                b=emit.at(panel_b, emit.times(first, b_slab)),
                bias=emit.at(bias, emit.times(slab, bias_slab)),
                slabs=build.select(build.icmp_signed("<", left, size(CHUNK)), left, size(CHUNK)),
                sums=emit.at(panel_sums, emit.times(tile, TILE * QUARTERS * vector)),
                words=emit.at(panel_words, emit.times(tile, FOLDED * vector)),
            )


def slab_words(lanes: int, depth: int) -> int:
    """Return the 32-bit words of one slab of a panel."""
    return RANK // depth * QUARTERS * lanes


def vector_product(dot: Dot) -> ir.Module:
    """Write the product for a processor that multiplies vectors."""
    emit = Emitter(NAME, ARGUMENTS)
    with every_place(emit, dot.lanes, dot.depth) as place, emit.loop(TILE // dot.rows) as group:
        _RowGroup(emit, dot).write(place, group)
    emit.build.ret_void()
    return emit.module


class _RowGroup:
    """A few rows (half of them 8 below the others) of a tile against a panel."""

    def __init__(self, emit: Emitter, dot: Dot) -> None:
        self._emit, self._dot = emit, dot
        self._kind = ir.VectorType(WORD, dot.lanes)
        self._half = dot.rows // 2
        self._rows = [row + down for down in (0, TILE // 2) for row in range(self._half)]
        self._sums = [[emit.slot(self._kind) for _ in range(QUARTERS)] for _ in self._rows]
        self._words = [emit.slot(self._kind) for _ in range(self._half)]

    def write(self, place: Place, group: Value) -> None:
        """Add the chunk's slabs one by one and fold after each."""
        emit, dot = self._emit, self._dot
        steps = RANK // dot.depth
        a = emit.at(place.a, emit.times(group, self._half * steps * 4))
        bias = emit.at(place.bias, emit.times(group, self._half * 4))
        sums = emit.at(place.sums, emit.times(group, self._half * QUARTERS * 4 * dot.lanes))
        words = emit.at(place.words, emit.times(group, self._half * 4 * dot.lanes))
        for slot, address in self._kept(sums, words):
            emit.put(emit.load(address, self._kind), slot)
        with emit.loop(place.slabs) as slab:
            slab_a = emit.at(a, emit.times(slab, TILE * steps * 4))
            slab_b = emit.at(place.b, emit.times(slab, 4 * slab_words(dot.lanes, dot.depth)))
            with emit.loop(steps // 4) as four:
                for step in range(4):
                    self._step(
                        emit.at(slab_a, emit.build.add(emit.times(four, 16), size(4 * step))),
                        emit.at(
                            slab_b,
                            emit.times(
                                emit.build.add(emit.times(four, 4), size(step)),
                                QUARTERS * 4 * dot.lanes,
                            ),
                        ),
                    )
            if dot.assembly:
                self._take_bias_off(emit.at(bias, emit.times(slab, TILE * 4)))
            self._fold()
        for slot, address in self._kept(sums, words):
            emit.store(emit.get(slot), address)

    def _kept(self, sums: Value, words: Value) -> Iterator[tuple[Value, Value]]:
        """Yield every register that outlives a chunk, and where it is kept."""
        vector = 4 * self._dot.lanes
        for row, slots in zip(self._rows, self._sums, strict=True):
            for quarter, slot in enumerate(slots):
                yield slot, self._emit.at(sums, (row * QUARTERS + quarter) * vector)
        for row, slot in enumerate(self._words):
            yield slot, self._emit.at(words, row * vector)

    def _step(self, a: Value, b: Value) -> None:
        """Add the products of `depth` columns."""
        emit, vector = self._emit, 4 * self._dot.lanes
        right = [emit.load(emit.at(b, quarter * vector), self._kind) for quarter in range(QUARTERS)]
        for row, slots in zip(self._rows, self._sums, strict=True):
            word = emit.load(emit.at(a, row * RANK // self._dot.depth * 4), WORD)
            left = emit.splat(word, self._kind)
            for slot, column in zip(slots, right, strict=True):
                emit.put(self._dot_added(emit.get(slot), column, left), slot)

    def _dot_added(self, total: Value, b: Value, a: Value) -> Value:
        emit, dot, build = self._emit, self._dot, self._emit.build
        if dot.assembly:
            kinds = ir.FunctionType(self._kind, [self._kind] * 3)
            # As assembly because LLVM's intrinsic changes its signature from version to version.
            return build.call(ir.InlineAsm(kinds, dot.assembly, "=v,0,v,v"), [total, b, a])
        pairs = ir.VectorType(ir.IntType(16), 2 * dot.lanes)
        b, a = build.bitcast(b, pairs), build.bitcast(a, pairs)
        if dot.intrinsic:
            multiply = emit.external(dot.intrinsic, self._kind, [pairs, pairs])
            return build.add(total, build.call(multiply, [b, a]))
        wide = ir.VectorType(WORD, 2 * dot.lanes)
        products = build.mul(build.sext(b, wide), build.sext(a, wide))
        for parity in range(2):
            places = ir.Constant(self._kind, list(range(parity, 2 * dot.lanes, 2)))
            unused = ir.Constant(wide, ir.Undefined)
            total = build.add(total, build.shuffle_vector(products, unused, places))
        return total

    def _take_bias_off(self, bias: Value) -> None:
        emit = self._emit
        for row, slots in zip(self._rows, self._sums, strict=True):
            excess = emit.splat(emit.load(emit.at(bias, 4 * row), WORD), self._kind)
            for slot in slots:
                emit.put(emit.build.sub(emit.get(slot), excess), slot)

    def _fold(self) -> None:
        for row, slot in enumerate(self._words):
            joined = [*self._sums[row], *self._sums[row + self._half]]
            turned = self._emit.rotate_left(self._emit.get(slot), ROTATION)
            self._emit.put(
                reduce(self._emit.build.xor, [self._emit.get(place) for place in joined], turned),
                slot,
            )


def _clear(emit: Emitter, address: Value, vectors: Value, lanes: int) -> None:
    zero = ir.Constant(ir.VectorType(WORD, lanes), [0] * lanes)
    with emit.loop(vectors) as index:
        emit.store(zero, emit.at(address, emit.times(index, 4 * lanes)))
