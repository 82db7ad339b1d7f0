"""Devices by name, and clear refusals."""

import numpy as np
import pytest
from pouw.core.errors import UserError
from pouw.miner.devices import Device, open_device


def test_the_cpu_multiplies_exactly(device: Device) -> None:
    random = np.random.default_rng(3)
    a = random.integers(-64, 64, (5, 700), np.int8)
    b_t = random.integers(-64, 64, (9, 700), np.int8)
    assert device.name == "cpu"
    expected = a.astype(np.int64) @ b_t.astype(np.int64).T
    assert np.array_equal(device.multiplier.matmul(a, b_t), expected)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_is_refused_with_the_reason_and_the_way_out(name: str) -> None:
    with pytest.raises(UserError, match=rf"^device {name}: .*use --device cpu$"):
        open_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "cpu:0", "CUDA:0"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="choose cpu or cuda:0"):
        open_device(name)
