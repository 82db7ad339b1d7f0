"""Products of computed values, such as attention's: many, small, and never mined."""

from math import prod

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..limits import MAX_PRODUCT_K
from ..metering import BATCH, MATRIX_BYTES, Work
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_dtype, require_items


class BatchMatmul(Value, frozen=True, tag=10):
    """a (…, m, k) int8 by b (…, n, k) int8, B transposed, gives (…, m, n) int32.

    One product for each item and each index of the leading dimensions, which are those of both.
    b may be a constant, the same for all items: grouped and depthwise convolutions. The products
    have no number: whoever executes the program multiplies them, k ≤ 16 384, and they are neither
    mined nor posted.
    """

    a: U32
    b: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """a, b."""
        return (self.a, self.b)

    def result_type(self, operands: Operands, /) -> TensorType:
        """Both operands agree in all dimensions but the last but one."""
        a, b = operands
        require_items(a, "a")
        require_dtype(a, DType.INT8, "a")
        require_dtype(b, DType.INT8, "b")
        if len(a.type.shape) < 2:
            raise RuleViolation("program-shape", f"a must have two dimensions, not {a.type}")
        *leading, m, k = a.type.shape
        n = b.type.shape[-2] if len(b.type.shape) >= 2 else 0
        if b.type.shape != (*leading, n, k):
            wanted = ", ".join(map(str, [*leading, "n", k]))
            raise RuleViolation("program-shape", f"b must have shape [{wanted}], not {b.type}")
        if k > MAX_PRODUCT_K:
            raise RuleViolation("program-limits", f"k = {k} is more than {MAX_PRODUCT_K}")
        return TensorType(DType.INT32, (*leading, m, n))

    def result_interval(self, operands: Operands, /) -> Interval:
        """k times the range of one multiply."""
        a, b = operands
        return a.interval.times(b.interval).sum_of(a.type.shape[-1])

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Each matrix is a step of its own; a constant is read for every item."""
        a, b = operands
        matrices = prod(result.shape[:-2])
        moved = a.type.bytes + b.type.bytes + result.bytes
        return Work(
            products=(),
            item_bytes=BATCH.passes * moved + BATCH.row * a.type.rows + MATRIX_BYTES * matrices,
            fixed_bytes=BATCH.passes * b.type.bytes if b.constant else 0,
            macs=result.elements * a.type.shape[-1],
        )

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Flatten the leading dimensions; a constant's repeat from item to item."""
        a = values[0].astype(np.int8, copy=False)
        b = values[1].astype(np.int8, copy=False)
        product = multiply.batch(
            a.reshape(-1, *a.shape[-2:]),
            b.reshape(-1, *b.shape[-2:]),
        )
        return product.reshape(*a.shape[:-1], b.shape[-2])
