"""A device that works no faster than it may, so that a machine can be shared with other work."""

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket import Operand, Tag
from ..consensus.ticket.constants import TILE_AREA
from ..core.hashing import Hash
from ..vm.multiplier import Multiplier
from .devices import Device, NoisedB, RowMiner
from .rate import TokenBucket

if TYPE_CHECKING:
    from ..kernels.cpu import MinedRows


class Throttled:
    """Another device whose multiply-accumulates, mined or not, are paid for from a bucket.

    A call returns when its debt is paid, so whoever measures it sees the speed that is allowed and
    sizes batches and claims by that.
    """

    def __init__(self, device: Device, cap: TokenBucket, stop: threading.Event) -> None:
        """Share `cap` between devices; `stop` ends every wait."""
        self._device = device
        self._cap = cap
        self._stop = stop
        self.name = device.name
        self.description = device.description
        self.idle_columns = device.idle_columns

    @property
    def multiplier(self) -> Multiplier:
        """Plain products."""
        return self

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """See `Multiplier.matmul`."""
        product = self._device.multiplier.matmul(a, b_t)
        self.pay(product.size * a.shape[1])
        return product

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        """See `Device.noise_b`."""
        return _ThrottledB(self, self._device.noise_b(sigma, b, n, k), k)

    def reopen(self) -> None:
        """See `Device.reopen`."""
        self._device.reopen()

    def close(self) -> None:
        """See `Device.close`."""
        self._device.close()

    def pay(self, macs: int) -> None:
        """Spend what was computed, and wait until it is earned."""
        self._cap.spend(macs)
        self._stop.wait(self._cap.delay())


class _ThrottledB:
    def __init__(self, device: Throttled, inner: NoisedB, k: int) -> None:
        self._device, self._inner, self._k = device, inner, k

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        inner = self._inner.start(m, root_a, tag, difficulty)
        return _ThrottledRows(self._device, inner, self._k)


class _ThrottledRows:
    def __init__(self, device: Throttled, inner: RowMiner, k: int) -> None:
        self._device, self._inner, self._k = device, inner, k

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> "MinedRows":
        mined = self._inner.mine_rows(a_rows, row0, row1)
        self._device.pay(mined.tiles * TILE_AREA * self._k)
        return mined
