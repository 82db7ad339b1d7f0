"""The thin products of Freivalds' check, as code: one pass over each of B, A and C.

The instruction (VNNI) multiplies unsigned by signed bytes and adds four of them into an int32. What
is signed has 128 (C: 2³¹) added, by flipping its highest bit; whoever calls takes that off the sums
again.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from llvmlite import ir

from .emit import BYTE, SIZE, WORD, Emitter, Value, size

BLOCK_GROUPS: Final = 16
"""Groups of four rows of B that are interleaved before they are multiplied: they fit the fastest
cache."""


@dataclass(frozen=True)
class Tile:
    """Sums held in registers: so many rows by so many columns."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Processor:
    """A way to multiply bytes."""

    name: str
    lanes: int
    """32-bit words of a vector."""
    assembly: str
    tile: Tile
    wide: int
    """Columns that one row is multiplied by at a time."""

    @property
    def vector(self) -> int:
        """Bytes of a vector."""
        return 4 * self.lanes


def write_weight(emit: Emitter, processor: Processor) -> None:
    """(B, R by fours of rows, sums, blocks, groups of four, k, vectors, columns) → sums."""
    b, r, sums = (emit.pointer(argument) for argument in emit.arguments[:3])
    blocks, groups, k, vectors, columns = emit.arguments[3:]
    build, vector, kind = emit.build, processor.vector, _words(processor)
    mixed = emit.room(kind, 4 * BLOCK_GROUPS)
    with emit.loop(blocks) as block:
        first = emit.times(block, BLOCK_GROUPS)
        count = _least(emit, build.sub(groups, first), size(BLOCK_GROUPS))
        with emit.loop(vectors) as place:
            with emit.loop(count) as group:
                row = emit.times(build.add(first, group), 4)
                start = build.add(build.mul(row, k), emit.times(place, vector))
                rows = [emit.at(b, build.add(start, build.mul(size(i), k))) for i in range(4)]
                for quarter, woven in enumerate(_interleaved(emit, processor, rows)):
                    slot = build.add(emit.times(group, 4 * vector), size(quarter * vector))
                    emit.store(build.bitcast(woven, kind), emit.at(mixed, slot))
            with emit.loop(4) as quarter:
                here = build.add(emit.times(place, 4), quarter)
                _add_weight_sums(
                    emit,
                    processor,
                    emit.at(mixed, emit.times(quarter, vector)),
                    emit.at(r, emit.times(build.mul(first, columns), 4)),
                    emit.at(sums, emit.times(build.mul(here, columns), vector)),
                    (count, columns),
                )


def _add_weight_sums(
    emit: Emitter,
    processor: Processor,
    mixed: Value,
    r: Value,
    sums: Value,
    counts: tuple[Value, Value],
) -> None:
    count, columns = counts
    build, vector, kind = emit.build, processor.vector, _words(processor)
    width = processor.wide
    slots = [emit.slot(kind) for _ in range(width)]
    with emit.loop(build.udiv(columns, size(width))) as part:
        part_sums = emit.at(sums, emit.times(part, width * vector))
        part_r = emit.at(r, emit.times(part, width * 4))
        for i, slot in enumerate(slots):
            emit.put(_load(emit, emit.at(part_sums, i * vector), kind), slot)
        with emit.loop(count) as group:
            bytes_of_b = emit.load(emit.at(mixed, emit.times(group, 4 * vector)), kind)
            words = emit.at(part_r, emit.times(build.mul(group, columns), 4))
            for i, slot in enumerate(slots):
                word = emit.splat(emit.load(emit.at(words, 4 * i), WORD), kind)
                emit.put(_dot(emit, processor, emit.get(slot), bytes_of_b, word), slot)
        for i, slot in enumerate(slots):
            _store(emit, emit.get(slot), emit.at(part_sums, i * vector))


