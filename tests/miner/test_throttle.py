"""A throttled device: the same bytes, and a bill for every multiply-accumulate."""

import threading

import numpy as np
import pytest
from pouw.consensus.ticket import Operand, Tag
from pouw.core.commitment import ZERO_OPERAND_ROOT
from pouw.miner.devices import Device, open_device
from pouw.miner.rate import TokenBucket
from pouw.miner.throttle import Throttled

SIGMA = bytes(32)
EVERY = 1


class Clock:
    """Stands still unless it is moved; waiting moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Waiter(threading.Event):
    """A stop signal whose waits pass at once, on the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now += timeout or 0.0
        return False


@pytest.fixture(scope="module")
def cpu() -> Device:
    return open_device("cpu")


def test_time_passes_as_the_rate_demands(cpu: Device) -> None:
    clock = Clock()
    throttled = Throttled(cpu, TokenBucket(1_000_000, clock), Waiter(clock))
    a, b_t = np.ones((16, 512), np.int8), np.ones((32, 512), np.int8)
    assert (throttled.multiplier.matmul(a, b_t) == 512).all()
    spent = 16 * 32 * 512
    assert clock.now == pytest.approx(spent / 1e6)
    noised = throttled.noise_b(SIGMA, None, 32, 512)
    noised.start(16, ZERO_OPERAND_ROOT, Tag(), EVERY).mine_rows(None, 0, 16)
    assert clock.now == pytest.approx(2 * spent / 1e6)


def test_results_are_those_of_the_device(cpu: Device) -> None:
    random = np.random.default_rng(3)
    a = Operand.commit(random.integers(-64, 64, (32, 512), np.int8))
    b = Operand.commit(random.integers(-64, 64, (48, 512), np.int8))
    throttled = Throttled(cpu, TokenBucket(10**15), threading.Event())
    mined = [
        device.noise_b(SIGMA, b, 48, 512)
        .start(32, a.tree.root, Tag(), EVERY)
        .mine_rows(a.values, 0, 32)
        for device in (cpu, throttled)
    ]
    assert mined[0].winners == mined[1].winners and mined[0].tiles == mined[1].tiles
    assert mined[0].product is not None and mined[1].product is not None
    assert np.array_equal(mined[0].product, mined[1].product)


def test_the_stop_signal_ends_a_wait(cpu: Device) -> None:
    stop = threading.Event()
    stop.set()
    throttled = Throttled(cpu, TokenBucket(1), stop)
    throttled.multiplier.matmul(np.ones((16, 64), np.int8), np.ones((16, 64), np.int8))
