"""Judges of ops that slide a window over an image."""

import msgspec

from ..ops import MaxPool, Patches, SumPool
from ..ops.window import Track, window_over
from ..tensor_layout import Box, Index
from ..types import Operands
from .base import Demand, Read, one_cell, run_on, single


class Pool:
    """What the window covers of one channel; what lies in the padding is not read."""

    def cell(self, op: MaxPool | SumPool, operands: Operands, index: Index, read: Read, /) -> int:
        """Run the op with its only window over these cells, padded as the window reaches out."""
        (x,) = operands
        item, p, q, channel = index
        window = window_over(x.type.shape, op.kernel, op.stride, op.padding)
        top, height, bottom = _covered(window.rows, p)
        left, width, right = _covered(window.columns, q)
        start = (
            item,
            p * op.stride[0] - op.padding[0] + top,
            q * op.stride[1] - op.padding[2] + left,
        )
        box = Box((*start, channel), (1, height, width, 1))
        alone = msgspec.structs.replace(op, stride=(1, 1), padding=(top, bottom, left, right))
        return run_on(alone, (read(0, box),))

    def demands(self, op: MaxPool | SumPool, operands: Operands, /) -> tuple[Demand, ...]:
        """As much of a window as fits into the image."""
        (x,) = operands
        h, w, _ = x.type.shape
        box = (1, min(op.kernel[0], h), min(op.kernel[1], w), 1)
        return (Demand(((0, box),), steps=sum(op.kernel)),)


def _covered(track: Track, step: int) -> tuple[int, int, int]:
    """Return how many taps of a window (dilation 1) lie before, in and after the image."""
    first = step * track.stride - track.before
    before = max(0, -first)
    after = max(0, first + track.kernel - track.length)
    return before, track.kernel - before - after, after


class Tap:
    """The one cell a tap of a window meets, or the fill."""

    def cell(self, op: Patches, operands: Operands, index: Index, read: Read, /) -> int:
        """Find the cell; nothing is read in the padding."""
        (x,) = operands
        h, w, channels = x.type.shape
        item, p, q, place = index
        tap, channel = divmod(place, channels)
        i, j = divmod(tap, op.kernel[1])
        row = p * op.stride[0] + i * op.dilation[0] - op.padding[0]
        column = q * op.stride[1] + j * op.dilation[1] - op.padding[2]
        if not (0 <= row < h and 0 <= column < w):
            return op.fill
        return int(read(0, one_cell((item, row, column, channel))).reshape(-1)[0])

    def demands(self, op: Patches, operands: Operands, /) -> tuple[Demand, ...]:
        """One cell."""
        return (Demand(((0, single(operands[0])),)),)
