"""The matrix products of a program: what is mined, delivered and checked one by one.

Every product is numbered in program order; that number is the `op` of protocol §4 and §8. An inner
dimension longer than 16 384 is cut into slices, each a product of its own, that add up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .limits import MAX_PRODUCT_K
from .multiplier import Multiplier, matmul_each
from .types import Interval


@dataclass(frozen=True, slots=True)
class ProductShape:
    """A product as an op declares it, before slicing: (rows per item, k) by (k, n)."""

    rows: int
    n: int
    k: int
    weight: int
    """Value index of the constant that holds B transposed, (n, k)."""
    term: Interval
    """Range of one multiply's result; a sum over k terms lies in k times that."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates per item."""
        return self.rows * self.n * self.k


@dataclass(frozen=True, slots=True)
class Product:
    """One slice of one product, as it is multiplied: A (m, k) by B (k, n)."""

    index: int
    """Position among all products of the program."""
    op: int
    """Position of the op it belongs to."""
    m: int
    n: int
    k: int
    start: int
    """First column of the slice in the op's whole A and B transposed."""
    weight: int
    """Value index of the constant that holds the whole of B transposed."""
    term: Interval

    @property
    def macs(self) -> int:
        """Multiply-accumulates, unpadded."""
        return self.m * self.n * self.k

    @property
    def interval(self) -> Interval:
        """The values an element of the result can take."""
        return self.term.sum_of(self.k)

    def for_items(self, items: int) -> "Product":
        """Return this product, stated for one item, over a job of `items`."""
        return replace(self, m=self.m * items)


def slices_of(k: int) -> Iterator[tuple[int, int]]:
    """Yield (start, length) of each slice of an inner dimension of length k."""
    for start in range(0, k, MAX_PRODUCT_K):
        yield start, min(MAX_PRODUCT_K, k - start)


def slice_products(first: int, op: int, shape: ProductShape) -> list[Product]:
    """Return the products of one item, numbered from `first`, that make up `shape`."""
    return [
        Product(first + i, op, shape.rows, shape.n, length, start, shape.weight, shape.term)
        for i, (start, length) in enumerate(slices_of(shape.k))
    ]


class ProductHandler(Protocol):
    """How an execution gets its products: multiplied, mined, or delivered and checked.

    Only products with registered weights have a number, and may be mined or delivered. Batched
    products (attention heads, kernels of one channel) are short and always multiplied.
    """

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        """Return A·B (m, n) for C-contiguous A (m, k) and B transposed (n, k)."""
        ...

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return the exact products of many small matrices, see `multiplier.matmul_each`."""
        ...


@dataclass(frozen=True, slots=True)
class _PlainProducts:
    multiplier: Multiplier

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        return self.multiplier.matmul(a, b_t)

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        return matmul_each(self.multiplier, a, b_t)


def plain_products(multiplier: Multiplier) -> ProductHandler:
    """Return the handler that simply multiplies."""
    return _PlainProducts(multiplier)
