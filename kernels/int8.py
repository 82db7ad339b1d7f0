"""The exact int8 product on torch's `_int_mm`, which is not exact everywhere.

Without VNNI instructions the underlying library adds pairs of int8 products in saturating 16-bit
arithmetic, which a right operand beyond [−64, 63] overflows. So the first use multiplies worst
cases and picks the fastest way that gets all of them right: `_int_mm` itself, `_int_mm` on the two
halves of the right operand, or float64, whose 53 bits hold any int8 sum.
"""

from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

import torch

Product: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
"""product(left m×k int8, right transposed n×k int8, out m×n int32): out = left · right, exactly,
for k from MIN_DEPTH to 2¹⁷ − 1."""

MIN_DEPTH: Final = 2
"""Smallest k: torch 2.13 returns from `_int_mm` with k = 1 without having written `out`."""
_int_mm: Final = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
_TEST_SHAPES: Final = (
    (1, 1, 128),
    (3, 5, MIN_DEPTH),
    (8, 17, 256),
    (33, 48, 130),
    (64, 256, 512),
    (256, 64, 128),
)


@cache
def exact_product() -> Product:
    """Return the fastest way to multiply that this machine gets right on every worst case."""
    for way in (product_direct, product_in_halves):
        if is_exact(way):
            return way
    return product_in_float64


def product_direct(left: torch.Tensor, right_t: torch.Tensor, out: torch.Tensor) -> None:
    """One `_int_mm`."""
    _int_mm(left, right_t.t(), out=out)


def product_in_halves(left: torch.Tensor, right_t: torch.Tensor, out: torch.Tensor) -> None:
    """Two `_int_mm` whose right operands lie in [−64, 64] and add up to the given one."""
    low = right_t >> 1
    _int_mm(left, low.t(), out=out)
    out += _int_mm(left, (right_t - low).t())


def product_in_float64(left: torch.Tensor, right_t: torch.Tensor, out: torch.Tensor) -> None:
    """A float64 product: exact, since every partial sum is an integer below 2³¹."""
    out.copy_(left.double() @ right_t.double().t())


def is_exact(way: Product) -> bool:
    """Tell whether a way of multiplying gets operands of extreme values right in several shapes."""
    return all(_agrees(way, *shape) for shape in _TEST_SHAPES)


def _agrees(way: Product, m: int, n: int, k: int) -> bool:
    expected = torch.empty((m, n), dtype=torch.int32)
    actual = torch.zeros_like(expected)
    for left in _extremes(m, k):
        for right_t in _extremes(n, k):
            product_in_float64(left, right_t, expected)
            way(left, right_t, actual)
            if not torch.equal(actual, expected):
                return False
    return True


def _extremes(rows: int, k: int) -> list[torch.Tensor]:
    """Return matrices that saturate 16 bits when neighbouring products are added there."""
    lowest = torch.full((rows, k), -128, dtype=torch.int8)
    highest = torch.full((rows, k), 127, dtype=torch.int8)
    ramp = (torch.arange(rows * k).reshape(rows, k) * 37 % 256 - 128).to(torch.int8)
    mixed = torch.where(torch.arange(k) % 4 < 2, highest, lowest)
    return [lowest, highest, ramp, mixed]
