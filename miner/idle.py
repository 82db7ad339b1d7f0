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

DEPTH: Final = 1024
"""k: deep enough that drawing noise and tickets costs little beside multiplying."""
BATCH_SECONDS: Final = 0.075
"""What a batch should take: short against any block, long against the calls around it."""
BLOCK_PART: Final = 4
"""A batch is at most this part of a block's expected work: winners beyond the first are wasted."""

_MAX_SIDE_TILES: Final = 128
_SHALLOW: Final = 256
_NONCE_BITS: Final = 64


def idle_shape(budget: int) -> Shape:
    """Return a nearly square shape of at most `budget` MACs, the smallest one if none is.

    n is a power of two, so that B's noise is kept while m follows the measured speed.
    """
    k = DEPTH if budget >= TILE_AREA * DEPTH else _SHALLOW
    tiles = max(1, budget // (TILE_AREA * k))
    across = min(_MAX_SIDE_TILES, 1 << (isqrt(tiles).bit_length() - 1))
    down = min(_MAX_SIDE_TILES, tiles // across)
    return Shape(TILE * down, TILE * across, k)


class IdleMiner:
    """Draws tickets from noise alone, at no more than a given rate."""

    def __init__(
        self, device: Device, solutions: Solutions, meter: Meter, rate: int | None
    ) -> None:
        """Mine on `device`; `rate` caps multiply-accumulates per second."""
        self._device = device
        self._solutions = solutions
        self._meter = meter
        self._rate = rate
        self._bucket = None if rate is None else TokenBucket(rate)
        self._gauge = SpeedGauge()
        # Random, so that several miners with one key and one template do not repeat each other.
        self._nonce = secrets.randbits(_NONCE_BITS)
        self._noised: tuple[Hash, int, int, NoisedB] | None = None

    def delay(self) -> float:
        """Return the seconds to wait before the next batch."""
        return 0.0 if self._bucket is None else self._bucket.delay()

    def mine(self, template: Template) -> None:
        """Mine one batch and submit its winner, if there is one."""
        shape = idle_shape(self._budget(template.difficulty))
        tag = Tag(nonce=u64(self._nonce))
        self._nonce = (self._nonce + 1) % (1 << _NONCE_BITS)
        started = time.perf_counter()
        noised = self._noise(template.sigma, shape)
        miner = noised.start(shape.m, ZERO_OPERAND_ROOT, tag, template.difficulty)
        mined = miner.mine_rows(None, 0, shape.m)
        macs = mined.tiles * TILE_AREA * shape.k
        self._gauge.record(macs, time.perf_counter() - started)
        self._meter.add(idle=macs)
        if self._bucket is not None:
            self._bucket.spend(macs)
        for winner in mined.winners[:1]:
            tile = (winner.tile_row, winner.tile_col)
            self._solutions.submit(template, Work(shape, tag, None, None), tile, winner.lanes)

    def _budget(self, difficulty: int) -> int:
        budget = min(int(self._gauge.speed * BATCH_SECONDS), difficulty // BLOCK_PART)
        return budget if self._rate is None else min(budget, int(self._rate * BATCH_SECONDS))

    def _noise(self, sigma: Hash, shape: Shape) -> NoisedB:
        held = self._noised
        if held is not None and held[:3] == (sigma, shape.n, shape.k):
            return held[3]
        noised = self._device.noise_b(sigma, None, shape.n, shape.k)
        self._noised = (sigma, shape.n, shape.k, noised)
        return noised
