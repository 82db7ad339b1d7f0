# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
# (Kernels are not Python: their values have no static types, and launches take keywords of Triton.)
"""The noise of protocol §5 on the GPU: L and the permutations, then operand + L·R in one pass.

Everything comes from the seed's 32 bytes: nothing is drawn on the host. Bit-equal to
`consensus.ticket.noise`.
"""

from typing import Final

import torch
import triton
import triton.language as tl

from ...consensus.ticket.constants import RANK as _RANK
from .blake3 import CHUNK_END, CHUNK_START, KEYED_HASH, ROOT, compressed, load_words

RANK: Final = tl.constexpr(_RANK)
_THREADS: Final = 256
_LEFT_LABEL: Final = tl.constexpr(ord("L"))
_LEFT_BLOCKS: Final = tl.constexpr(_RANK // 64)
_KEY_LABEL: Final = tl.constexpr(ord("R"))
_KEY_BLOCKS: Final = tl.constexpr(4 * _RANK // 64)
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


@triton.jit
def _expanded(seed, label, number, block, BLOCK: tl.constexpr):
    """Return 16 words: output block `block` of X(seed, label ‖ u32 number)."""
    zero = number ^ number
    message = (
        (number << 8) | label,
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
    return compressed(load_words(seed, BLOCK), message, block, 5, _ONE_BLOCK)


@triton.jit(do_not_specialize=["first", "rows"])
def draw_left_kernel(seed, left, first, rows, BLOCK: tl.constexpr):
    """Write L of rows first … first + rows − 1, 32 words of four values each; two threads a row."""
    thread = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    number = (first + thread // _LEFT_BLOCKS).to(tl.uint32)
    block = (thread % _LEFT_BLOCKS).to(tl.uint32)
    words = _expanded(seed, _LEFT_LABEL, number, block, BLOCK)
    inside = thread < rows * _LEFT_BLOCKS
    for index in tl.static_range(16):
        tl.store(left + thread * 16 + index, _values(words[index]), mask=inside)


@triton.jit(do_not_specialize=["slabs"])
def draw_keys_kernel(seed, keys, slabs, BLOCK: tl.constexpr):
    """Write the 128 keys of every slab; eight threads a slab."""
    thread = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    number = (thread // _KEY_BLOCKS).to(tl.uint32)
    block = (thread % _KEY_BLOCKS).to(tl.uint32)
    words = _expanded(seed, _KEY_LABEL, number, block, BLOCK)
    inside = thread < slabs * _KEY_BLOCKS
    for index in tl.static_range(16):
        tl.store(keys + thread * 16 + index, words[index].to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def rank_kernel(keys, orders, inverse):
    """Sort one slab by (key, index): an index stands where as many others come before it."""
    index = tl.arange(0, RANK)
    at = tl.program_id(0) * RANK
    key = tl.load(keys + at + index).to(tl.uint32, bitcast=True)
    other = key[None, :]
    before = (other < key[:, None]) | ((other == key[:, None]) & (index[None, :] < index[:, None]))
    place = tl.sum(before.to(tl.int32), axis=1)
    tl.store(inverse + at + index, place)
    tl.store(orders + at + place, index)


@triton.jit
def _slab_noise(left, orders, row, slab, inside):
    """Return the noise of a block of rows in one slab."""
    column = tl.arange(0, RANK)
    chosen = tl.load(orders + slab * RANK + column)
    following = tl.load(orders + slab * RANK + (column + 1) % RANK)
    l_row = left + row[:, None] * RANK
    value = tl.load(l_row + chosen[None, :], mask=inside, other=0)
    return value - tl.load(l_row + following[None, :], mask=inside, other=0)


@triton.jit(do_not_specialize=["rows"])
def noise_kernel(left, orders, noised, rows, k, BLOCK: tl.constexpr):
    """Write noise alone, `BLOCK` rows of one slab: the zero operand is not there to be read."""
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    slab = tl.program_id(1)
    inside = (row < rows)[:, None] & (tl.arange(0, RANK) < RANK)[None, :]
    here = row[:, None] * k + (slab * RANK + tl.arange(0, RANK))[None, :]
    tl.store(noised + here, _slab_noise(left, orders, row, slab, inside), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def add_noise_kernel(operand, left, orders, noised, rows, k, BLOCK: tl.constexpr):
    """Write operand + noise, `BLOCK` rows of one slab."""
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    slab = tl.program_id(1)
    inside = (row < rows)[:, None] & (tl.arange(0, RANK) < RANK)[None, :]
    here = row[:, None] * k + (slab * RANK + tl.arange(0, RANK))[None, :]
    value = tl.load(operand + here, mask=inside, other=0)
    value += _slab_noise(left, orders, row, slab, inside)
    tl.store(noised + here, value, mask=inside)


def draw_left(seed: torch.Tensor, first: int, rows: int) -> torch.Tensor:
    """Return L (rows×128, int8) of the global rows from `first` on; `seed` is 8 int32 words."""
    left = torch.empty((rows, _RANK), dtype=torch.int8, device=seed.device)
    grid = (triton.cdiv(rows * _LEFT_BLOCKS.value, _THREADS),)
    draw_left_kernel[grid](seed, left.view(torch.int32), first, rows, BLOCK=_THREADS, num_warps=8)
    return left


def draw_orders(seed: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the permutations and their inverses (k/128 × 128 each, int32)."""
    slabs = k // _RANK
    keys, orders, inverse = torch.empty(
        (3, slabs, _RANK), dtype=torch.int32, device=seed.device
    ).unbind()
    grid = (triton.cdiv(slabs * _KEY_BLOCKS.value, _THREADS),)
    draw_keys_kernel[grid](seed, keys, slabs, BLOCK=_THREADS, num_warps=8)
    rank_kernel[(slabs,)](keys, orders, inverse, num_warps=4)
    return orders, inverse


def add_noise(
    operand: torch.Tensor | None, left: torch.Tensor, orders: torch.Tensor
) -> torch.Tensor:
    """Return operand + noise (rows×k, int8); None is the zero operand.

    `left` is L of the same rows, `orders` the permutations (k/128 × 128, int32).
    """
    rows, k = len(left), orders.numel()
    noised = torch.empty((rows, k), dtype=torch.int8, device=left.device)
    grid = (triton.cdiv(rows, _NOISED_ROWS), len(orders))
    how = {"BLOCK": _NOISED_ROWS, "num_warps": 4}
    if operand is None:
        noise_kernel[grid](left, orders, noised, rows, k, **how)
    else:
        add_noise_kernel[grid](operand, left, orders, noised, rows, k, **how)
    return noised
