"""Which devices a miner uses, and why: one line for each that was looked at."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..core.errors import UserError
from .core_process import open_cores
from .devices import Device, count_gpus, open_cpu, open_device
from .processor import usable_cores

_CORES: Final = re.compile(r"cpu:([1-9][0-9]{0,2})")
_CUDA: Final = re.compile(r"cuda(:[0-9]{1,3})?")
_KINDS: Final = "auto, all, cpu, cpu:4 (four cores), cuda:0, or several like cuda:0,cuda:1"
_DEFAULT: Final = "auto"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A device to mine with."""

    device: Device
    why: str
    """One line for people."""


def _unheard(_line: str) -> None:
    """Nobody wants to know."""


def choose_devices(
    request: str = _DEFAULT, refused: Callable[[str], None] = _unheard
) -> list[Chosen]:
    """Return at least one device; `refused` hears a line for each that "auto" leaves out.

    "auto": every CUDA GPU that computes as consensus does, else the CPU. "all": those and the CPU.
    "cpu": one core; "cpu:4": four, each in a process of its own. "cuda:0", or several separated by
    commas: these. Raises UserError when the request makes no sense, or what it names is unusable.
    """
    match request.strip():
        case "auto":
            return _gpus(refused) or _spare_cores("no usable GPU")
        case "all":
            return _gpus(refused) + _spare_cores("all was asked for")
        case named:
            return _named(named.split(","))


def _named(names: list[str]) -> list[Chosen]:
    names = ["cuda:0" if name.strip() == "cuda" else name.strip() for name in names]
    for name in names:
        if name != "cpu" and not _CORES.fullmatch(name) and not _CUDA.fullmatch(name):
            raise UserError(f"no device '{name[:40]}': choose {_KINDS}")
    whole = ["cpu" if name.startswith("cpu") else name for name in names]
    if len(set(whole)) < len(whole):
        raise UserError(f"'{','.join(names)[:80]}' names a device twice: choose {_KINDS}")
    chosen: list[Chosen] = []
    for name in names:
        cores = _CORES.fullmatch(name)
        devices = [open_device(name)] if cores is None else _cores(int(cores[1]))
        chosen += [Chosen(each, f"{each.description}: asked for") for each in devices]
    return chosen


def _gpus(refused: Callable[[str], None]) -> list[Chosen]:
    """Return every GPU that passes the self-test."""
    count, why = count_gpus()
    if why is not None:
        refused(f"no GPU: {why}")
    chosen: list[Chosen] = []
    for index in range(count):
        try:
            device = open_device(f"cuda:{index}")
        except UserError as error:
            refused(str(error))
        else:
            why = f"{device.description}: passes the self-test, faster than any CPU"
            chosen.append(Chosen(device, why))
    return chosen


def _spare_cores(reason: str) -> list[Chosen]:
    """Return the CPU's cores but one."""
    cores = usable_cores()
    count = max(1, cores - 1)
    used = f"{count} of {cores} cores" if cores > 1 else "its only core"
    left = ", one is left to the node and the system" if cores > 1 else ""
    return [Chosen(each, f"{each.description}: {reason}; {used}{left}") for each in _cores(count)]


def _cores(count: int) -> list[Device]:
    """Return CPU cores; a single one needs no process of its own."""
    return [open_cpu()] if count == 1 else list[Device](open_cores(count))
