"""The GPU multiplier: exact int8 products, and the same products with tickets drawn on the way.

The interface of `kernels.cpu`, on one device: operands go up, winners and (of jobs alone) products
come down. Everything in between stays on the device. All results equal `consensus.ticket` bit for
bit. The kernels also run on the CPU under Triton's interpreter, which is how tests compare them.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ...consensus.ticket.constants import MAX_DEPTH, RANK, TILE
from ...consensus.ticket.proof import Shape, Tag
from ...consensus.ticket.seeds import seed_a, seed_b
from ...consensus.ticket.target import target
from ...core.commitment import ZERO_OPERAND_ROOT
from ...core.hashing import Hash, u256
from ..cpu import MinedRows
from ..operands import check_operand
from ..tickets import Winner
from .configurations import Configuration
from .denoise import Factors, exact_product, factors
from .noise import add_noise, draw_left, draw_orders
from .product import noised_lanes, plain_product
from .tickets import draw_tickets, winning_tiles
from .tuning import tuner
from .weights import operands, uploaded

BLOCK_ELEMENTS: Final = 2**28
"""Elements of a product computed at a time: 1 GB of sums and 128 MB of transcripts."""
_COLUMN_MULTIPLE: Final = RANK


class GpuMultiplier:
    """Exact int8 products on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return A·B as int32 (m×n) from A (m×k) and B transposed (n×k), both int8.

        Raises ValueError when the operands do not fit each other or k exceeds 16 384.
        """
        (m, k), (n, other) = a.shape, b_t.shape
        if k != other or k > MAX_DEPTH:
            raise ValueError(f"cannot multiply {m}×{k} by {other}×{n} in int32")
        if 0 in (m, n, k):
            return np.zeros((m, n), np.int32)
        with on_device(self.device):
            left, right = _padded(a, self.device), _padded(b_t, self.device)
            how = tuner(self.device).choose(
                "plain", m, n, left.shape[1], lambda how: plain_product(left, right, how)
            )
            return plain_product(left, right, how).cpu().numpy()


class NoisedOperandB:
    """B with the noise of one header: made once per block template, shared by every A and nonce."""

    def __init__(
        self,
        device: torch.device,
        sigma: Hash,
        b_t: NDArray[np.int8] | None,
        root_b: Hash,
        n: int,
        k: int,
    ) -> None:
        """Noise B, given transposed (n×k), or the zero operand as None with the zero root.

        `sigma` is H("header", canonical header bytes). B itself stays on the device, found by its
        root when the next header comes. Raises ValueError when shape, range or root do not fit.
        """
        if b_t is None or b_t.shape != (n, k) or root_b == ZERO_OPERAND_ROOT:
            check_operand("B", b_t, (n, k), root_b)
        self.device, self.n, self.k = device, n, k
        self.is_zero = b_t is None
        self.seed = seed_b(sigma, root_b, n, k)
        with on_device(device):
            words = _words(self.seed, device)
            self.left = draw_left(words, 0, n)
            operand = None if b_t is None else operands(device).fetch(b_t, root_b)
            orders, self.inverse = draw_orders(words, k)
            self.noised = add_noise(operand, self.left, orders)


@dataclass(frozen=True)
class Launched:
    """What a pass over some rows leaves on the device; nothing has waited for it."""

    lanes: torch.Tensor
    """Transcripts, (row tiles, column tiles, 32) int32."""
    won: torch.Tensor
    """As `tickets.draw_tickets` returns it."""
    product: torch.Tensor | None
    """Exact rows of A·B, int32; None when an operand is zero and so the product is."""
    how: Configuration
    """How the product was cut up."""


class MiningPass:
    """One A (or the zero operand), job tag and nonce against one noised B.

    Rows of A may be mined in any order: each range of rows is independent, and keeps its global
    numbers.
    """

    def __init__(self, b: NoisedOperandB, m: int, root_a: Hash, tag: Tag, difficulty: int) -> None:
        """Derive A's seed; `root_a` commits to all m rows, `difficulty` is the header's."""
        self.shape = Shape(m, b.n, b.k)
        self.seed = seed_a(b.seed, root_a, m, tag.nonce, tag.job_id, tag.op)
        self.root_a = root_a
        self._b = b
        self._b_factors: Factors | None = None
        with on_device(b.device):
            self._seed_words = _words(self.seed, b.device)
            self._limit_words = _words(u256(target(difficulty, b.k)), b.device)
            self._orders, inverse = draw_orders(self._seed_words, b.k)
            if root_a != ZERO_OPERAND_ROOT and not b.is_zero:
                self._b_factors = factors(b.noised, inverse, b.left)

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> MinedRows:
        """Multiply rows [row0, row1) of A, given alone ((row1 − row0)×k), and draw their tickets.

        None stands for the zero operand. Bounds are multiples of 16. Raises ValueError when they
        are not, or when the rows do not fit.
        """
        if row0 % TILE or row1 % TILE or not 0 <= row0 < row1 <= self.shape.m:
            raise ValueError(f"[{row0}, {row1}) are not aligned rows of {self.shape.m}")
        check_operand("A", a_rows, (row1 - row0, self.shape.k), self.root_a)
        product: NDArray[np.int32] | None = None
        if self._b_factors is not None:
            product = np.empty((row1 - row0, self.shape.n), np.int32)
        found: list[Winner] = []
        step = max(TILE, BLOCK_ELEMENTS // self.shape.n // TILE * TILE)
        with on_device(self._b.device):
            for start in range(row0, row1, step):
                rows = slice(start - row0, min(start + step, row1) - row0)
                a = None if a_rows is None else uploaded(a_rows[rows], self._b.device)
                launched = self.launch(a, start, rows.stop - rows.start)
                if product is not None and launched.product is not None:
                    torch.from_numpy(product[rows]).copy_(launched.product)
                found += _winners(launched, start // TILE)
        tiles = (row1 - row0) // TILE * (self.shape.n // TILE)
        return MinedRows(product, found, tiles)

    def launch(self, a: torch.Tensor | None, first: int, count: int) -> Launched:
        """Mine `count` rows from the global number `first` on, given on the device (count×k, int8)
        or None for the zero operand, against every column. What `mine_rows` checks is not checked,
        and the device must be the current one (`on_device`).
        """
        b, n, k = self._b, self.shape.n, self.shape.k
        left = draw_left(self._seed_words, first, count)
        noised = add_noise(a, left, self._orders)
        product: torch.Tensor | None = None
        if a is None or self._b_factors is None:
            how = tuner(b.device).choose(
                "lanes", count, n, k, lambda how: noised_lanes(noised, b.noised, how)
            )
            lanes = noised_lanes(noised, b.noised, how)
        else:
            sides = factors(a, b.inverse, left), self._b_factors
            how = tuner(b.device).choose(
                "exact", count, n, k, lambda how: exact_product(noised, b.noised, *sides, how)
            )
            lanes, product = exact_product(noised, b.noised, *sides, how)
        won = draw_tickets(self._seed_words, self._limit_words, lanes, first // TILE)
        return Launched(lanes, won, product, how)


def _winners(launched: Launched, first_tile: int) -> list[Winner]:
    """Read the winners alone, tile row by tile row."""
    indices = winning_tiles(launched.won)
    if not len(indices):
        return []
    columns = launched.lanes.shape[1]
    chosen = launched.lanes.flatten(0, 1)[indices].cpu().numpy().astype("<i4", copy=False)
    found: list[Winner] = []
    for index, words in zip(indices.tolist(), chosen, strict=True):
        row, column = divmod(index, columns)
        found.append(Winner(first_tile + row, column, words.tobytes()))
    return found


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Make a CUDA device this thread's current one, on which kernels are launched."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _padded(array: NDArray[np.int8], device: torch.device) -> torch.Tensor:
    """Copy to the device with k padded by zeros to a multiple of 128."""
    missing = -array.shape[1] % _COLUMN_MULTIPLE
    return torch.nn.functional.pad(uploaded(array, device), (0, missing))


def _words(data: bytes, device: torch.device) -> torch.Tensor:
    """Return 32 bytes as 8 little-endian words."""
    return torch.from_numpy(np.frombuffer(data, "<i4").astype(np.int32)).to(device)
