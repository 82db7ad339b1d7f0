# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
# (Kernels are not Python: their values have no static types, and launches take keywords of Triton.)
"""Products on the GPU's int8 tensor cores: plain, or with all partial sums folded into transcripts.

A is row-major (m×k) and B transposed (n×k), so that both stream along k as the matrix units want
them. After every 128 columns the running sums are folded into 32 lanes a tile (protocol §6). The
lanes follow the accumulators' layout: folding exchanges nothing between threads on sm_90, which the
tests check in the machine code.

Exactness: the mma instruction of sm_80 and sm_89 saturates its 32-bit sum instead of wrapping.
|operands| ≤ 128 and k ≤ 16 384 keep every sum within 2²⁸, whatever the order of addition, so that
saturation never sets in; `check_depth` refuses anything deeper.
"""

from typing import Any, Final

import torch
import triton
import triton.language as tl

from ...consensus.ticket.constants import LANES as _LANES
from ...consensus.ticket.constants import MAX_DEPTH
from ...consensus.ticket.constants import RANK as _RANK
from ...consensus.ticket.constants import ROTATION as _ROTATION
from ...consensus.ticket.constants import TILE as _TILE
from .configurations import Configuration, Family, family

RANK: Final = tl.constexpr(_RANK)
TILE: Final = tl.constexpr(_TILE)
LANES: Final = tl.constexpr(_LANES)
ROTATION: Final = tl.constexpr(_ROTATION)


def check_depth(k: int) -> None:
    """Raise ValueError unless no sum over k products of int8 can leave int32 (see above)."""
    if k % _RANK or not 0 < k <= MAX_DEPTH:
        raise ValueError(f"k = {k} is not a multiple of {_RANK} up to {MAX_DEPTH}")


@triton.jit
def block_of(program, row_blocks, column_blocks, GROUP: tl.constexpr):
    """Return (row block, column block): GROUP row blocks at a time walk through the columns."""
    per_group = GROUP * column_blocks
    first = program // per_group * GROUP
    height = min(row_blocks - first, GROUP)
    within = program % per_group
    return first + within % height, within // height


@triton.jit
def load_slab(at, first, count, k, BLOCK: tl.constexpr, DEPTH: tl.constexpr):
    """Return pointers to BLOCK rows×DEPTH; rows past the end repeat earlier ones."""
    row = (first + tl.arange(0, BLOCK)) % count
    return at + row.to(tl.int64)[:, None] * k + tl.arange(0, DEPTH)[None, :]


@triton.jit
def add_product(sums, left, right):
    """Return sums + left·rightᵀ from pointers to both, int8 with the summed axis last."""
    return tl.dot(tl.load(left), tl.trans(tl.load(right)), sums, out_dtype=tl.int32)


@triton.jit
def xor_of_three(x, y, z):
    """Return x ^ y ^ z of uint32 tensors."""
    return x ^ y ^ z


@triton.jit
def xor_of_three_hopper(x, y, z):
    """The same as the one instruction that it is (PTX ISA, lop3; 0x96 is the table of XOR): in
    loops with wgmma, ptxas does not join two XORs by itself as it does elsewhere."""
    return tl.inline_asm_elementwise(
        "lop3.b32 $0, $1, $2, $3, 0x96;", "=r,r,r,r", [x, y, z], tl.uint32, is_pure=True, pack=1
    )


