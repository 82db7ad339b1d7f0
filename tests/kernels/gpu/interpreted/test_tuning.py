"""Tuning picks what is fastest, uses nothing unchecked and survives any file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pouw.core.errors import UserError
from pouw.kernels.gpu import tuning
from pouw.kernels.gpu.configurations import SQUARE, TALL, Configuration, Family, candidates
from pouw.kernels.gpu.tuning import Tuner, cache_folder, file_name
from triton.runtime.errors import OutOfResources

CPU = torch.device("cpu")
SIZE = (4096, 4096, 4096)
CHOICES = candidates(Family.NVIDIA, SIZE[0])


class Machine:
    """A device on which each configuration takes the given time, or has no room."""

    def __init__(self, *times: float) -> None:
        self._times = dict(zip(CHOICES, times, strict=True))
        self.timed: list[Configuration] = []

    def run(self, how: Configuration) -> None:
        self.timed.append(how)
        if self._times[how] < 0:
            raise OutOfResources(2**18, 2**17, "shared memory")

    def timer(self, call: Callable[[], object]) -> float:
        call()
        return self._times[self.timed[-1]]


def tuner(machine: Machine, file: Path | None) -> Tuner:
    return Tuner(CPU, Family.NVIDIA, file, machine.timer)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Configuration]]:
    """Record what is compared with the reference, by the comparison itself."""
    seen: list[tuple[str, Configuration]] = []
    right = tuning.is_exact

    def recorded(kernel: str, how: Configuration, device: torch.device) -> bool:
        seen.append((kernel, how))
        return right(kernel, how, device)

    monkeypatch.setattr(tuning, "is_exact", recorded)
    return seen


def test_the_fastest_is_chosen_remembered_and_checked_again(
    tmp_path: Path, checks: list[tuple[str, Configuration]]
) -> None:
    file = tmp_path / "deep" / "tuning.json"
    machine = Machine(3.0, 1.0, 2.0)
    first = tuner(machine, file)
    assert first.choose("plain", *SIZE, machine.run) == CHOICES[1]
    assert first.choose("plain", 4000, 4096, 4096, machine.run) == CHOICES[1]
    assert machine.timed == list(CHOICES)
    assert checks == [("plain", how) for how in CHOICES]
    checks.clear()
    again = tuner(machine, file)
    again.check_remembered()
    assert again.choose("plain", *SIZE, machine.run) == CHOICES[1]
    assert machine.timed == list(CHOICES)
    assert checks == [("plain", CHOICES[1])]
    assert [path.name for path in file.parent.iterdir()] == ["tuning.json"]


def test_small_products_and_the_interpreter_are_never_timed(tmp_path: Path) -> None:
    machine = Machine(3.0, 1.0, 2.0)
    assert tuner(machine, None).choose("plain", 128, 128, 256, machine.run) == CHOICES[0]
    untimed = Tuner(CPU, Family.NVIDIA, tmp_path / "f", None)
    assert untimed.choose("plain", *SIZE, machine.run) == CHOICES[0]
    assert machine.timed == []
    assert not (tmp_path / "f").exists()


def test_what_has_no_room_is_passed_over() -> None:
    machine = Machine(-1, -1, 5.0)
    assert tuner(machine, None).choose("plain", *SIZE, machine.run) == CHOICES[2]
    nowhere = Machine(-1, -1, -1)
    with pytest.raises(OutOfResources):
        tuner(nowhere, None).choose("plain", *SIZE, nowhere.run)


def test_a_configuration_that_is_not_exact_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, file = Machine(3.0, 1.0, 2.0), tmp_path / "tuning.json"
    tuner(machine, file).choose("plain", *SIZE, machine.run)

    def wrong(kernel: str, how: Configuration, device: torch.device) -> bool:
        return how != CHOICES[1]

    monkeypatch.setattr(tuning, "is_exact", wrong)
    for use in (
        lambda: tuner(machine, file).check_remembered(),
        lambda: tuner(machine, file).choose("plain", *SIZE, machine.run),
        lambda: tuner(machine, None).choose("plain", *SIZE, machine.run),
    ):
        with pytest.raises(UserError, match=r"plain products in blocks .* use --device cpu$"):
            use()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        b" " * 2**17 + b"{}",
        b'{"plain 4096x4096x4096": [128, 64, 64, 8, 4',
        b'{"plain 4096x4096x4096": [128, 64, 64, 8, 4, 99]}',
        b'{"plain 4096x4096x4096": "TALL", "plain": [128, 64, 64, 8, 4, 3]}',
        b'{"plain 4096x4096x4096": [128.0, 64, 64, 8, 4, 3]}',
        b'{"plain 4096x4096x4096": [16, 64, 128, 1, 4, 4]}',
    ],
    ids=range(11),
)
def test_damaged_files_are_ignored(content: bytes, tmp_path: Path) -> None:
    file, machine = tmp_path / "tuning.json", Machine(3.0, 1.0, 2.0)
    file.write_bytes(content)
    assert tuner(machine, file).choose("plain", *SIZE, machine.run) == TALL
    assert machine.timed == list(CHOICES)
    assert json.loads(file.read_bytes())["plain 4096x4096x4096"] == [128, 64, 64, 8, 4, 3]


def test_a_folder_that_cannot_be_written_costs_only_memory(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    machine = Machine(1.0, 2.0, 3.0)
    one = tuner(machine, tmp_path / "taken" / "tuning.json")
    assert one.choose("plain", *SIZE, machine.run) == SQUARE
    assert one.choose("plain", *SIZE, machine.run) == SQUARE
    assert machine.timed == list(CHOICES)


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_ENTRIES", 3)
    file, machine = tmp_path / "tuning.json", Machine(1.0, 2.0, 3.0)
    one = tuner(machine, file)
    for power in range(8, 14):
        one.choose("plain", 4096, 4096, 1 << power, machine.run)
    assert list(json.loads(file.read_bytes())) == [
        f"plain 4096x4096x{1 << power}" for power in (11, 12, 13)
    ]


def test_files_are_named_by_device_and_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "pouw"
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_folder() == Path.home() / ".cache/pouw"
    assert file_name("NVIDIA A100 / PCIe 80").startswith("tuning-nvidia-a100-pcie-80-3.")
    assert "/" not in file_name("../" * 100)
