"""Sums of two values: residuals, masks, positional embeddings, limbs of a split product."""

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..metering import ADD, Work, wide_traffic
from ..types import Array, DType, Int32, Interval, Operands, TensorType
from .base import Multiply, require_items
from .broadcast import require_spread


class Add(Value, frozen=True, tag=20):
    """x + factor · y, element by element: int8 or int32 each, giving int32 of x's shape.

    y, computed or constant, is spread over x (see `broadcast`). factor ≠ 0: 1 adds, −1 subtracts,
    64 puts two base-64 limbs of a product together.
    """

    x: U32
    y: U32
    factor: Int32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, y."""
        return (self.x, self.y)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result is int32, whatever is added, and has x's shape."""
        x, y = operands
        require_items(x, "x")
        require_spread(y, x)
        if self.factor == 0:
            raise RuleViolation("program-attribute", "factor 0 adds nothing")
        return TensorType(DType.INT32, x.type.shape)

    def result_interval(self, operands: Operands, /) -> Interval:
        """The sum of x's range and that of the scaled y."""
        x, y = operands
        return x.interval.plus(y.interval.times(Interval(self.factor, self.factor)))

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Elementwise."""
        return wide_traffic(ADD, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Add modulo 2³², which is exact because every sum fits, whatever factor · y does."""
        x, y = values
        scaled = np.multiply(y, np.int32(self.factor), dtype=np.int32)
        return np.add(x, scaled, dtype=np.int32)