@triton.jit
def _folded(state, sums, ROWS: tl.constexpr, COLUMNS: tl.constexpr, XOR: tl.constexpr):
    """XOR the 8 accumulators of every lane into it: (ROWS/16, 8, COLUMNS/16, 4) uint32."""
    words = tl.reshape(
        sums.to(tl.uint32, bitcast=True), (ROWS // TILE, 2, 8, COLUMNS // TILE, 2, 4, 2)
    )
    words = tl.permute(words, (0, 2, 3, 5, 1, 4, 6))
    even, odd = tl.split(words)
    even_left, even_right = tl.split(even)
    odd_left, odd_right = tl.split(odd)
    quarters = (even_left, even_right, odd_left, odd_right)
    for index in tl.static_range(4):
        upper, lower = tl.split(quarters[index])
        state = XOR(state, upper, lower)
    return state


@triton.jit
def folded_product(
    a, b, k, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, XOR: tl.constexpr
):
    """Multiply ROWS×k by k×COLUMNS from pointers to their first columns; return sums, lanes."""
    sums = tl.zeros((ROWS, COLUMNS), tl.int32)
    state = tl.zeros((ROWS // TILE, 8, COLUMNS // TILE, 4), tl.uint32)
    for start in range(0, k, RANK):
        for part in tl.static_range(0, RANK, DEPTH):
            sums = add_product(sums, a + start + part, b + start + part)
        turned = (state << ROTATION) | (state >> (32 - ROTATION))
        state = _folded(turned, sums, ROWS, COLUMNS, XOR)
    return sums, state


@triton.jit
def store_lanes(lanes, state, row, column, m, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Write the transcripts of one block, whose first row and column are given."""
    tile_row = row // TILE + tl.arange(0, ROWS // TILE)[:, None, None, None]
    tile_column = column // TILE + tl.arange(0, COLUMNS // TILE)[None, None, :, None]
    lane = tl.arange(0, 8)[None, :, None, None] * 4 + tl.arange(0, 4)[None, None, None, :]
    tile = tile_row.to(tl.int64) * (n // TILE) + tile_column
    inside = (tile_row < m // TILE) & (tile_column < n // TILE) & (lane < LANES)
    tl.store(lanes + tile * LANES + lane, state.to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def store_sums(product, sums, row, column, m, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Write one block of a product (m×n), whose first row and column are given."""
    rows = (row + tl.arange(0, ROWS))[:, None]
    columns = (column + tl.arange(0, COLUMNS))[None, :]
    tl.store(product + rows.to(tl.int64) * n + columns, sums, mask=(rows < m) & (columns < n))


@triton.jit
def lanes_kernel(
    a,
    b,
    lanes,
    m,
    n,
    k,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
    XOR: tl.constexpr,
):
    """Transcripts of A'·B'; the product itself is dropped, as idle mining has no use for it."""
    row_block, column_block = block_of(
        tl.program_id(0), tl.cdiv(m, ROWS), tl.cdiv(n, COLUMNS), GROUP
    )
    row, column = row_block * ROWS, column_block * COLUMNS
    a_at = load_slab(a, row, m, k, ROWS, DEPTH)
    b_at = load_slab(b, column, n, k, COLUMNS, DEPTH)
    _, state = folded_product(a_at, b_at, k, ROWS, COLUMNS, DEPTH, XOR)
    store_lanes(lanes, state, row, column, m, n, ROWS, COLUMNS)


@triton.jit
def plain_kernel(
    a,
    b,
    product,
    m,
    n,
    k,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    GROUP: tl.constexpr,
):
    """A·B without tickets."""
    row_block, column_block = block_of(
        tl.program_id(0), tl.cdiv(m, ROWS), tl.cdiv(n, COLUMNS), GROUP
    )
    row, column = row_block * ROWS, column_block * COLUMNS
    a_at = load_slab(a, row, m, k, ROWS, DEPTH)
    b_at = load_slab(b, column, n, k, COLUMNS, DEPTH)
    sums = tl.zeros((ROWS, COLUMNS), tl.int32)
    for start in range(0, k, DEPTH):
        sums = add_product(sums, a_at + start, b_at + start)
    store_sums(product, sums, row, column, m, n, ROWS, COLUMNS)


def noised_lanes(
    a_noised: torch.Tensor, b_noised: torch.Tensor, how: Configuration
) -> torch.Tensor:
    """Return the transcripts (m/16, n/16, 32), int32, of A' (m×k) and B' transposed (n×k)."""
    (m, k), n = a_noised.shape, len(b_noised)
    check_depth(k)
    shape = (m // _TILE, n // _TILE, _LANES)
    lanes = torch.empty(shape, dtype=torch.int32, device=a_noised.device)
    lanes_kernel[blocks(m, n, how)](
        a_noised, b_noised, lanes, m, n, k, **folding(how, family(lanes.device))
    )
    return lanes


def plain_product(a: torch.Tensor, b_t: torch.Tensor, how: Configuration) -> torch.Tensor:
    """Return A·B (m×n, int32) from A (m×k) and B transposed (n×k), both int8."""
    (m, k), n = a.shape, len(b_t)
    check_depth(k)
    product = torch.empty((m, n), dtype=torch.int32, device=a.device)
    plain_kernel[blocks(m, n, how)](a, b_t, product, m, n, k, **launch(how))
    return product


def blocks(m: int, n: int, how: Configuration) -> tuple[int]:
    """Return the grid of a product."""
    return (-(-m // how.rows) * -(-n // how.columns),)


def launch(how: Configuration) -> dict[str, Any]:
    """Return a configuration as the keywords of a product kernel."""
    return {
        "ROWS": how.rows,
        "COLUMNS": how.columns,
        "DEPTH": how.depth,
        "GROUP": how.group,
        "num_warps": how.warps,
        "num_stages": how.stages,
    }


def folding(how: Configuration, of: Family) -> dict[str, Any]:
    """Return a configuration as the keywords of a kernel that folds."""
    return launch(how) | {"XOR": xor_of_three_hopper if of is Family.HOPPER else xor_of_three}
