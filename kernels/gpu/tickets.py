# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
# (Kernels are not Python: their values have no static types, and launches take keywords of Triton.)
"""Drawing the tickets of many tiles on the GPU: 'T' ‖ lanes ‖ row ‖ column hashed with A's seed.

Each thread hashes one tile's 137 bytes (three blocks) and compares the digest with the target on
the spot. Winners enter a list in any order, so that the host reads a count, mostly zero, and
nothing of the tiles that lost. Bit-equal to `consensus.ticket.target`.
"""

from typing import Final

import torch
import triton
import triton.language as tl

from ...consensus.ticket.constants import LANES
from .blake3 import CHUNK_END, CHUNK_START, KEYED_HASH, ROOT, compressed, load_words

_TILES: Final = 64
_FIRST: Final = tl.constexpr(KEYED_HASH.value | CHUNK_START.value)
_MIDDLE: Final = tl.constexpr(KEYED_HASH.value)
_LAST: Final = tl.constexpr(KEYED_HASH.value | CHUNK_END.value | ROOT.value)


@triton.jit
def _lane(at, INDEX: tl.constexpr, inside):
    return tl.load(at + INDEX, mask=inside, other=0).to(tl.uint32, bitcast=True)


@triton.jit
def _shifted(at, FIRST: tl.constexpr, inside):
    """Return message words FIRST … FIRST + 15, which the label shifts by a byte: word i ≥ 1 is
    made of the last byte of lane i − 1 and the first three of lane i."""
    words = ()
    for index in tl.static_range(16):
        low = _lane(at, FIRST + index - 1, inside) >> 24
        words += (low | (_lane(at, FIRST + index, inside) << 8),)
    return words


@triton.jit(do_not_specialize=["first_row", "columns", "tiles"])
def winning_kernel(seed, limit, lanes, won, first_row, columns, tiles, BLOCK: tl.constexpr):
    """Append every tile whose ticket wins to `won`, whose first word counts them."""
    tile = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = tile < tiles
    at = lanes + tile.to(tl.int64) * 32
    row = (first_row + tile // columns).to(tl.uint32)
    column = (tile % columns).to(tl.uint32)
    zero = row ^ row
    first = ((_lane(at, 0, inside) << 8) | 0x54,)  # "T"
    for index in tl.static_range(1, 16):
        low = _lane(at, index - 1, inside) >> 24
        first += (low | (_lane(at, index, inside) << 8),)
    last = (
        (_lane(at, 31, inside) >> 24) | (row << 8),
        (row >> 24) | (column << 8),
        column >> 24,
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
    state = compressed(load_words(seed, BLOCK), first, 0, 64, _FIRST)
    state = compressed(state[:8], _shifted(at, 16, inside), 0, 64, _MIDDLE)
    digest = compressed(state[:8], last, 0, 9, _LAST)
    bound = load_words(limit, BLOCK)
    win = digest[0] <= bound[0]
    for index in tl.static_range(1, 8):  # towards the most significant word
        below = digest[index] < bound[index]
        win = below | ((digest[index] == bound[index]) & win)
    win = win & inside
    place = tl.atomic_add(won + tl.zeros((BLOCK,), tl.int32), 1, mask=win, sem="relaxed")
    tl.store(won + 1 + place, tile, mask=win)


def draw_tickets(
    seed: torch.Tensor, limit: torch.Tensor, lanes: torch.Tensor, first_row: int
) -> torch.Tensor:
    """Return how many tiles win, followed by their flat indices in any order (int32, 1 + tiles
    words of which the rest is undefined). Nothing waits for the device.

    `seed` and `limit` (the target) are 8 int32 words, least significant first; `lanes` is
    (row tiles, column tiles, 32) int32 and its first row of tiles has the number `first_row`.
    """
    row_tiles, columns, count = lanes.shape
    if count != LANES:
        raise ValueError(f"transcripts have {LANES} lanes, not {count}")
    tiles = row_tiles * columns
    won = torch.empty(1 + tiles, dtype=torch.int32, device=lanes.device)
    won[:1].zero_()
    grid = (triton.cdiv(tiles, _TILES),)
    winning_kernel[grid](
        seed, limit, lanes, won, first_row, columns, tiles, BLOCK=_TILES, num_warps=2
    )
    return won


def winning_tiles(won: torch.Tensor) -> torch.Tensor:
    """Wait for `draw_tickets` and return the flat indices of winning tiles, ascending, int64."""
    count = int(won[0])
    return won[1 : 1 + count].sort().values.to(torch.int64)