def _interleaved(emit: Emitter, processor: Processor, rows: Sequence[Value]) -> list[Value]:
    """Return four vectors of words that hold one unsigned byte of each of four rows."""
    kind = ir.VectorType(BYTE, processor.vector)
    flip = ir.Constant(kind, [-128] * processor.vector)
    w, x, y, z = (emit.build.xor(_load(emit, row, kind), flip) for row in rows)
    low_wx, high_wx = _unpacked(emit, w, x, 1)
    low_yz, high_yz = _unpacked(emit, y, z, 1)
    return [*_unpacked(emit, low_wx, low_yz, 2), *_unpacked(emit, high_wx, high_yz, 2)]


def _unpacked(emit: Emitter, left: Value, right: Value, unit: int) -> tuple[Value, Value]:
    """Weave two vectors by units of bytes within every 16: their lower and their upper halves."""
    count = left.type.count
    halves: list[Value] = []
    for half in (0, 8):
        places = [
            source * count + lane + half + unit * step + i
            for lane in range(0, count, 16)
            for step in range(8 // unit)
            for source in range(2)
            for i in range(unit)
        ]
        mask = ir.Constant(ir.VectorType(WORD, count), places)
        halves.append(emit.build.shuffle_vector(left, right, mask))
    return halves[0], halves[1]


def write_operand(emit: Emitter, processor: Processor) -> None:
    """(A, digits by vectors, sums, m, k, vectors, columns) → sums, (m, columns) int32."""
    a, digits, sums = (emit.pointer(argument) for argument in emit.arguments[:3])
    m, k, vectors, columns = emit.arguments[3:]
    build, vector, kind = emit.build, processor.vector, _words(processor)
    flip = ir.Constant(kind, [-0x7F7F7F80] * processor.lanes)
    tile = processor.tile
    line = emit.times(columns, vector)
    with (
        _row_tiles(emit, tile.rows, m) as row,
        emit.loop(build.udiv(columns, size(tile.columns))) as part,
    ):
        column = emit.times(part, tile.columns)
        rows = [emit.at(a, build.mul(build.add(row, size(i)), k)) for i in range(tile.rows)]
        part_digits = emit.at(digits, emit.times(column, vector))
        slots = _zeros(emit, kind, tile)
        with emit.loop(vectors) as place:
            offset = emit.times(place, vector)
            piece = emit.at(part_digits, build.mul(place, line))
            right = [_load(emit, emit.at(piece, i * vector), kind) for i in range(tile.columns)]
            for each, row_slots in zip(rows, slots, strict=True):
                left = build.xor(_load(emit, emit.at(each, offset), kind), flip)
                for slot, digit in zip(row_slots, right, strict=True):
                    emit.put(_dot(emit, processor, emit.get(slot), left, digit), slot)
        for i, row_slots in enumerate(slots):
            start = build.add(build.mul(build.add(row, size(i)), columns), column)
            for j, slot in enumerate(row_slots):
                place = emit.at(sums, emit.times(build.add(start, size(j)), 4))
                emit.store(_added_up(emit, emit.get(slot)), place)


def write_result(emit: Emitter, processor: Processor) -> None:
    """(C, R by vectors, sums, m, bytes of a row, vectors, columns) → sums, (m, columns) int64."""
    c, r, sums = (emit.pointer(argument) for argument in emit.arguments[:3])
    m, stride, vectors, columns = emit.arguments[3:]
    build, lanes, kind = emit.build, processor.lanes, _words(processor)
    flip = ir.Constant(kind, [-(2**31)] * lanes)
    tile = Tile(1, processor.wide)
    line = emit.times(columns, lanes)
    with emit.loop(m) as row, emit.loop(build.udiv(columns, size(tile.columns))) as part:
        column = emit.times(part, tile.columns)
        start = emit.at(c, build.mul(row, stride))
        part_r = emit.at(r, emit.times(column, lanes))
        (slots,) = _zeros(emit, kind, tile)
        with emit.loop(vectors) as place:
            words = _load(emit, emit.at(start, emit.times(place, processor.vector)), kind)
            left = _by_weight(emit, build.xor(words, flip))
            piece = emit.at(part_r, build.mul(place, line))
            for i, slot in enumerate(slots):
                right = _four_times(emit, emit.at(piece, i * lanes), lanes)
                emit.put(_dot(emit, processor, emit.get(slot), left, right), slot)
        for j, slot in enumerate(slots):
            to = build.add(build.add(build.mul(row, columns), column), size(j))
            total = _weighed(emit, emit.get(slot))
            build.store(total, emit.at(sums, emit.times(to, 8)), align=8)


def _by_weight(emit: Emitter, words: Value) -> Value:
    """Sort the bytes of a vector of words: all lowest bytes first, all highest last."""
    lanes = words.type.count
    kind = ir.VectorType(BYTE, 4 * lanes)
    places = [4 * lane + weight for weight in range(4) for lane in range(lanes)]
    mask = ir.Constant(ir.VectorType(WORD, 4 * lanes), places)
    data = emit.build.bitcast(words, kind)
    sorted_bytes = emit.build.shuffle_vector(data, ir.Constant(kind, ir.Undefined), mask)
    return emit.build.bitcast(sorted_bytes, words.type)


def _four_times(emit: Emitter, address: Value, lanes: int) -> Value:
    """Load one byte for each lane and repeat them for the four weights."""
    piece = ir.VectorType(WORD, lanes // 4)
    words = _load(emit, address, piece)
    mask = ir.Constant(ir.VectorType(WORD, lanes), [i % (lanes // 4) for i in range(lanes)])
    return emit.build.shuffle_vector(words, ir.Constant(piece, ir.Undefined), mask)


def _weighed(emit: Emitter, sums: Value) -> Value:
    """Add up the sums of each weight and then those, 64 bits wide."""
    build, part = emit.build, sums.type.count // 4
    total = ir.Constant(SIZE, 0)
    for weight in range(4):
        places = [weight * part + i for i in range(part)]
        mask = ir.Constant(ir.VectorType(WORD, part), places)
        own = build.shuffle_vector(sums, ir.Constant(sums.type, ir.Undefined), mask)
        wide = build.sext(_added_up(emit, own), SIZE)
        total = build.add(total, build.shl(wide, size(8 * weight)))
    return total


@contextmanager
def _row_tiles(emit: Emitter, rows: int, m: Value) -> Generator[Value]:
    """Loop over the first rows of tiles; the last begins early where m is no multiple."""
    last = emit.build.sub(m, size(rows))
    with emit.loop(emit.build.udiv(emit.build.add(m, size(rows - 1)), size(rows))) as index:
        yield _least(emit, emit.times(index, rows), last)


def _zeros(emit: Emitter, kind: Value, tile: Tile) -> list[list[Value]]:
    slots = [[emit.slot(kind) for _ in range(tile.columns)] for _ in range(tile.rows)]
    for slot in (slot for row in slots for slot in row):
        emit.put(ir.Constant(kind, [0] * kind.count), slot)
    return slots


def _dot(emit: Emitter, processor: Processor, total: Value, left: Value, right: Value) -> Value:
    """Add to each word of `total` the products of four unsigned and four signed bytes."""
    kind = _words(processor)
    kinds = ir.FunctionType(kind, [kind] * 3)
    code = ir.InlineAsm(kinds, processor.assembly, "=v,0,v,v")
    return emit.build.call(code, [total, left, right])


def _added_up(emit: Emitter, vector: Value) -> Value:
    name = f"llvm.vector.reduce.add.v{vector.type.count}i32"
    return emit.build.call(emit.external(name, WORD, [vector.type]), [vector])


def _least(emit: Emitter, left: Value, right: Value) -> Value:
    return emit.build.select(emit.build.icmp_signed("<", left, right), left, right)


def _load(emit: Emitter, address: Value, kind: Value) -> Value:
    return emit.build.load(address, typ=kind, align=1)


def _store(emit: Emitter, value: Value, address: Value) -> None:
    emit.build.store(value, address, align=1)


def _words(processor: Processor) -> Value:
    return ir.VectorType(WORD, processor.lanes)
