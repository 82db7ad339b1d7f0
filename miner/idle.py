"""Mining when there is no job: both operands zero, one nonce after the other.

Idle tickets serve only the chain: nothing is denoised and nothing delivered.
"""

import secrets
import time
from math import isqrt
from typing import Final

from ..consensus.ticket import Shape, Tag
from ..consensus.ticket.constants import TILE, TILE_AREA
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.hashing import Hash, u64
from .devices import Device, NoisedB
from .meter import Meter
from .rate import SpeedGauge, TokenBucket
from .solution import Solutions, Work
from .templates import Template

BATCH_SECONDS: Final = 0.075
"""What a batch should take: short against any block, long against the calls around it."""
BLOCK_PART: Final = 4
"""A batch is at most this part of a block's expected work: winners beyond the first are wasted."""

_DEPTHS: Final = ((1 << 40, 4096), (1 << 18, 1024))
"""k by the least budget for it. Deeper products draw less noise and fewer tickets for the same
chance to win; only a GPU's batch is large enough to be deeper than 1024."""
_SHALLOW: Final = 256
_MAX_DOWN: Final = 1 << 16
"""Tiles of m that protocol §2 allows."""
_NONCE_BITS: Final = 64


def idle_shape(budget: int, columns: int) -> Shape:
    """Return a shape of at most `budget` MACs, the smallest one if none is, n at most `columns`.

    It is nearly square until n is at its limit. n is a power of two, so that B's noise is kept
    while m follows the measured speed.
    """
    k = next((depth for least, depth in _DEPTHS if budget >= least), _SHALLOW)
    tiles = max(1, budget // (TILE_AREA * k))
    across = min(columns // TILE, 1 << (isqrt(tiles).bit_length() - 1))
    down = min(_MAX_DOWN, tiles // across)
    return Shape(TILE * down, TILE * across, k)


class IdleMiner:
    """Draws tickets from noise alone, at no more than a given rate."""

    def __init__(
        self, device: Device, solutions: Solutions, meter: Meter, cap: TokenBucket | None
    ) -> None:
        """Mine on `device`, counted by its `meter`; `cap` holds the MACs that may be spent."""
        self._device = device
        self._solutions = solutions
        self._meter = meter
        self._cap = cap
        self.gauge = SpeedGauge()
        # Random, so that several miners with one key and one template do not repeat each other.
        self._nonce = secrets.randbits(_NONCE_BITS)
        self._noised: tuple[Hash, int, int, NoisedB] | None = None

    def delay(self) -> float:
        """Return the seconds to wait before the next batch."""
        return 0.0 if self._cap is None else self._cap.delay()

    def mine(self, template: Template) -> None:
        """Mine one batch and submit its winner, if there is one."""
        shape = idle_shape(self._budget(template.difficulty), self._device.idle_columns)
        tag = Tag(nonce=u64(self._nonce))
        self._nonce = (self._nonce + 1) % (1 << _NONCE_BITS)
        started = time.perf_counter()
        noised = self._noise(template.sigma, shape)
        miner = noised.start(shape.m, ZERO_OPERAND_ROOT, tag, template.difficulty)
        mined = miner.mine_rows(None, 0, shape.m)
        macs = mined.tiles * TILE_AREA * shape.k
        self.gauge.record(macs, time.perf_counter() - started)
        self._meter.add(idle=macs, tickets=mined.tiles)
        if self._cap is not None:
            self._cap.spend(macs)
        for winner in mined.winners[:1]:
            tile = (winner.tile_row, winner.tile_col)
            work = Work(shape, tag, None, None)
            self._solutions.submit(template, work, tile, winner.lanes, self._meter)

    def forget(self) -> None:
        """Let go of what the device held, since it started afresh."""
        self._noised = None

    def _budget(self, difficulty: int) -> int:
        budget = min(int(self.gauge.speed * BATCH_SECONDS), difficulty // BLOCK_PART)
        return budget if self._cap is None else min(budget, int(self._cap.rate * BATCH_SECONDS))

    def _noise(self, sigma: Hash, shape: Shape) -> NoisedB:
        held = self._noised
        if held is not None and held[:3] == (sigma, shape.n, shape.k):
            return held[3]
        noised = self._device.noise_b(sigma, None, shape.n, shape.k)
        self._noised = (sigma, shape.n, shape.k, noised)
        return noised
