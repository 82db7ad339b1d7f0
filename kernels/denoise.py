"""Peeling the noise off (protocol §7), as one more short product of the same kind.

    C = A'·B' − E_L·U − V·F_Lᵀ        U = E_R·B' (128×n)        V = A·F_Rᵀ (m×128)

E_R has one +1 and one −1 in each column, so U needs no multiplication: row π(c) of U gains column c
of B'ᵀ less the column before it. V is multiplied, with the columns of F_R as 128 more columns of B.

|U| ≤ 128 slabs · 253 and |V| ≤ 128 slabs · 127 fit int16 but not int8. So where operands are int8,
both are split into 256·high + low, both int8, and there are two corrections of two slabs each:

    C = A'·B' + [E_L | −V_low]·[−U_low | F_Lᵀ] + 256 · [E_L | −V_high]·[−U_high | F_Lᵀ]

where E_L stands with −U as it is, and F_L with −V.
"""

from functools import cache
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from ..consensus.ticket.constants import RANK, TILE
from .emit import SIZE, WORD, Emitter, Value
from .layout import Layout, Left, flip, natural_sums, packed_columns, tiled_rows
from .machine import NativeFunction, aligned, native
from .noise import cyclic_offsets
from .product import QUARTERS, slab_words

_SELECT: Final = "select_columns"
_STORE: Final = "store_rows"


