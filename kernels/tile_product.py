"""The noised product on Intel's AMX, as code: 16×16 sums in tile registers, 64 columns at a time.

Operands and results lie as in `product`, with 16 lanes of depth 4 and no bias. Tiles 0–3 are the
sums of the four quarters, 4 and 5 two halves of a slab of A', 6 and 7 pieces of B'. After every
slab the sums are stored to be folded, and stay in their tiles.
"""

import ctypes
import sys
from functools import cache, reduce
from typing import Final

from llvmlite import ir

from ..consensus.ticket.constants import RANK, ROTATION, TILE
from .emit import BYTE, POINTER, SIZE, VOID, WORD, Emitter, Value, size
from .product import ARGUMENTS, FOLDED, NAME, QUARTERS, Place, every_place, slab_words

LANES: Final = 16
DEPTH: Final = 4
_LINE: Final = 4 * LANES
_ROW: Final = QUARTERS * _LINE
_HALVES: Final = RANK // (LANES * DEPTH)
_SLAB_A: Final = TILE * RANK
_SLAB_B: Final = 4 * slab_words(LANES, DEPTH)
_ARCH_PRCTL: Final = 158
_ASK_FOR_FEATURE: Final = 0x1023
_TILE_DATA: Final = 18


@cache
def permitted() -> bool:
    """Ask Linux for the use of tile registers, which it grants process by process."""
    if sys.platform != "linux":
        return False
    syscall = ctypes.CDLL(None).syscall
    return syscall(ctypes.c_long(_ARCH_PRCTL), _ASK_FOR_FEATURE, ctypes.c_long(_TILE_DATA)) == 0


def tile_product() -> ir.Module:
    """Write the product for a processor that multiplies tiles."""
    emit = Emitter(NAME, ARGUMENTS)
    tiles = _Tiles(emit)
    tiles.configure()
    words = [emit.slot(tiles.line) for _ in range(FOLDED)]
    with every_place(emit, LANES, DEPTH) as place:
        _row_tile(emit, tiles, place, words)
    tiles.release()
    emit.build.ret_void()
    return emit.module


class _Tiles:
    """The tile instructions; tile numbers are part of the instruction."""

    def __init__(self, emit: Emitter) -> None:
        self._emit = emit
        self.line = ir.VectorType(WORD, LANES)

    def configure(self) -> None:
        """Give all eight tiles 16 rows of 64 bytes."""
        layout = bytearray(64)
        layout[0] = 1  # the only palette there is
        for tile in range(8):
            layout[16 + 2 * tile] = _LINE
            layout[48 + tile] = TILE
        kind = ir.ArrayType(BYTE, len(layout))
        table: Value = ir.GlobalVariable(self._emit.module, kind, "layout")
        table.linkage, table.global_constant = "internal", True
        table.initializer, table.align = ir.Constant(kind, layout), 64
        self._call("ldtilecfg", [POINTER], [table])

    def release(self) -> None:
        """Forget all tiles, so that switching threads need not save them."""
        self._call("tilerelease", [], [])

    def load(self, tile: int, address: Value, stride: int) -> None:
        """Read 16 rows of 64 bytes."""
        self._call("tileloadd64", [BYTE, POINTER, SIZE], [_number(tile), address, size(stride)])

    def store(self, tile: int, address: Value, stride: int) -> None:
        """Write 16 rows of 64 bytes."""
        self._call("tilestored64", [BYTE, POINTER, SIZE], [_number(tile), address, size(stride)])

    def multiply(self, total: int, left: int, right: int) -> None:
        """Add the product of two int8 tiles to a tile of int32."""
        self._call("tdpbssd", [BYTE] * 3, [_number(tile) for tile in (total, left, right)])

    def _call(self, name: str, kinds: list[Value], values: list[Value]) -> None:
        self._emit.build.call(self._emit.external(f"llvm.x86.{name}", VOID, kinds), values)


def _number(tile: int) -> Value:
    return ir.Constant(BYTE, tile)


def _row_tile(emit: Emitter, tiles: _Tiles, place: Place, words: list[Value]) -> None:
    for quarter in range(QUARTERS):
        tiles.load(quarter, emit.at(place.sums, quarter * _LINE), _ROW)
    for row, slot in enumerate(words):
        emit.put(emit.load(emit.at(place.words, row * _LINE), tiles.line), slot)
    with emit.loop(place.slabs) as slab:
        a = emit.at(place.a, emit.times(slab, _SLAB_A))
        b = emit.at(place.b, emit.times(slab, _SLAB_B))
        for half in range(_HALVES):
            tiles.load(4 + half, emit.at(a, half * _LINE), RANK)
        for quarter in range(QUARTERS):
            for half in range(_HALVES):
                tiles.load(6 + half, emit.at(b, half * TILE * _ROW + quarter * _LINE), _ROW)
                tiles.multiply(quarter, 4 + half, 6 + half)
            tiles.store(quarter, emit.at(place.sums, quarter * _LINE), _ROW)
        for row, slot in enumerate(words):
            turned = emit.rotate_left(emit.get(slot), ROTATION)
            joined = [
                emit.load(emit.at(place.sums, (row + down) * _ROW + quarter * _LINE), tiles.line)
                for down in (0, FOLDED)
                for quarter in range(QUARTERS)
            ]
            emit.put(reduce(emit.build.xor, joined, turned), slot)
    for row, slot in enumerate(words):
        emit.store(emit.get(slot), emit.at(place.words, row * _LINE))
