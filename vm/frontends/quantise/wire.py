"""What a program's integers stand for: a value of the float graph on its way through the machine.

    real = clip(scale·q + offset, low, high)

with one scale and offset, or one for each channel of the machine's last dimension. Everything
affine is free until somebody needs integers of another encoding: a bias, a batch normalisation, a
layer's gamma and beta, a multiplication by a constant only change scale and offset, a rectifier
only `low`, a permutation of the axes only `order`.
"""

from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from ...types import DType
from .tape import Floats, Slot


@dataclass(frozen=True, slots=True, eq=False)
class Wire:
    """A value of the graph, encoded."""

    slot: Slot
    order: tuple[int, ...]
    """Dimension i of the machine's item is axis order[i] of the graph's item."""
    scale: Floats = field(default_factory=lambda: np.ones(1))
    """(1,) or (n,) float64, n the machine's last dimension; not 0, of either sign."""
    offset: Floats = field(default_factory=lambda: np.zeros(1))
    """(1,) or (n,) float64."""
    low: float = -inf
    high: float = inf

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item as the graph has it."""
        axes = [0] * len(self.order)
        for length, axis in zip(self.slot.shape, self.order, strict=True):
            axes[axis] = length
        return tuple(axes)

    @property
    def uniform(self) -> bool:
        """Whether all channels have the same scale and offset."""
        return bool(np.all(self.scale == self.scale[0]) and np.all(self.offset == self.offset[0]))

    @property
    def clipped(self) -> bool:
        """Whether a clip is still to be carried out."""
        return self.low > -inf or self.high < inf

    @property
    def plain(self) -> bool:
        """Whether the integers are the value, but for one positive scale."""
        positive = self.scale[0] > 0 and self.offset[0] == 0
        return bool(self.uniform and positive and not self.clipped)

    @property
    def narrow(self) -> bool:
        """Whether it is an operand already."""
        return self.slot.dtype is DType.INT8

    @property
    def counts(self) -> bool:
        """Whether it holds the integers of the model itself, such as a mask, but for a clip."""
        return bool(self.uniform and self.scale[0] == 1 and self.offset[0] == 0)

    @property
    def exact(self) -> bool:
        """Whether it holds the integers of the model itself."""
        return self.counts and not self.clipped

    @property
    def rectified(self) -> bool:
        """Whether the machine's Relu carries out the clip."""
        positive = self.scale[0] > 0 and self.offset[0] == 0
        return bool(self.uniform and positive and self.low == 0 and self.high == inf)

    def real(self) -> Floats:
        """Return the calibration data as floats (items, *shape), in the graph's axes."""
        values = self.slot.data * self.scale + self.offset
        inverse = np.argsort(self.order)
        turned = values.transpose(0, *(1 + axis for axis in inverse))
        return np.clip(turned, self.low, self.high)

    def scaled(self, factor: ArrayLike, shift: ArrayLike) -> "Wire":
        """Return value · factor + shift, each (1,) or (n,) along the machine's last dimension.

        There must be no clip to carry out, and no factor of 0.
        """
        scale = self.scale * np.asarray(factor, np.float64)
        offset = self.offset * np.asarray(factor, np.float64) + np.asarray(shift, np.float64)
        return replace(self, scale=scale, offset=offset)

    def clip(self, low: float, high: float) -> "Wire":
        """Return the value clipped once more."""
        return replace(self, low=min(max(self.low, low), high), high=max(min(self.high, high), low))


def identity(dims: int) -> tuple[int, ...]:
    """Return the order of a value laid out as the graph has it."""
    return tuple(range(dims))
