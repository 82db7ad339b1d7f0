# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
# (Kernels are not Python: their values have no static types, and launches take keywords of Triton.)
"""The noise of protocol §5 drawn on the GPU: L row by row, then operand + L·R in one pass.

L is hashed on the device (two compressions a row); the permutations are a few slabs of 128 keys and
come from the host. Bit-equal to `consensus.ticket.noise`.
"""

from typing import Final

import torch
import triton
import triton.language as tl

from ...consensus.ticket.constants import RANK as _RANK
from .blake3 import CHUNK_END, CHUNK_START, KEYED_HASH, ROOT, compressed, load_words

RANK: Final = tl.constexpr(_RANK)
_DRAWN_ROWS: Final = 128
_NOISED_ROWS: Final = 32
_ONE_BLOCK: Final = tl.constexpr(
    CHUNK_START.value | CHUNK_END.value | ROOT.value | KEYED_HASH.value
)


@triton.jit
def _values(word):
    """Turn each of a word's four bytes b into (b & 63) − 32, as two's complement bytes."""
    low = (word & 0x3F3F3F3F) ^ 0x20202020
    sign = low & 0x20202020
    return (low | (sign << 1) | (sign << 2)).to(tl.int32, bitcast=True)


@triton.jit(do_not_specialize=["first", "rows"])
def draw_left_kernel(seed, left, first, rows, BLOCK: tl.constexpr):
    """Write L of rows first … first + rows − 1: 32 words of four values for each."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    key = load_words(seed, BLOCK)
    number = (first + row).to(tl.uint32)
    zero = number ^ number
    message = (
        (number << 8) | 0x4C,  # "L", then the row as u32
        number >> 24,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
    )
    inside = row < rows
    at = left + row * 32
    for half in tl.static_range(2):
        words = compressed(key, message, half, 5, _ONE_BLOCK)
        for index in tl.static_range(16):
            tl.store(at + 16 * half + index, _values(words[index]), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def add_noise_kernel(operand, stride, left, orders, noised, rows, k, BLOCK: tl.constexpr):
    """Write operand + noise, `BLOCK` rows of one slab; a stride of 0 repeats one operand row."""
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    slab = tl.program_id(1)
    column = tl.arange(0, RANK)
    inside = (row < rows)[:, None] & (column < RANK)[None, :]
    chosen = tl.load(orders + slab * RANK + column)
    following = tl.load(orders + slab * RANK + (column + 1) % RANK)
    l_row = left + row[:, None] * RANK
    here = slab * RANK + column
    value = tl.load(operand + row[:, None] * stride + here[None, :], mask=inside, other=0)
    value += tl.load(l_row + chosen[None, :], mask=inside, other=0)
    value -= tl.load(l_row + following[None, :], mask=inside, other=0)
    tl.store(noised + row[:, None] * k + here[None, :], value, mask=inside)


def draw_left(seed: torch.Tensor, first: int, rows: int) -> torch.Tensor:
    """Return L (rows×128, int8) of the global rows from `first` on; `seed` is 8 int32 words."""
    left = torch.empty((rows, _RANK), dtype=torch.int8, device=seed.device)
    grid = (triton.cdiv(rows, _DRAWN_ROWS),)
    draw_left_kernel[grid](
        seed, left.view(torch.int32), first, rows, BLOCK=_DRAWN_ROWS, num_warps=4
    )
    return left


def add_noise(
    operand: torch.Tensor | None, left: torch.Tensor, orders: torch.Tensor
) -> torch.Tensor:
    """Return operand + noise (rows×k, int8); None is the zero operand.

    `left` is L of the same rows, `orders` the permutations (k/128 × 128, int32).
    """
    rows, k = len(left), orders.numel()
    device = left.device
    noised = torch.empty((rows, k), dtype=torch.int8, device=device)
    source = torch.zeros((1, k), dtype=torch.int8, device=device) if operand is None else operand
    stride = 0 if operand is None else k
    grid = (triton.cdiv(rows, _NOISED_ROWS), len(orders))
    add_noise_kernel[grid](
        source, stride, left, orders, noised, rows, k, BLOCK=_NOISED_ROWS, num_warps=4
    )
    return noised
