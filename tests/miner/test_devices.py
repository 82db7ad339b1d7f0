"""Devices by name, and clear refusals."""

import numpy as np
import pytest
import torch
from pouw.core.errors import UserError
from pouw.miner.devices import Device, open_device, open_gpu


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


def machine(monkeypatch: pytest.MonkeyPatch, count: int, capability: tuple[int, int]) -> None:
    """Let torch report CUDA GPUs that this machine may not have."""

    def reported(_: int) -> tuple[int, int]:
        return capability

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_capability", reported)


@pytest.mark.parametrize(
    ("count", "capability", "name", "reason"),
    [
        (0, (9, 0), "cuda:0", "torch finds no usable CUDA GPU on this machine"),
        (1, (9, 0), "cuda:1", "this machine has 1 CUDA GPU, numbered from 0"),
        (2, (9, 0), "cuda:2", "this machine has 2 CUDA GPUs, numbered from 0"),
        (1, (7, 5), "cuda", r"its compute capability 7\.5 is below 8\.0"),
    ],
)
def test_unusable_gpus_are_named(
    count: int,
    capability: tuple[int, int],
    name: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch, count, capability)
    with pytest.raises(UserError, match=rf"^device {name}: {reason}; use --device cpu$"):
        open_device(name)


def test_a_gpu_whose_kernels_cannot_run_is_refused_in_one_line() -> None:
    """Outside its interpreter Triton launches nothing on a CPU: the self-test finds out."""
    with pytest.raises(
        UserError, match=r"^device cuda:0: its kernels do not run here \("
    ) as caught:
        open_gpu("cuda:0", torch.device("cpu"))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("use --device cpu")
