"""Rows brought to unit size: the core of layer and root-mean-square normalisation."""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from ...core.codec import U32, U63, Value
from ..metering import NORMALISE, Work, wide_traffic
from ..types import Array, DType, Interval, Operands, TensorType
from .base import Multiply, require_items, require_row, row_blocks
from .fixed_point import magnitude, require_attribute, require_int64

_MAX_BITS = 30


class Normalise(Value, frozen=True, tag=27):
    """Each row of the last dimension over its size, times 2^bits: (…, n) of either type to int32.

        d = n·x − Σx where centred, else n·x
        r = ⌊√(⌊Σd² ÷ n⌋ + epsilon)⌋
        y = ⌊d·2^bits ÷ r + ½⌋, the quotient being exact before it is rounded

    Centred, y ÷ 2^bits is (x − mean) ÷ deviation (Ba et al., arXiv 1607.06450); otherwise it is x
    over its root mean square (Zhang and Sennrich, arXiv 1910.07467). A float model's epsilon e on
    values of scale s (x·s is the real value) is epsilon = e·n² ÷ s². epsilon ≥ 1 also keeps r ≥ 1.
    Rounding r down makes y too large by less than one part in r, which is n times the deviation
    counted in units of x.
    """

    x: U32
    centred: bool
    bits: U32
    epsilon: U63

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """The result is int32 and has x's shape; n and the range of x must leave int64 room."""
        (x,) = operands
        require_items(x, "x")
        n = require_row(x, "x")
        require_attribute("bits", self.bits, 0, _MAX_BITS)
        require_attribute("epsilon", self.epsilon, 1, 2**63 - 1)
        largest = self._largest(x.interval, n)
        require_int64(n * largest**2)
        require_int64(largest**2, self.epsilon)
        require_int64(largest << (self.bits + 1), isqrt(largest**2 + self.epsilon))
        return TensorType(DType.INT32, x.type.shape)

    def _largest(self, x: Interval, n: int) -> int:
        """Return a bound on |d|."""
        scaled = x.sum_of(n)
        if self.centred:
            scaled = scaled.plus(Interval(-scaled.hi, -scaled.lo))
        return magnitude(scaled)

    def result_interval(self, operands: Operands, /) -> Interval:
        """A row of n has no entry above √n of its size, but for the rounding down of r.

        Σd² < n·(r + 1)², and no d² is more than the whole, or (n − 1) ÷ n of it where Σd = 0
        (Samuelson's inequality). So |d| ÷ r < √m·(1 + 1 ÷ r) with m = n or n − 1, r ≥ ⌊√epsilon⌋.
        """
        (x,) = operands
        n, least = x.type.shape[-1], isqrt(self.epsilon)
        m = n - 1 if self.centred else n
        by_size = isqrt(m * ((least + 1) << self.bits) ** 2) // least
        by_range = (self._largest(x.interval, n) << self.bits) // least
        bound = min(by_size, by_range) + 1
        return Interval(-bound, bound)

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Two scans and a division in int64 per element, a square root per row."""
        return wide_traffic(NORMALISE, operands, result)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Work through blocks of rows, so that the int64 temporaries stay small."""
        (x,) = values
        rows = x.reshape(-1, x.shape[-1])
        result = np.empty(rows.shape, np.int32)
        for block in row_blocks(*rows.shape):
            result[block] = self._normalised(rows[block].astype(np.int64))
        return result.reshape(x.shape)

    def _normalised(self, wide: NDArray[np.int64]) -> NDArray[np.int64]:
        n = wide.shape[-1]
        total = wide.sum(axis=-1, keepdims=True)
        wide *= n
        if self.centred:
            wide -= total
        radicands = np.einsum("ij,ij->i", wide, wide) // n + self.epsilon
        # Python's own root of an integer: exact, and one per row costs little.
        roots = np.fromiter(map(isqrt, radicands.tolist()), np.int64, len(radicands))
        root = roots[:, None]
        wide <<= self.bits + 1
        wide += root
        wide //= 2 * root
        return wide
