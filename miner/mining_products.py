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

from ..consensus.freivalds import is_posted
from ..consensus.ticket import Operand, Shape, Tag
from ..consensus.ticket.constants import TILE
from ..core.hashing import Hash
from ..genesis import Params
from ..vm.multiplier import matmul_each
from ..vm.operands import crop_result, is_mineable, pad_operand
from ..vm.products import Product
from .devices import Device, RowMiner
from .idle import BLOCK_PART
from .meter import Meter
from .noised import NoisedOperands
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

    Products that a settlement posts are kept in `posted`, by index, as it wants them: int32
    little-endian, row-major.
    """

    def __init__(
        self,
        device: Device,
        noised: NoisedOperands,
        solutions: Solutions,
        meter: Meter,
        gauge: SpeedGauge,
        job: Hash,
        weights: dict[int, Operand],
        params: Params,
        checkpoint: Checkpoint,
    ) -> None:
        """Multiply on `device`, which `meter` and `gauge` belong to.

        `weights` remembers committed right operands by product index, `noised` what became of them
        under the newest header: both for the next job.
        """
        self._device = device
        self._noised = noised
        self._solutions = solutions
        self._meter = meter
        self._gauge = gauge
        self._job = job
        self._weights = weights
        self._params = params
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
        if is_posted(product, self._params):
            self.posted[product.index] = result.astype("<i4", copy=False).tobytes()
        return result

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """Multiply many small matrices plainly, see `ProductHandler.batch`."""
        self._checkpoint()
        result = matmul_each(self._device.multiplier, a, b_t)
        self._meter.add(useful=result.size * a.shape[-1])
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
        passes = _Passes(self._noised, work, right)
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
        self._meter.add(tickets=mined.tiles)
        self._gauge.record(len(rows) * shape.n * shape.k, time.perf_counter() - started)
        for winner in mined.winners[:1]:
            tile = (winner.tile_row, winner.tile_col)
            self._solutions.submit(template, passes.work, tile, winner.lanes, self._meter)
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

    def __init__(self, noised: NoisedOperands, work: Work, right: Operand) -> None:
        self._noised = noised
        self._right = right
        self.work = work
        self._sigma: Hash | None = None
        self._miner: RowMiner | None = None

    def under(self, template: Template) -> RowMiner:
        """Return the pass under this template's header."""
        if self._miner is None or self._sigma != template.sigma:
            root_a, _ = self.work.roots
            b = self._noised.under(template.sigma, self._right)
            self._miner = b.start(self.work.shape.m, root_a, self.work.tag, template.difficulty)
            self._sigma = template.sigma
        return self._miner
