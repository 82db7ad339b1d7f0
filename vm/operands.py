"""From the products of a program to the grid of the ticket (protocol §2): padding with zeros."""

import numpy as np
from numpy.typing import NDArray

from .limits import K_GRID, MAX_PRODUCT_K, MIN_MINEABLE_K, ROW_GRID
from .products import Product


def round_up(value: int, grid: int) -> int:
    """Return the least multiple of `grid` that is not below `value`."""
    return -(-value // grid) * grid


def padded_shape(product: Product) -> tuple[int, int, int]:
    """Return (m, n, k) of the product on the grid, as committed to and mined."""
    return (
        round_up(product.m, ROW_GRID),
        round_up(product.n, ROW_GRID),
        round_up(product.k, K_GRID),
    )


def pad_operand(operand: NDArray[np.int8]) -> NDArray[np.int8]:
    """Pad A (m, k) or B transposed (n, k): rows to 16, k to 128, with zeros.

    An operand already on the grid is returned as it is.
    """
    rows, k = operand.shape
    padded_rows, padded_k = round_up(rows, ROW_GRID), round_up(k, K_GRID)
    if (rows, k) == (padded_rows, padded_k):
        return operand
    padded = np.zeros((padded_rows, padded_k), np.int8)
    padded[:rows, :k] = operand
    return padded


def crop_result(result: NDArray[np.int32], product: Product) -> NDArray[np.int32]:
    """Return the product's own (m, n) out of the result of its padded operands."""
    return result[: product.m, : product.n]


def is_mineable(product: Product) -> bool:
    """Say whether mining the product pays: below k = 512 it is better multiplied plainly.

    (Protocol §2 admits tickets from k = 256; this is what an honest worker does.)
    """
    return MIN_MINEABLE_K <= round_up(product.k, K_GRID) <= MAX_PRODUCT_K
