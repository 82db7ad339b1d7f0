"""Cutting an image into the windows of a convolution, so that a matrix product does the rest."""

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...core.codec import U32, Value
from ..metering import PATCHES, Work
from ..types import Array, Int32, Interval, Operands, TensorType
from .base import Multiply, row_blocks
from .window import Padding, Pair, Window, check_fill, check_window, require_image, window_over


class Patches(Value, frozen=True, tag=11):
    """x (h, w, c) int8 or int32 to (oh, ow, kh·kw·c), x's dtype ("im2col").

    result[p, q, (i·kw + j)·c + l] = x[p·sh + i·dh − top, q·sw + j·dw − left, l], or `fill` where
    that lies outside of x. oh = (top + h + bottom − (kh − 1)·dh − 1) // sh + 1, ow likewise.
    A convolution is this and a Matmul with weights (n, kh·kw·c); `fill` is the number that stands
    for zero in x. Paddings are smaller than the window, which has at most 4096 positions.
    """

    x: U32
    kernel: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    fill: Int32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """Every window becomes a row of the result."""
        (x,) = operands
        window = self._window(require_image(x))
        check_window(window, x.type.dtype)
        check_fill(self.fill, x.type.dtype)
        oh, ow, channels = window.result
        return TensorType(x.type.dtype, (oh, ow, window.taps * channels))

    def result_interval(self, operands: Operands, /) -> Interval:
        """x's, and the fill where there is padding."""
        (x,) = operands
        if not self._window(x.type.shape).has_padding:
            return x.interval
        return x.interval.hull(Interval(self.fill, self.fill))

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """One pass over x with its padding and over the result, a row of the kernel at a time."""
        (x,) = operands
        window = self._window(x.type.shape)
        padded = TensorType(x.type.dtype, window.padded)
        runs = result.rows * (window.taps if self.dilation[1] > 1 else window.rows.kernel)
        return Work(
            products=(),
            item_bytes=PATCHES.passes * (padded.bytes + result.bytes) + PATCHES.row * runs,
            fixed_bytes=0,
        )

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Copy a view in which every window is a row; numpy copies whole rows of a kernel."""
        (x,) = values
        window = self._window(x.shape[1:])
        oh, ow, channels = window.result
        result = np.empty((len(x), oh, ow, *self.kernel, channels), x.dtype)
        for block, padded in self._padded_blocks(x, window):
            result[block] = self._windows(padded, window)
        return result.reshape(len(x), oh, ow, window.taps * channels)

    def _padded_blocks(self, x: Array, window: Window) -> Iterator[tuple[slice, Array]]:
        """Yield items with their padding, some at a time; all of x where it has none."""
        if not window.has_padding:
            yield slice(len(x)), x
            return
        blocks = list(row_blocks(len(x), prod(window.padded)))
        room = np.full((min(len(x), blocks[0].stop), *window.padded), self.fill, x.dtype)
        top, left = window.rows.before, window.columns.before
        h, w = window.rows.length, window.columns.length
        for block in blocks:
            items = x[block]
            room[: len(items), top : top + h, left : left + w] = items
            yield block, room[: len(items)]

    def _windows(self, x: Array, window: Window) -> Array:
        """Return a view (items, oh, ow, kh, kw, c) of padded items."""
        extents = (window.rows.extent, window.columns.extent)
        views = sliding_window_view(x, extents, axis=(1, 2))
        (sh, sw), (dh, dw) = self.stride, self.dilation
        return views[:, ::sh, ::sw, :, ::dh, ::dw].transpose(0, 1, 2, 4, 5, 3)

    def _window(self, shape: tuple[int, ...]) -> Window:
        return window_over(shape, self.kernel, self.stride, self.padding, self.dilation)
