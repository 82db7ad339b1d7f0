"""Pooling: the largest, or the sum, of every window of an image, channel by channel.

Both are taken along w and then along h, tap by tap: kw + kh passes instead of kw · kh.
"""

import numpy as np

from ...core.codec import U32, Value
from ..metering import CALL_BYTES, POOL, Work
from ..types import Array, DType, Int32, Interval, Operands, TensorType
from .base import Multiply
from .window import (
    Padding,
    Pair,
    Track,
    Window,
    check_fill,
    check_window,
    require_image,
    window_over,
)


class MaxPool(Value, frozen=True, tag=12):
    """x (h, w, c) int8 or int32 to (oh, ow, c), x's dtype: the largest entry of each window.

    Windows lie as in `Patches` with dilation 1. Padding never wins: it counts for nothing, and as
    paddings are smaller than the window, no window lies in the padding alone.
    """

    x: U32
    kernel: Pair
    stride: Pair
    padding: Padding

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """One entry per window and channel."""
        (x,) = operands
        window = self._window(require_image(x))
        check_window(window, x.type.dtype)
        return TensorType(x.type.dtype, window.result)

    def result_interval(self, operands: Operands, /) -> Interval:
        """x's."""
        return operands[0].interval

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """One pass per tap, first along w, then along h."""
        (x,) = operands
        return _work(self._window(x.type.shape), x.type, result.dtype)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Take the maximum along both dimensions."""
        (x,) = values
        window = self._window(x.shape[1:])
        return _largest(_largest(x, 2, window.columns), 1, window.rows)

    def _window(self, shape: tuple[int, ...]) -> Window:
        return window_over(shape, self.kernel, self.stride, self.padding)


class SumPool(Value, frozen=True, tag=13):
    """x (h, w, c) int8 or int32 to (oh, ow, c) int32: the sum of each window.

    Windows lie as in `Patches` with dilation 1; every padded position adds `fill`, the number that
    stands for zero in x. An average is this and a Requantise.
    """

    x: U32
    kernel: Pair
    stride: Pair
    padding: Padding
    fill: Int32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """One sum per window and channel."""
        (x,) = operands
        window = self._window(require_image(x))
        check_window(window, x.type.dtype)
        check_fill(self.fill, x.type.dtype)
        return TensorType(DType.INT32, window.result)

    def result_interval(self, operands: Operands, /) -> Interval:
        """As many terms as the window has positions, each of x or, where padded, the fill."""
        (x,) = operands
        window = self._window(x.type.shape)
        term = x.interval.hull(Interval(self.fill, self.fill)) if window.has_padding else x.interval
        return term.sum_of(window.taps)

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """One pass per tap, first along w, then along h."""
        (x,) = operands
        return _work(self._window(x.type.shape), x.type, result.dtype)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Add x along both dimensions, then the fill for the taps each window has outside of x.

        A sum of some of a window's terms lies between zero and the result's bounds, so nothing
        overflows on the way.
        """
        (x,) = values
        window = self._window(x.shape[1:])
        result = _sum(_sum(x, 2, window.columns), 1, window.rows)
        if window.has_padding:
            inside = np.outer(_taps_inside(window.rows), _taps_inside(window.columns))
            outside = (window.taps - inside).astype(np.int32)
            result += outside[:, :, np.newaxis] * np.int32(self.fill)
        return result

    def _window(self, shape: tuple[int, ...]) -> Window:
        return window_over(shape, self.kernel, self.stride, self.padding)


def _work(window: Window, x: TensorType, dtype: DType) -> Work:
    rows, columns = window.rows, window.columns
    places = (columns.kernel * rows.length + rows.kernel * rows.steps) * columns.steps
    touched = places * window.channels * dtype.size
    return Work(
        products=(),
        item_bytes=POOL.passes * (x.bytes + touched) + POOL.row * places,
        fixed_bytes=CALL_BYTES * (rows.kernel + columns.kernel),
    )


def _shape(x: Array, axis: int, track: Track) -> tuple[int, ...]:
    return (*x.shape[:axis], track.steps, *x.shape[axis + 1 :])


def _largest(x: Array, axis: int, track: Track) -> Array:
    """Start from the least number of the storage, which every window replaces or equals."""
    result = np.full(_shape(x, axis, track), np.iinfo(x.dtype).min, x.dtype)
    before = (slice(None),) * axis
    for to, source in track.overlaps():
        part = result[(*before, to)]
        np.maximum(part, x[(*before, source)], out=part)
    return result


def _sum(x: Array, axis: int, track: Track) -> Array:
    result = np.zeros(_shape(x, axis, track), np.int32)
    before = (slice(None),) * axis
    for to, source in track.overlaps():
        result[(*before, to)] += x[(*before, source)]
    return result


def _taps_inside(track: Track) -> Array:
    """Return (steps,) int32: how many of each window's taps meet x."""
    return _sum(np.ones(track.length, np.int32), 0, track)
