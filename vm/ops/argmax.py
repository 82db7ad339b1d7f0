"""Choosing the largest entry of each row."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import ARGMAX, Work, traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_channels, require_items


class Argmax(Value, frozen=True, tag=6):
    """Position of the largest of the last dimension: (…, n) int8 or int32 to (…) int32.

    Of equal entries the first wins.
    """

    x: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The last dimension goes."""
        (x,) = operands
        require_items(x, "x")
        require_channels(x, "x")
        return TensorType(DType.INT32, x.type.shape[:-1])

    def result_interval(self, operands: Operands, /) -> Interval:
        """Any position of the last dimension."""
        (x,) = operands
        return Interval(0, x.type.shape[-1] - 1)

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """One scan."""
        return traffic(ARGMAX, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """numpy's argmax returns the first of equal entries, as the rule demands."""
        (x,) = values
        return np.argmax(x, axis=-1).astype(np.int32)
