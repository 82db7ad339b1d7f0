"""Which devices are used for a request, and the line that says why."""

import pytest
from pouw.core.errors import UserError
from pouw.miner import selection
from pouw.miner.devices import Device
from pouw.miner.selection import choose_devices
from pouw.tests.miner.interrupting import Interrupting
from pouw.tests.miner.test_devices import machine


class Gpu(Interrupting):
    """The CPU by a GPU's name."""

    def __init__(self, device: Device, name: str) -> None:
        super().__init__(device, lambda: None)
        self.name = name
        self.description = "NVIDIA H100, compute capability 9.0, 80 GiB"


@pytest.fixture
def gpus(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three GPUs, of which the second fails its self-test."""

    def opened(name: str) -> Device:
        if name == "cuda:1":
            raise UserError("device cuda:1: it computes a plain product differently")
        return device if name == "cpu" else Gpu(device, name)

    machine(monkeypatch, 3, (9, 0))
    monkeypatch.setattr(selection, "open_device", opened)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "usable_cores", lambda: 2)


@pytest.mark.usefixtures("two_cores")
def test_without_a_gpu_the_cpu_is_chosen_and_the_reason_told() -> None:
    refused: list[str] = []
    (one,) = choose_devices("auto", refused.append)
    assert one.device.name == "cpu"
    assert one.why.startswith(one.device.description)
    assert "1 of 2 cores, one is left to the node" in one.why
    assert len(refused) == 1
    assert refused[0].startswith("no GPU: torch ")


@pytest.mark.usefixtures("gpus")
def test_every_gpu_that_computes_rightly_is_chosen() -> None:
    refused: list[str] = []
    chosen = choose_devices("auto", refused.append)
    assert [one.device.name for one in chosen] == ["cuda:0", "cuda:2"]
    assert all(one.why.startswith("NVIDIA H100, compute capability 9.0") for one in chosen)
    assert refused == ["device cuda:1: it computes a plain product differently"]


@pytest.mark.usefixtures("gpus", "two_cores")
def test_all_takes_the_cpu_as_well() -> None:
    assert [one.device.name for one in choose_devices("all")] == ["cuda:0", "cuda:2", "cpu"]


@pytest.mark.usefixtures("gpus")
def test_named_devices_are_used_or_refused_but_never_replaced() -> None:
    assert [one.device.name for one in choose_devices("cuda:2, cuda")] == ["cuda:2", "cuda:0"]
    assert [one.device.name for one in choose_devices("cpu,cuda:0")] == ["cpu", "cuda:0"]
    with pytest.raises(UserError, match=r"^device cuda:1: "):
        choose_devices("cuda:0,cuda:1")


def test_several_cores_are_several_devices_and_one_is_left_free(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(number: int) -> list[Gpu]:
        return [Gpu(device, f"cpu:{index}") for index in range(number)]

    monkeypatch.setattr(selection, "open_cores", opened)
    monkeypatch.setattr(selection, "usable_cores", lambda: 4)
    assert [one.device.name for one in choose_devices("cpu:2")] == ["cpu:0", "cpu:1"]
    assert [one.device.name for one in choose_devices("cpu:1")] == ["cpu"]
    chosen = choose_devices("auto")
    assert [one.device.name for one in chosen] == ["cpu:0", "cpu:1", "cpu:2"]
    assert all("3 of 4 cores" in one.why for one in chosen)


@pytest.mark.parametrize("request_", ["", "gpu", "cuda:x", "cpu:0", "cpu:-1", "cuda:0,,cpu", "CPU"])
def test_requests_that_make_no_sense_are_refused(request_: str) -> None:
    with pytest.raises(UserError, match=r"^no device '.*choose auto, all, cpu"):
        choose_devices(request_)


@pytest.mark.parametrize("request_", ["cpu,cpu:2", "cuda,cuda:0", "cuda:1,cuda:1"])
def test_a_device_is_named_once(request_: str) -> None:
    with pytest.raises(UserError, match="twice"):
        choose_devices(request_)
