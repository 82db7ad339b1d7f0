"""Matrix products: items by registered weights."""

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..metering import MATMUL, Work
from ..products import ProductShape, slices_of
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_channels, require_constant, require_dtype, require_items


class Matmul(Value, frozen=True, tag=1):
    """x (…, k) int8 by weights (n, k) int8, B transposed, gives (…, n) int32.

    The dimensions before the last count as further rows: m = items · their product.
    """

    x: U32
    weights: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x, weights."""
        return (self.x, self.weights)

    def result_type(self, operands: Operands, /) -> TensorType:
        """x must end in the weights' k; the result ends in their n."""
        x, weights = operands
        require_items(x, "x")
        require_constant(weights, "weights")
        require_dtype(x, DType.INT8, "x")
        require_dtype(weights, DType.INT8, "weights")
        k = require_channels(x, "x")
        if len(weights.type.shape) != 2 or weights.type.shape[1] != k:
            raise RuleViolation(
                "program-shape", f"weights must have shape [n, {k}], not {weights.type}"
            )
        return TensorType(DType.INT32, (*x.type.shape[:-1], weights.type.shape[0]))

    def result_interval(self, operands: Operands, /) -> Interval:
        """k times the range of one multiply."""
        x, weights = operands
        return x.interval.times(weights.interval).sum_of(x.type.shape[-1])

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """One product; every slice passes over the result once."""
        x, weights = operands
        n, k = weights.type.shape
        term = x.interval.times(weights.interval)
        product = ProductShape(x.type.rows, n, k, self.weights, term)
        slices = sum(1 for _ in slices_of(k))
        moved = x.type.bytes + slices * result.bytes
        return Work(
            products=(product,),
            item_bytes=MATMUL.passes * moved + MATMUL.row * product.rows,
            fixed_bytes=MATMUL.passes * weights.type.bytes,
        )

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Flatten to rows, multiply, restore the leading dimensions."""
        x = values[0].astype(np.int8, copy=False)
        weights = values[1].astype(np.int8, copy=False)
        rows = x.reshape(-1, x.shape[-1])
        return multiply(rows, weights).reshape(*x.shape[:-1], weights.shape[0])
