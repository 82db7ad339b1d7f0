"""Comparing a device with the consensus reference before it may mine, every byte of it.

A wrong ticket costs a miner its block and a wrong product its bond. So each way in which products
are cut up runs once on the device: plain products, transcripts, tickets against an easy and a
middling target, and denoised products of ordinary and of extreme operands. What an
earlier run found fastest here is compared as well, and what this run finds before it is used.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ...consensus.ticket import Operand, Shape, Tag
from ...consensus.ticket.constants import MAX_DEPTH, OPERAND_MAX, OPERAND_MIN, TILE, TILE_AREA
from ...consensus.ticket.noise import noise
from ...consensus.ticket.seeds import seed_a, seed_b
from ...consensus.ticket.target import meets_target, target, ticket_digest
from ...consensus.ticket.transcript import lanes_bytes, lanes_of_tiles
from ...core.commitment import ZERO_OPERAND_ROOT
from ...core.hashing import Hash, digest
from ..tickets import Winner
from .checking import DeviceDiffers
from .mining import GpuMultiplier, MiningPass, NoisedOperandB, on_device
from .tuning import tuner

SHAPES: Final = (
    Shape(16, 80, 256),
    Shape(48, 144, 256),
    Shape(144, 144, 256),
)
"""One for each list of candidates, none a whole number of blocks."""
DEEPEST: Final = Shape(16, 32, MAX_DEPTH)
_SIGMA: Final[Hash] = digest("header", b"self-test")
_TAG: Final = Tag(job_id=digest("job", b"self-test"), op=3)


def first_difference(device: torch.device) -> str | None:
    """Return what a device computes wrongly, in words, or None when every byte is right."""
    try:
        with on_device(device):
            tuner(device).check_remembered()
        return _first_difference(device)
    except DeviceDiffers as error:
        return error.what


def _first_difference(device: torch.device) -> str | None:
    multiplier = GpuMultiplier(device)
    for number, shape in enumerate(SHAPES):
        a, b = _drawn(shape.m, shape.k, 2 * number), _drawn(shape.n, shape.k, 2 * number + 1)
        if not np.array_equal(multiplier.matmul(a.values, b.values), _product(a, b)):
            return f"a plain product {_text(shape)}"
        easy, middling = _targets(shape)
        passes = ((a, b, easy), (None, None, middling))
        for left, right, difficulty in passes:
            wrong = _mining_difference(device, shape, left, right, difficulty)
            if wrong is not None:
                return wrong
    for value in (OPERAND_MIN, OPERAND_MAX):
        a, b = (_constant(rows, DEEPEST.k, value) for rows in (DEEPEST.m, DEEPEST.n))
        wrong = _mining_difference(device, DEEPEST, a, b, _targets(DEEPEST)[0])
        if wrong is not None:
            return wrong
    return None


def _targets(shape: Shape) -> tuple[int, int]:
    """Return two difficulties: all tickets win, half of them do."""
    return 1, 2 * TILE_AREA * shape.k


def _mining_difference(
    device: torch.device,
    shape: Shape,
    a: Operand | None,
    b: Operand | None,
    difficulty: int,
) -> str | None:
    """Return what a pass over a product computes wrongly, or None."""
    root_a, root_b = (ZERO_OPERAND_ROOT if x is None else x.tree.root for x in (a, b))
    a_values, b_values = (None if x is None else x.values for x in (a, b))
    noised = NoisedOperandB(device, _SIGMA, b_values, root_b, shape.n, shape.k)
    one = MiningPass(noised, shape.m, root_a, _TAG, difficulty)
    mined = one.mine_rows(a_values, 0, shape.m)
    limit = target(difficulty, shape.k)
    tickets = _tickets(shape, a, b)
    if mined.winners != [won for won, ticket in tickets if meets_target(ticket, limit)]:
        return f"the tickets of a product {_text(shape)}"
    expected = None if a is None or b is None else _product(a, b)
    if not _same(mined.product, expected):
        return f"a denoised product {_text(shape)}"
    return None


def _tickets(shape: Shape, a: Operand | None, b: Operand | None) -> list[tuple[Winner, Hash]]:
    """Return every tile with its ticket by the reference, row by row."""
    root_a, root_b = (ZERO_OPERAND_ROOT if x is None else x.tree.root for x in (a, b))
    b_seed = seed_b(_SIGMA, root_b, shape.n, shape.k)
    a_seed = seed_a(b_seed, root_a, shape.m, _TAG.nonce, _TAG.job_id, _TAG.op)
    a_noised = noise(a_seed, range(shape.m), shape.k)
    b_noised = noise(b_seed, range(shape.n), shape.k)
    a_noised += 0 if a is None else a.values
    b_noised += 0 if b is None else b.values
    lanes = lanes_of_tiles(a_noised, b_noised)
    tickets: list[tuple[Winner, Hash]] = []
    for row in range(shape.m // TILE):
        for column in range(shape.n // TILE):
            words = lanes_bytes(lanes[row, column])
            ticket = ticket_digest(a_seed, words, row, column)
            tickets.append((Winner(row, column, words), ticket))
    return tickets


def _product(a: Operand, b: Operand) -> NDArray[np.int64]:
    return a.values.astype(np.int64) @ b.values.astype(np.int64).T


def _same(product: NDArray[np.int32] | None, expected: NDArray[np.int64] | None) -> bool:
    if product is None or expected is None:
        return product is expected
    return np.array_equal(product, expected)


def _drawn(rows: int, k: int, seed: int) -> Operand:
    generator = np.random.default_rng(seed)
    return Operand.commit(
        generator.integers(OPERAND_MIN, OPERAND_MAX, (rows, k), np.int8, endpoint=True)
    )


def _constant(rows: int, k: int, value: int) -> Operand:
    return Operand.commit(np.full((rows, k), value, np.int8))


def _text(shape: Shape) -> str:
    return f"({shape.m}×{shape.k} by {shape.k}×{shape.n})"
