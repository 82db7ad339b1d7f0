"""Failures and wrong results of a device are one kind of error."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand, Tag
from pouw.core.errors import UserError
from pouw.miner.devices import Device
from pouw.miner.guard import DeviceLost, Guarded
from pouw.tests.miner.interrupting import Interrupting
from pouw.vm.multiplier import Multiplier

SIGMA = bytes(32)


Alter: TypeAlias = Callable[[NDArray[np.int32]], NDArray[np.int32]]


class Altering(Interrupting):
    """Multiplies as usual, and then changes the product."""

    def __init__(self, device: Device, alter: Alter) -> None:
        super().__init__(device, lambda: None)
        self._inner = device
        self._alter = alter

    @property
    def multiplier(self) -> Multiplier:
        return self

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        return self._alter(self._inner.multiplier.matmul(a, b_t))


def operands(m: int, n: int, k: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    random = np.random.default_rng(m)
    return random.integers(-64, 64, (m, k), np.int8), random.integers(-64, 64, (n, k), np.int8)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (40, 33, 700), (5, 200, 130), (0, 3, 4)])
def test_right_products_pass(device: Device, m: int, n: int, k: int) -> None:
    a, b_t = operands(m, n, k)
    expected = a.astype(np.int64) @ b_t.astype(np.int64).T
    assert np.array_equal(Guarded(device).multiplier.matmul(a, b_t), expected)


def test_a_product_wrong_in_every_row_is_seen_whichever_is_looked_at(device: Device) -> None:
    guarded = Guarded(Altering(device, lambda product: product + 1))
    for _ in range(20):
        with pytest.raises(DeviceLost, match=r"^device cpu multiplied wrongly in row "):
            guarded.matmul(*operands(30, 150, 300))


def test_a_product_of_another_shape_is_seen(device: Device) -> None:
    with pytest.raises(DeviceLost, match="returned"):
        Guarded(Altering(device, np.transpose)).matmul(*operands(3, 4, 300))


def test_mined_rows_are_looked_at_too(device: Device) -> None:
    a, b = (Operand.commit(one) for one in operands(32, 16, 512))
    other = Operand(np.roll(b.values, 1, axis=1), b.tree)
    rows = Guarded(device).noise_b(SIGMA, b, 16, 512).start(32, a.tree.root, Tag(), 1)
    mined = rows.mine_rows(a.values, 0, 32)
    assert mined.product is not None
    with pytest.raises(DeviceLost, match="wrongly"):
        Guarded(device).check(a.values, other.values, mined.product)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA error\n  and a page more"), "device cpu: CUDA error"),
        (OSError(), "device cpu: OSError"),
        (UserError("device cpu: it is gone"), "device cpu: it is gone"),
    ],
)
def test_whatever_is_raised_is_one_line(device: Device, error: Exception, told: str) -> None:
    def fail() -> None:
        raise error

    a, b = (Operand.commit(one) for one in operands(16, 16, 512))
    noised = Guarded(Interrupting(device, fail)).noise_b(SIGMA, b, 16, 512)
    with pytest.raises(DeviceLost) as caught:
        noised.start(16, a.tree.root, Tag(), 1).mine_rows(a.values, 0, 16)
    assert str(caught.value) == told
