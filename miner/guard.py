"""A device under watch: whatever goes wrong on it is one kind of failure, wrong results included.

Drivers raise anything, and a failing GPU may just as well go on and multiply wrongly. So one row of
every result is recomputed at some columns, in plain integers: microseconds against a bond.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket import Operand, Tag
from ..core.hashing import Hash
from ..vm.multiplier import Multiplier
from .devices import Device, NoisedB, RowMiner

if TYPE_CHECKING:
    from ..kernels.cpu import MinedRows

CHECKED_COLUMNS: Final = 64


class DeviceLost(Exception):
    """A device failed, or multiplied wrongly: nothing it holds can be relied on."""


class Guarded:
    """Another device, all of whose failures are DeviceLost."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._random = np.random.default_rng()
        self.name = device.name
        self.description = device.description
        self.idle_columns = device.idle_columns

    @property
    def multiplier(self) -> Multiplier:
        """Plain products."""
        return self

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        """See `Multiplier.matmul`."""
        with losing(self.name):
            product = self._device.multiplier.matmul(a, b_t)
        self.check(a, b_t, product)
        return product

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        """See `Device.noise_b`."""
        with losing(self.name):
            return _GuardedB(self, self._device.noise_b(sigma, b, n, k), b)

    def reopen(self) -> None:
        """See `Device.reopen`; raises DeviceLost instead."""
        with losing(self.name):
            self._device.reopen()

    def close(self) -> None:
        """See `Device.close`."""
        self._device.close()

    def check(self, a: NDArray[np.int8], b_t: NDArray[np.int8], product: NDArray[np.int32]) -> None:
        """Raise DeviceLost if one row of a product, picked at random, is wrong where looked at."""
        (m, _), n = a.shape, len(b_t)
        if product.shape != (m, n):
            raise DeviceLost(f"device {self.name} returned {product.shape}, not {(m, n)}")
        if not product.size:
            return
        row = int(self._random.integers(m))
        first = int(self._random.integers(max(1, n - CHECKED_COLUMNS + 1)))
        columns = slice(first, first + CHECKED_COLUMNS)
        expected = b_t[columns].astype(np.int32) @ a[row].astype(np.int32)
        if not np.array_equal(product[row, columns], expected):
            raise DeviceLost(f"device {self.name} multiplied wrongly in row {row}")


class _GuardedB:
    def __init__(self, device: Guarded, inner: NoisedB, b: Operand | None) -> None:
        self._device, self._inner, self._b = device, inner, b

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        with losing(self._device.name):
            inner = self._inner.start(m, root_a, tag, difficulty)
        return _GuardedRows(self._device, inner, self._b)


class _GuardedRows:
    def __init__(self, device: Guarded, inner: RowMiner, b: Operand | None) -> None:
        self._device, self._inner, self._b = device, inner, b

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> "MinedRows":
        with losing(self._device.name):
            mined = self._inner.mine_rows(a_rows, row0, row1)
        if a_rows is not None and self._b is not None:
            if mined.product is None:
                raise DeviceLost(f"device {self._device.name} returned no product")
            self._device.check(a_rows, self._b.values, mined.product)
        return mined


@contextmanager
def losing(name: str) -> Generator[None]:
    """Turn whatever is raised into DeviceLost with one line about it."""
    try:
        yield
    except Exception as error:  # drivers raise anything
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        prefix = "" if why.startswith(f"device {name}") else f"device {name}: "
        raise DeviceLost(prefix + why) from error
