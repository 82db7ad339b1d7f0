"""The two thin products that peel noise off, as int8 limbs for the same matrix units (protocol §7).

    C = A'·B' − E_L·U − V·F_Lᵀ        U = E_R·B' (128×n)        V = A·F_Rᵀ (m×128)

|U| ≤ 128 slabs · 253 and |V| ≤ 128 slabs · 127 exceed int8 but fit 256·high + low, both limbs int8.
The kernel works on the transposed product, so both corrections are two products of depth 256:

    (E_L·U + V·F_Lᵀ)ᵀ = [Uᵀ_low | F_L]·[E_L | V_low]ᵀ + 256 · [Uᵀ_high | F_L]·[E_L | V_high]ᵀ
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..consensus.ticket.constants import RANK
from .int8 import exact_product


@dataclass(frozen=True)
class Limbs:
    """One side of the corrections: rows×256 int8 operands for the low and the high limb."""

    low: torch.Tensor
    high: torch.Tensor


def limbs(values: NDArray[np.int32]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Split values in [−32 896, 32 639] into (low, high) with value = 256·high + low."""
    low = values.astype(np.int8)
    return low, ((values - low) >> 8).astype(np.int8)


def column_limbs(u_t: NDArray[np.int32], left: NDArray[np.int8]) -> Limbs:
    """Return B's side, [Uᵀ | F_L], for columns given by Uᵀ (columns×128) and their F_L."""
    low, high = limbs(u_t)
    return Limbs(_beside(low, left), _beside(high, left))


def row_limbs(v: NDArray[np.int32], left: NDArray[np.int8]) -> Limbs:
    """Return A's side, [E_L | V], for rows given by V (rows×128) and their E_L."""
    low, high = limbs(v)
    return Limbs(_beside(left, low), _beside(left, high))


def selected_sums(slabs: torch.Tensor, selection: NDArray[np.int8]) -> NDArray[np.int32]:
    """Return rows·Rᵀ, rows×128, from rows in slabs (k/128, rows, 128) and R (128×k)."""
    product = exact_product()
    total = torch.zeros((slabs.shape[1], RANK), dtype=torch.int32)
    part = torch.empty_like(total)
    chosen = np.ascontiguousarray(selection.reshape(RANK, -1, RANK).transpose(1, 0, 2))
    for slab, columns in zip(slabs, torch.from_numpy(chosen), strict=True):
        product(slab, columns, part)
        total += part
    return total.numpy()


def _beside(left: NDArray[np.int8], right: NDArray[np.int8]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate((left, right), axis=1))
