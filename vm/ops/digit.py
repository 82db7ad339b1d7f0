"""Base-64 digits: what lets numbers of more than seven bits go through products of operands."""

import numpy as np

from ...core.codec import U32, Value
from ..metering import DIGIT, Work, wide_traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_dtype, require_items, row_blocks
from .fixed_point import require_attribute

_DIGIT = Interval(0, 63)
_MAX_SHIFT = 31


class Digit(Value, frozen=True, tag=25):
    """(x >> shift) & 63, element by element: int32 to int8 in [0, 63]. shift ≤ 31.

    Digits of a number in [0, 2¹²) at shifts 0 and 6 are two operands, and a·x = a·low + 64·(a·high)
    for a product with any a. A negative x counts in two's complement.
    """

    x: U32
    shift: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result has x's shape."""
        (x,) = operands
        require_items(x, "x")
        require_dtype(x, DType.INT32, "x")
        require_attribute("shift", self.shift, 0, _MAX_SHIFT)
        return TensorType(DType.INT8, x.type.shape)

    def result_interval(self, operands: Operands, /) -> Interval:
        """The shifted range where that is a digit already: masking then changes nothing."""
        (x,) = operands
        shifted = Interval(x.interval.lo >> self.shift, x.interval.hi >> self.shift)
        return shifted if shifted.within(_DIGIT) else _DIGIT

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise."""
        return wide_traffic(DIGIT, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Work through blocks, so that the shifted temporaries stay small."""
        (x,) = values
        flat = x.reshape(-1)
        result = np.empty(flat.shape, np.int8)
        for block in row_blocks(flat.size, 1):
            result[block] = (flat[block] >> self.shift) & _DIGIT.hi
        return result.reshape(x.shape)
