# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
# (Kernels are not Python: their values have no static types, and launches take keywords of Triton.)
"""Peeling the noise off on the GPU, inside the kernel that multiplies (protocol §7).

    C = A'·B' − E_L·U − V·F_Lᵀ        U = E_R·B' (128×n)        V = A·F_Rᵀ (m×128)

The selections E_R and F_R have one +1 and one −1 a column, so U and V are gathered, not multiplied.
They fit 256·high + low with int8 limbs (see `kernels.denoise`), so that four thin int8 products
correct the sums while they are still in registers: C is written once and A'·B' never.

The matrix units only add to their sums, so L is kept negated (−31 … 32 fits), and the sums are
turned by 8 bits before the high limbs are added: a second set of sums would cost half of the
registers, or spill. Turned, a sum has its low byte on top and the rest in 24 bits below. Adding
2³⁰ first keeps that field away from its ends: it starts at (2³⁰ ± (2²⁸ + 2²⁰)) / 256, which is
2²² ± (2²⁰ + 2¹²), and each partial sum of the high limbs is at most 2²⁰. So nothing is carried
into the top byte, no sum leaves int32, and saturating instructions do no harm.
"""

from dataclasses import dataclass
from typing import Final

import torch
import triton
import triton.language as tl

from ...consensus.ticket.constants import LANES, TILE
from ...consensus.ticket.constants import RANK as _RANK
from .configurations import Configuration, family
from .product import (
    add_product,
    block_of,
    blocks,
    check_depth,
    folded_product,
    folding,
    load_slab,
    store_lanes,
    store_sums,
)

RANK: Final = tl.constexpr(_RANK)
OFFSET: Final = tl.constexpr(2**30)
_SUMMED_ROWS: Final = 16


@dataclass(frozen=True)
class Factors:
    """One side of the corrections, rows×128 int8 each: −L of its own noise, and its gathered sums
    over the other side's selection as limbs, 256·high + low."""

    negated_left: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


@triton.jit(do_not_specialize=["rows", "slabs"])
def selected_sums_kernel(operand, inverse, low, high, rows, slabs, BLOCK: tl.constexpr):
    """Write operand·Rᵀ (rows×128) as limbs; `inverse` tells where each index stands in a slab."""
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    index = tl.arange(0, RANK)
    inside = (row < rows)[:, None] & (index < RANK)[None, :]
    total = tl.zeros((BLOCK, RANK), tl.int32)
    at = operand + row[:, None] * (slabs * RANK)
    for slab in range(0, slabs):
        place = tl.load(inverse + slab * RANK + index)
        before = (place + RANK - 1) % RANK
        here = at + slab * RANK
        total += tl.load(here + place[None, :], mask=inside, other=0).to(tl.int32)
        total -= tl.load(here + before[None, :], mask=inside, other=0).to(tl.int32)
    lower = (total << 24) >> 24
    out = row[:, None] * RANK + index[None, :]
    tl.store(low + out, lower.to(tl.int8), mask=inside)
    tl.store(high + out, ((total - lower) >> 8).to(tl.int8), mask=inside)


@triton.jit
def exact_kernel(
    a,
    b,
    a_negated,
    a_low,
    a_high,
    b_negated,
    b_low,
    b_high,
    lanes,
    product,
    m,
    n,
    k,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
    XOR: tl.constexpr,
):
    """Transcripts of A'·B', and the exact A·B."""
    row_block, column_block = block_of(
        tl.program_id(0), tl.cdiv(m, ROWS), tl.cdiv(n, COLUMNS), GROUP
    )
    row, column = row_block * ROWS, column_block * COLUMNS
    a_at = load_slab(a, row, m, k, ROWS, DEPTH)
    b_at = load_slab(b, column, n, k, COLUMNS, DEPTH)
    sums, state = folded_product(a_at, b_at, k, ROWS, COLUMNS, DEPTH, XOR)
    store_lanes(lanes, state, row, column, m, n, ROWS, COLUMNS)
    e_left = load_slab(a_negated, row, m, RANK, ROWS, DEPTH)
    v_low = load_slab(a_low, row, m, RANK, ROWS, DEPTH)
    v_high = load_slab(a_high, row, m, RANK, ROWS, DEPTH)
    f_left = load_slab(b_negated, column, n, RANK, COLUMNS, DEPTH)
    u_low = load_slab(b_low, column, n, RANK, COLUMNS, DEPTH)
    u_high = load_slab(b_high, column, n, RANK, COLUMNS, DEPTH)
    for part in range(0, RANK, DEPTH):
        sums = add_product(sums, e_left + part, u_low + part)
        sums = add_product(sums, v_low + part, f_left + part)
    words = (sums + OFFSET).to(tl.uint32, bitcast=True)
    sums = ((words >> 8) | (words << 24)).to(tl.int32, bitcast=True)
    for part in range(0, RANK, DEPTH):
        sums = add_product(sums, e_left + part, u_high + part)
        sums = add_product(sums, v_high + part, f_left + part)
    words = sums.to(tl.uint32, bitcast=True)
    sums = ((words << 8) | (words >> 24)).to(tl.int32, bitcast=True) - OFFSET
    store_sums(product, sums, row, column, m, n, ROWS, COLUMNS)


def factors(operand: torch.Tensor, inverse: torch.Tensor, left: torch.Tensor) -> Factors:
    """Return a side's factors from its operand (rows×k, int8: A itself, or B' transposed), the
    inverse permutations of the *other* side (k/128 × 128, int32) and its own L (rows×128)."""
    rows, k = operand.shape
    check_depth(k)
    low, high = torch.empty_like(left), torch.empty_like(left)
    grid = (triton.cdiv(rows, _SUMMED_ROWS),)
    selected_sums_kernel[grid](
        operand, inverse, low, high, rows, len(inverse), BLOCK=_SUMMED_ROWS, num_warps=4
    )
    return Factors(-left, low, high)


def exact_product(
    a_noised: torch.Tensor, b_noised: torch.Tensor, a: Factors, b: Factors, how: Configuration
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the transcripts of A'·B' (m/16, n/16, 32) and A·B (m×n), both int32."""
    (m, k), n = a_noised.shape, len(b_noised)
    check_depth(k)
    device = a_noised.device
    lanes = torch.empty((m // TILE, n // TILE, LANES), dtype=torch.int32, device=device)
    product = torch.empty((m, n), dtype=torch.int32, device=device)
    exact_kernel[blocks(m, n, how)](
        a_noised,
        b_noised,
        a.negated_left,
        a.low,
        a.high,
        b.negated_left,
        b.low,
        b.high,
        lanes,
        product,
        m,
        n,
        k,
        **folding(how, family(device)),
    )
    return lanes, product
