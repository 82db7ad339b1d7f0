"""Products by few columns in code made for this processor, as Freivalds' check needs them.

A check reads each of A, B and C once; that is all it should take. So each of the three products
reads its matrix once, in order, and multiplies bytes by bytes:

    B·R       four rows of B transposed are interleaved, so that their bytes are neighbours
    A·(B·R)   B·R is written in signed digits of base 256, A is multiplied by each of them
    C·R       the four bytes of sixteen int32 are sorted by weight, each weight is summed alone

No 32-bit sum overflows: 2¹⁶ terms of at most 255·128 stay below 2³¹. What is left over beside whole
vectors is multiplied plainly.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..consensus.freivalds import PlainThinProducts
from ..core.errors import UserError
from .emit import Emitter
from .machine import NativeFunction, features, native
from .thin import BLOCK_GROUPS, Processor, Tile, write_operand, write_result, write_weight

SLICE: Final = 1 << 16
"""Terms that a 32-bit sum holds."""
_NAME: Final = "thin"
_VNNI: Final = "vpdpbusd $3, $2, $0"
_PLAIN: Final = PlainThinProducts()


PROCESSORS: Final = (
    (frozenset({"avx512vnni", "avx512bw"}), Processor("avx512-vnni", 16, _VNNI, Tile(4, 4), 16)),
    (frozenset({"avxvnni"}), Processor("avx-vnni", 8, "{vex} " + _VNNI, Tile(2, 4), 8)),
)
"""Ways and the features they need, fastest first."""


class NativeThinProducts:
    """The thin products on one processor's vectors. Columns come in multiples of 16."""

    def __init__(self, processor: Processor) -> None:
        """Compile them."""
        self.name: Final = processor.name
        self._processor: Final = processor
        self._weight = _compiled(processor, write_weight, 8)
        self._operand = _compiled(processor, write_operand, 7)
        self._result = _compiled(processor, write_result, 7)

    def of_weight(self, b_t: NDArray[np.int8], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """See `ThinProducts.of_weight`."""
        total = np.zeros((b_t.shape[1], r.shape[1]), np.int64)
        for start in range(0, len(b_t), SLICE):
            rows = slice(start, start + SLICE)
            total += self._weight_slice(np.ascontiguousarray(b_t[rows]), r[rows])
        return total

    def of_operand(self, a: NDArray[np.int8], b_r: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `ThinProducts.of_operand`. Raises ValueError for k beyond 65 536."""
        (m, k), columns = a.shape, b_r.shape[1]
        if k > SLICE:
            raise ValueError(f"k = {k} is longer than a sum")
        whole = k - k % self._processor.vector
        total = _PLAIN.of_operand(a[:, whole:], b_r[whole:])
        rows = self._processor.tile.rows
        if not whole or not m:
            return total
        a = np.ascontiguousarray(a)
        padded = a if m >= rows else np.concatenate([a, np.zeros((rows - m, k), np.int8)])
        digits = signed_digits(b_r[:whole])
        stacked = np.concatenate(digits, axis=1)
        pieces = _by_vectors(stacked, self._processor.vector)
        sums = np.empty((len(padded), stacked.shape[1]), np.int32)
        self._operand(
            *(each.ctypes.data for each in (padded, pieces, sums)),
            *(len(padded), k, len(pieces), stacked.shape[1]),
        )
        shifted = sums[:m].astype(np.int64) - 128 * stacked.sum(0, dtype=np.int64)
        for place in range(len(digits)):
            total += shifted[:, columns * place : columns * (place + 1)] << (8 * place)
        return total

    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        """See `ThinProducts.of_result`."""
        total = np.zeros((len(c), r.shape[1]), np.int64)
        if not len(c):
            return total
        c = np.ascontiguousarray(c)
        for start in range(0, c.shape[1], SLICE):
            columns = slice(start, start + SLICE)
            total += self._result_slice(c[:, columns], r[columns])
        return total

    def _weight_slice(self, b_t: NDArray[np.int8], r: NDArray[np.int8]) -> NDArray[np.int64]:
        (n, k), columns = b_t.shape, r.shape[1]
        vector, lanes = self._processor.vector, self._processor.lanes
        rows, width = n - n % 4, k - k % vector
        total = np.empty((k, columns), np.int64)
        total[:width] = _PLAIN.of_weight(b_t[rows:, :width], r[rows:])
        total[width:] = _PLAIN.of_weight(b_t[:, width:], r)
        if not rows or not width:
            return total
        fours = np.ascontiguousarray(r[:rows].reshape(-1, 4, columns).transpose(0, 2, 1))
        sums = np.zeros((width // vector, 4, columns, lanes), np.int32)
        blocks = -(-rows // (4 * BLOCK_GROUPS))
        self._weight(
            *(each.ctypes.data for each in (b_t, fours, sums)),
            *(blocks, rows // 4, k, width // vector, columns),
        )
        # Interleaving kept to groups of 16 bytes: quarter q holds bytes 4q … 4q + 3 of each.
        spread = sums.reshape(-1, 4, columns, lanes // 4, 4).transpose(0, 3, 1, 4, 2)
        excess = 128 * r[:rows].sum(0, dtype=np.int64)
        total[:width] += spread.reshape(width, columns) - excess
        return total

    def _result_slice(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        (m, n), columns = c.shape, r.shape[1]
        lanes = self._processor.lanes
        whole = n - n % lanes
        total = _PLAIN.of_result(c[:, whole:], r[whole:])
        if not whole:
            return total
        pieces = _by_vectors(r[:whole], lanes)
        sums = np.empty((m, columns), np.int64)
        self._result(
            *(c.ctypes.data, pieces.ctypes.data, sums.ctypes.data),
            *(m, c.strides[0] if m > 1 else 4 * n, len(pieces), columns),
        )
        return total + sums - (r[:whole].sum(0, dtype=np.int64) << 31)


def _by_vectors(columns: NDArray[np.int8], length: int) -> NDArray[np.int8]:
    """Cut columns into pieces that are read together: (rows/length, columns, length)."""
    pieces = columns.reshape(-1, length, columns.shape[1])
    return np.ascontiguousarray(pieces.transpose(0, 2, 1))


def signed_digits(values: NDArray[np.int64]) -> list[NDArray[np.int8]]:
    """Return digits d₀, d₁, … in [−128, 127], at least one, with values = Σ dᵢ·256ⁱ."""
    digits: list[NDArray[np.int8]] = []
    while not digits or values.any():
        digits.append(values.astype(np.int8))  # the lowest byte, read as signed
        values = (values - digits[-1]) >> 8
    return digits


@cache
def native_thin_products() -> NativeThinProducts:
    """Return the fastest that this processor allows. Raises UserError where there is none."""
    for needs, processor in PROCESSORS:
        if needs <= features():
            return NativeThinProducts(processor)
    raise UserError("this processor cannot multiply bytes fast")


def _compiled(
    processor: Processor, write: Callable[[Emitter, Processor], None], arguments: int
) -> NativeFunction:
    emit = Emitter(_NAME, arguments)
    write(emit, processor)
    emit.build.ret_void()
    return native(emit.module, _NAME, arguments)
