"""Where a sliding window lies: the arithmetic and the rules that patches and pooling share.

Windows slide over the first two of an item's three dimensions (h, w, c), which are independent of
each other. A *tap* is a position of the window, counted from 0 along one of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ...core.codec import U32
from ...core.errors import RuleViolation
from ..limits import MAX_DIM, MAX_TENSOR_BYTES, MAX_WINDOW
from ..types import DType, Interval, Operand, TensorType
from .base import require_dims, require_items

Pair: TypeAlias = tuple[U32, U32]
"""Along h, along w."""
Padding: TypeAlias = tuple[U32, U32, U32, U32]
"""Positions added: top, bottom, left, right."""


@dataclass(frozen=True, slots=True)
class Track:
    """A window sliding along one dimension of `length` positions."""

    length: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int

    @property
    def extent(self) -> int:
        """Positions from the window's first tap to its last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padded(self) -> int:
        """Positions with the padding."""
        return self.before + self.length + self.after

    @property
    def steps(self) -> int:
        """Windows that fit into the padded dimension, below 1 where none does."""
        return (self.padded - self.extent) // self.stride + 1

    def overlaps(self) -> Iterator[tuple[slice, slice]]:
        """Yield for each tap the windows that have it within x, and the positions it meets."""
        for tap in range(self.kernel):
            offset = tap * self.dilation - self.before
            first = max(0, -(offset // self.stride))
            last = min(self.steps, (self.length - 1 - offset) // self.stride + 1)
            if first < last:
                start = first * self.stride + offset
                stop = (last - 1) * self.stride + offset + 1
                yield slice(first, last), slice(start, stop, self.stride)


@dataclass(frozen=True, slots=True)
class Window:
    """A window over an item (h, w, c)."""

    rows: Track
    columns: Track
    channels: int

    @property
    def taps(self) -> int:
        """Positions of the whole window."""
        return self.rows.kernel * self.columns.kernel

    @property
    def padded(self) -> tuple[int, int, int]:
        """Shape of an item with its padding."""
        return (self.rows.padded, self.columns.padded, self.channels)

    @property
    def result(self) -> tuple[int, int, int]:
        """Shape of an item with one entry for each window and channel."""
        return (self.rows.steps, self.columns.steps, self.channels)

    @property
    def has_padding(self) -> bool:
        """Whether some tap can fall into the padding."""
        tracks = (self.rows, self.columns)
        return any(track.before or track.after for track in tracks)


def window_over(
    shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> Window:
    """Return the window over items of shape (h, w, c), whatever its attributes."""
    h, w, channels = shape
    top, bottom, left, right = padding
    return Window(
        Track(h, kernel[0], stride[0], top, bottom, dilation[0]),
        Track(w, kernel[1], stride[1], left, right, dilation[1]),
        channels,
    )


def require_image(x: Operand) -> tuple[int, ...]:
    """Return the shape (h, w, c) of a computed operand; refuse any other."""
    require_items(x, "x")
    return require_dims(x, 3, "x")


def check_window(window: Window, dtype: DType) -> None:
    """Refuse a window that is empty, too large, does not fit, or could lie in the padding alone.

    A padded item must be within the limits of a tensor, since it may have to be written out.
    """
    for track in (window.rows, window.columns):
        if min(track.kernel, track.stride, track.dilation) < 1:
            raise RuleViolation("program-attribute", "kernel, stride and dilation start at 1")
        if max(track.before, track.after) >= track.extent:
            raise RuleViolation(
                "program-attribute",
                f"padding {track.before}, {track.after} reaches past a window of {track.extent}",
            )
        if track.steps < 1:
            raise RuleViolation(
                "program-shape", f"a window of {track.extent} does not fit into {track.padded}"
            )
    if window.taps > MAX_WINDOW:
        raise RuleViolation(
            "program-attribute", f"a window of {window.taps} positions exceeds {MAX_WINDOW}"
        )
    padded = TensorType(dtype, window.padded)
    if max(padded.shape) > MAX_DIM or padded.bytes > MAX_TENSOR_BYTES:
        raise RuleViolation("program-limits", f"padded, x would be {padded}")


def check_fill(fill: int, dtype: DType) -> None:
    """Refuse a padding value that is none of the element type's."""
    if not Interval(fill, fill).within(dtype.interval):
        raise RuleViolation("program-attribute", f"fill {fill} is not within {dtype.interval}")
