"""A device that computes as usual, and in whose job batches something happens first."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand, Tag
from pouw.core.hashing import Hash
from pouw.kernels.cpu import MinedRows
from pouw.miner.devices import Device, NoisedB, RowMiner
from pouw.vm.multiplier import Multiplier


class Interrupting:
    """A device in whose every job batch something happens first."""

    def __init__(self, device: Device, happens: Callable[[], None]) -> None:
        self._device = device
        self._happens = happens
        self.name = device.name
        self.description = device.description
        self.idle_columns = device.idle_columns
        self.batches = 0
        self.reopened = 0
        self.closed = False

    @property
    def multiplier(self) -> Multiplier:
        return self._device.multiplier

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        return _Noised(self, self._device.noise_b(sigma, b, n, k), b is not None)

    def batch(self) -> None:
        self.batches += 1
        self._happens()

    def reopen(self) -> None:
        self.reopened += 1
        self._device.reopen()

    def close(self) -> None:
        self.closed = True


class _Noised:
    def __init__(self, device: Interrupting, inner: NoisedB, job: bool) -> None:
        self._device, self._inner, self._job = device, inner, job

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        rows = self._inner.start(m, root_a, tag, difficulty)
        return _Rows(self._device, rows) if self._job else rows


class _Rows:
    def __init__(self, device: Interrupting, inner: RowMiner) -> None:
        self._device, self._inner = device, inner

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> MinedRows:
        self._device.batch()
        return self._inner.mine_rows(a_rows, row0, row1)