def row_corrections(v: NDArray[np.int32], left: NDArray[np.int8], layout: Layout) -> list[Left]:
    """Return [E_L | −V] for rows given by V and E_L, both rows×128: the low limbs, then the high
    ones if there are any."""
    sides: list[Left] = []
    for limb in _limbs(-v, layout):
        side = aligned((len(v) // TILE, 2, TILE, RANK), layout.dtype)
        side[:, 0] = left.reshape(-1, TILE, RANK)
        side[:, 1] = limb.reshape(-1, TILE, RANK)
        sides.append(Left.of(side, layout))
    return sides


def column_corrections(
    packed: NDArray[Any], orders: NDArray[np.intp], left: NDArray[Any], layout: Layout
) -> list[NDArray[Any]]:
    """Return [−U | F_L], limb by limb, for columns given by B' in panels, A's permutations, and F_L
    in panels."""
    panels, slabs = packed.shape[:2]
    limbs = [aligned((panels, 2, *packed.shape[2:]), np.uint32) for _ in range(_limb_count(layout))]
    for limb in limbs:
        limb[:, 1] = left[:, 0]
    cycles = cyclic_offsets(orders, QUARTERS * 4 * layout.lanes)
    low, high = (limbs[i].ctypes.data for i in (0, -1))
    _select_columns(layout)(packed.ctypes.data, cycles.ctypes.data, slabs, panels, low, high)
    return limbs


def packed_left(left: NDArray[np.int8], layout: Layout) -> NDArray[Any]:
    """Return F_L of columns (columns×128) as panels of one slab."""
    return packed_columns(tiled_rows(left, layout), layout)


def store_rows(sums: list[NDArray[np.int32]], out: NDArray[np.int32], layout: Layout) -> None:
    """Write sums[0] + 256·sums[1] (if there is one), (panels, row tiles, 16, 4, lanes), into `out`
    in natural order; columns beyond `out` are dropped."""
    full = out.shape[1] // layout.columns
    low, high = (sums[i].ctypes.data for i in (0, -1))
    tiles = sums[0].shape[1]
    _store_rows(layout)(low, high, full, tiles, out.ctypes.data, out.strides[0])
    rest = out[:, full * layout.columns :]
    if rest.size:
        total = sums[0][full:]
        if len(sums) > 1:
            total = total + (sums[1][full:] << 8)
        rest[...] = natural_sums(total)[:, : rest.shape[1]]


def _limb_count(layout: Layout) -> int:
    return 2 if layout.dtype == np.int8 else 1


def _limbs(values: NDArray[np.int32], layout: Layout) -> list[NDArray[Any]]:
    """Split values in [−32 896, 32 639] into low and high int8, or give them as int16."""
    if _limb_count(layout) == 1:
        return [values.astype(np.int16)]
    low = values.astype(np.int8)
    return [low, ((values - low) >> 8).astype(np.int8)]


@cache
def _select_columns(layout: Layout) -> NativeFunction:
    """Compile U: (B', cycles, slabs, panels, low, high), the last two alike where there is one."""
    emit = Emitter(_SELECT, 6)
    b, cycles = (emit.pointer(argument) for argument in emit.arguments[:2])
    slabs, panels = emit.arguments[2:4]
    limbs = [emit.pointer(argument) for argument in emit.arguments[4:][: _limb_count(layout)]]
    kind = ir.VectorType(WORD, layout.lanes)
    steps, line = RANK // layout.depth, 4 * layout.lanes
    u = emit.room(kind, RANK * QUARTERS)
    slab_bytes = 4 * slab_words(layout.lanes, layout.depth)
    with emit.loop(panels) as panel:
        zero = ir.Constant(kind, [0] * layout.lanes)
        with emit.loop(RANK * QUARTERS) as index:
            emit.store(zero, emit.at(u, emit.times(index, line)))
        with emit.loop(slabs) as slab:
            place = emit.build.add(emit.build.mul(panel, slabs), slab)
            columns = emit.at(b, emit.times(place, slab_bytes))
            cycle = emit.at(cycles, emit.times(slab, 8 * (RANK + 1)))
            _gain(emit, layout, u, columns, cycle)
        with emit.loop(steps * QUARTERS) as index:
            step = emit.build.udiv(index, ir.Constant(SIZE, QUARTERS))
            quarter = emit.build.urem(index, ir.Constant(SIZE, QUARTERS))
            first = emit.build.add(emit.times(step, layout.depth * QUARTERS), quarter)
            values = [
                emit.build.neg(
                    emit.load(
                        emit.at(emit.at(u, emit.times(first, line)), i * QUARTERS * line), kind
                    )
                )
                for i in range(layout.depth)
            ]
            target = emit.build.add(emit.times(panel, 2 * slab_bytes), emit.times(index, line))
            for number, limb in enumerate(limbs):
                emit.store(_joined(emit, layout, values, number), emit.at(limb, target))
    emit.build.ret_void()
    return native(emit.module, _SELECT, 6)


def _gain(emit: Emitter, layout: Layout, u: Value, columns: Value, cycle: Value) -> None:
    """Add one slab of B' to U: column c less the one before it, to row π(c)."""
    build, kind = emit.build, ir.VectorType(WORD, layout.lanes)
    steps, line, bits = RANK // layout.depth, 4 * layout.lanes, 32 // layout.depth
    before = [emit.slot(kind) for _ in range(QUARTERS)]

    def column(word: Value, index: int) -> Value:
        plain = build.xor(word, _full(kind, flip(layout)))
        left = build.shl(plain, _full(kind, 32 - bits * (index + 1)))
        return build.ashr(left, _full(kind, 32 - bits))

    for quarter, slot in enumerate(before):
        last = emit.at(columns, ((steps - 1) * QUARTERS + quarter) * line)
        emit.put(column(emit.load(last, kind), layout.depth - 1), slot)
    with emit.loop(steps) as step:
        words = emit.at(columns, emit.times(step, QUARTERS * line))
        places = emit.at(cycle, emit.times(step, 8 * layout.depth))
        rows = [
            emit.at(u, build.load(emit.at(places, 8 * i), typ=SIZE)) for i in range(layout.depth)
        ]
        for quarter, slot in enumerate(before):
            word = emit.load(emit.at(words, quarter * line), kind)
            for index, row in enumerate(rows):
                value = column(word, index)
                place = emit.at(row, quarter * line)
                change = build.sub(value, emit.get(slot))
                emit.store(build.add(emit.load(place, kind), change), place)
                emit.put(value, slot)


def _joined(emit: Emitter, layout: Layout, values: list[Value], limb: int) -> Value:
    """Pack `depth` values into words as B' is stored: their low limbs, or (1) their high ones."""
    build, kind = emit.build, values[0].type
    bits = 32 // layout.depth
    word = _full(kind, flip(layout))
    for index, value in enumerate(values):
        part = value
        if limb:
            part = build.ashr(build.add(value, _full(kind, 128)), _full(kind, 8))
        part = build.and_(part, _full(kind, (1 << bits) - 1))
        word = build.xor(word, build.shl(part, _full(kind, bits * index)))
    return word


@cache
def _store_rows(layout: Layout) -> NativeFunction:
    """Compile (low sums, high sums, panels, row tiles, out, bytes from row to row of out)."""
    emit = Emitter(_STORE, 6)
    build, lanes = emit.build, layout.lanes
    kind, line = ir.VectorType(WORD, lanes), 4 * lanes
    low, high, out = (emit.pointer(emit.arguments[i]) for i in (0, 1, 4))
    panels, tiles, row_bytes = (emit.arguments[i] for i in (2, 3, 5))
    rows = emit.times(tiles, TILE)
    with emit.loop(panels) as panel, emit.loop(rows) as row:
        place = emit.times(build.add(build.mul(panel, rows), row), QUARTERS * line)
        target = emit.at(
            emit.at(out, build.mul(row, row_bytes)), emit.times(panel, QUARTERS * line)
        )
        quarters: list[Value] = []
        for quarter in range(QUARTERS):
            total = emit.load(emit.at(emit.at(low, place), quarter * line), kind)
            if _limb_count(layout) > 1:
                upper = emit.load(emit.at(emit.at(high, place), quarter * line), kind)
                total = build.add(total, build.shl(upper, _full(kind, 8)))
            quarters.append(total)
        for tile in range(layout.tiles):
            for side in range(2):
                lanes_of = [4 * tile + i // 2 + i % 2 * lanes for i in range(8)]
                mask = ir.Constant(ir.VectorType(WORD, 8), lanes_of)
                eight = build.shuffle_vector(quarters[2 * side], quarters[2 * side + 1], mask)
                build.store(eight, emit.at(target, 4 * (TILE * tile + 8 * side)), align=4)
    build.ret_void()
    return native(emit.module, _STORE, 6)


def _full(kind: Value, word: int) -> Value:
    return ir.Constant(kind, [word] * kind.count)
