"""Mining while a job's products are multiplied: every row once, under the newest header.

The seeds bind the whole operands, so any range of rows may be mined under any header; a product
whose rows spanned several templates is put together from exact rows all the same. There is no
nonce to grind: a row that was multiplied is never multiplied again.
"""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket import Operand, Shape, Tag
from ..consensus.ticket.constants import TILE
from ..core.hashing import Hash
from ..vm.operands import crop_result, is_mineable, pad_operand
from ..vm.products import Product
from .devices import Device, RowMiner
from .idle import BLOCK_PART
from .meter import Meter
from .rate import SpeedGauge
from .solution import Solutions, Work
from .templates import Template

BATCH_SECONDS: Final = 0.25
"""What a batch of rows should take; a new template is taken up between batches."""
MIN_BATCH_ROWS: Final = 16

Checkpoint: TypeAlias = Callable[[], Template | None]
"""Called between batches; returns the template to mine under, or None to multiply plainly.
May raise to end the execution."""


class MiningProducts:
    """The ProductHandler of one job: exact products, mined where that pays.

    Products at least `posted_min_k` deep are kept in `posted`, by index, as the settlement wants
    them: int32 little-endian, row-major.
    """

    def __init__(
        self,
        device: Device,
        solutions: Solutions,
        meter: Meter,
        gauge: SpeedGauge,
        job: Hash,
        weights: dict[int, Operand],
        posted_min_k: int,
        checkpoint: Checkpoint,
    ) -> None:
        """`weights` remembers committed right operands by product index, for the next job."""
        self._device = device
        self._solutions = solutions
        self._meter = meter
        self._gauge = gauge
        self._job = job
        self._weights = weights
        self._posted_min_k = posted_min_k
        self._checkpoint = checkpoint
        self.posted: dict[int, bytes] = {}

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        """Return A·B (m, n), bit-equal to a plain multiplication."""
        if is_mineable(product):
            result = self._mine(product, a, b_t)
        else:
            self._checkpoint()
            result = self._device.multiplier.matmul(a, b_t)
            self._meter.add(useful=product.macs)
        if product.k >= self._posted_min_k:
            self.posted[product.index] = result.astype("<i4", copy=False).tobytes()
        return result

    def _mine(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        left = Operand.commit(pad_operand(a))
        right = self._weights.get(product.index)
        if right is None:
            right = self._weights[product.index] = Operand.commit(pad_operand(b_t))
        (m, k), n = left.values.shape, len(right.values)
        work = Work(Shape(m, n, k), Tag(job_id=self._job, op=product.index), left, right)
        result = np.empty((m, n), np.int32)
        passes = _Passes(self._device, work)
        row = 0
        while row < m:
            template = self._checkpoint()
            stop = min(m, row + self._batch_rows(template, work.shape))
            rows = left.values[row:stop]
            if template is None:
                result[row:stop] = self._device.multiplier.matmul(rows, right.values)
            else:
                result[row:stop] = self._mine_rows(template, passes, rows, row)
            self._meter.add(useful=product.macs * (stop - row) // m)
            row = stop
        return np.ascontiguousarray(crop_result(result, product))

    def _mine_rows(
        self, template: Template, passes: "_Passes", rows: NDArray[np.int8], first: int
    ) -> NDArray[np.int32]:
        """Return rows · B exactly, for rows of A from number `first` on; submit a winner."""
        started = time.perf_counter()
        mined = passes.under(template).mine_rows(rows, first, first + len(rows))
        shape = passes.work.shape
        self._gauge.record(len(rows) * shape.n * shape.k, time.perf_counter() - started)
        for winner in mined.winners[:1]:
            tile = (winner.tile_row, winner.tile_col)
            self._solutions.submit(template, passes.work, tile, winner.lanes)
        if mined.product is None:
            raise ValueError("a product of given operands was not returned")
        return mined.product

    def _batch_rows(self, template: Template | None, shape: Shape) -> int:
        budget = int(self._gauge.speed * BATCH_SECONDS)
        if template is not None:
            budget = min(budget, template.difficulty // BLOCK_PART)
        return max(MIN_BATCH_ROWS, budget // (shape.n * shape.k) // TILE * TILE)


class _Passes:
    """The pass over one product under the template at hand; B is noised once for each."""

    def __init__(self, device: Device, work: Work) -> None:
        self._device = device
        self.work = work
        self._sigma: Hash | None = None
        self._miner: RowMiner | None = None

    def under(self, template: Template) -> RowMiner:
        """Return the pass under this template's header."""
        if self._miner is None or self._sigma != template.sigma:
            shape, (root_a, _) = self.work.shape, self.work.roots
            noised = self._device.noise_b(template.sigma, self.work.b, shape.n, shape.k)
            self._miner = noised.start(shape.m, root_a, self.work.tag, template.difficulty)
            self._sigma = template.sigma
        return self._miner
