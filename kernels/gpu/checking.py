"""One configuration of one kernel against the reference, on the device that is to use it."""

from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ...consensus.ticket.constants import RANK, TILE
from ...consensus.ticket.transcript import lanes_of_tiles
from ...core.errors import UserError
from .configurations import Configuration
from .denoise import Factors, exact_product
from .product import noised_lanes, plain_product

KERNELS: Final = ("plain", "lanes", "exact")
"""What a configuration may cut up: A·B, the transcripts of A'·B', or both with the noise off."""
_DEPTH: Final = 2 * RANK


class DeviceDiffers(UserError):
    """A device computes something differently from consensus and must not be used."""

    def __init__(self, device: torch.device, what: str) -> None:
        super().__init__(
            f"device {device}: it computes {what} differently from consensus; use --device cpu"
        )
        self.what = what


def is_exact(kernel: str, how: Configuration, device: torch.device) -> bool:
    """Return whether every byte is right for two by two blocks, the last ones cut off."""
    m, n = how.rows + TILE, how.columns + TILE
    a, b = _drawn(m, _DEPTH, 1), _drawn(n, _DEPTH, 2)
    left, right = (torch.from_numpy(x).to(device) for x in (a, b))
    product, lanes = _expected(m, n)
    if kernel == "plain":
        return _equal(plain_product(left, right, how), product)
    if kernel == "lanes":
        return _equal(noised_lanes(left, right, how), lanes)
    sides = [
        [
            _drawn(rows, RANK, seed, -31, 32),
            _drawn(rows, RANK, seed + 1),
            _drawn(rows, RANK, seed + 2),
        ]
        for rows, seed in ((m, 10), (n, 20))
    ]
    ours = [Factors(*(torch.from_numpy(x).to(device) for x in side)) for side in sides]
    (a_left, a_low, a_high), (b_left, b_low, b_high) = (
        [x.astype(np.int64) for x in side] for side in sides
    )
    denoised = product + a_left @ (256 * b_high + b_low).T + (256 * a_high + a_low) @ b_left.T
    found_lanes, found = exact_product(left, right, ours[0], ours[1], how)
    return _equal(found_lanes, lanes) and _equal(found, denoised)


@cache
def _expected(m: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the product and the transcripts of the operands that `is_exact` draws."""
    a, b = _drawn(m, _DEPTH, 1), _drawn(n, _DEPTH, 2)
    return a.astype(np.int64) @ b.astype(np.int64).T, lanes_of_tiles(a, b).view(np.int32)


def _drawn(
    rows: int, columns: int, seed: int, low: int = -128, high: int = 127
) -> NDArray[np.int8]:
    generator = np.random.default_rng(seed)
    return generator.integers(low, high, (rows, columns), np.int8, endpoint=True)


def _equal(found: torch.Tensor, expected: NDArray[np.integer]) -> bool:
    return np.array_equal(found.cpu().numpy(), expected)
