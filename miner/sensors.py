"""Temperature, power and utilisation of devices, as far as this machine tells them.

What is not told is None, never a guess. CPUs are read from Linux's /sys and /proc, NVIDIA GPUs
through NVML where `nvidia-ml-py` is installed; reading costs microseconds and starts no process.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CACHE_SECONDS: Final = 2.0
"""A device is asked at most this often."""

_CPU_DRIVERS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")
"""Names of hwmon drivers whose sensors sit in a CPU."""
_CPU_ZONES: Final = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal")
"""Types of thermal zones that measure one (Documentation/driver-api/thermal in Linux)."""
_MILLI: Final = 1000
_PLAUSIBLE_CELSIUS: Final = (-50.0, 200.0)
"""Drivers answer with absurd numbers while a sensor is asleep."""
_IDLE_FIELDS: Final = (3, 4)
"""idle and iowait among the fields of /proc/stat's first line."""
_SUMMED_FIELDS: Final = 8
"""Those after them, guests' time, are contained in user time already."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One device at one moment; None is unknown."""

    celsius: float | None = None
    watts: float | None = None
    utilisation: float | None = None
    """Part of the time that the whole device was busy, 0 to 1, whoever used it."""


UNKNOWN: Final = Reading()
Reader = Callable[[], Reading]


class Sensors:
    """Readings by a device's name ("cpu", "cuda:0"). Never raises; threads may share it."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Look below `root` for sys and proc; `clock` is in seconds."""
        self._lock = threading.Lock()
        self._root = root
        self._clock = clock
        self._readers: dict[str, Reader] = {}
        self._held: dict[str, tuple[float, Reading]] = {}

    def read(self, device: str) -> Reading:
        """Return a reading not older than CACHE_SECONDS."""
        family, _, index = device.partition(":")
        name = family if family == "cpu" else device  # the CPUs of a machine share their sensors
        with self._lock:
            return self._read(name, family, index)

    def _read(self, name: str, family: str, index: str) -> Reading:
        now = self._clock()
        held = self._held.get(name)
        if held is not None and now - held[0] < CACHE_SECONDS:
            return held[1]
        reader = self._readers.get(name)
        if reader is None:
            reader = self._readers[name] = self._reader(family, index)
        reading = reader()
        self._held[name] = (now, reading)
        return reading

    def _reader(self, family: str, index: str) -> Reader:
        if family == "cpu":
            return CpuSensor(self._root).read
        if family == "cuda":
            return NvidiaSensor(int(index) if index.isdecimal() else 0).read
        return lambda: UNKNOWN


class CpuSensor:
    """The hottest sensor of this machine's CPUs, and how busy all of them were since last asked."""

    def __init__(self, root: Path) -> None:
        self._stat = root / "proc/stat"
        self._sensors = _hwmon(root / "sys/class/hwmon") or _zones(root / "sys/class/thermal")
        self._busy, self._total = self._ticks() or (0, 0)

    def read(self) -> Reading:
        """Return temperature and utilisation; power is not told to ordinary users."""
        readings = [_celsius(path) for path in self._sensors]
        known = [value for value in readings if value is not None]
        return Reading(max(known, default=None), None, self._utilisation())

    def _utilisation(self) -> float | None:
        ticks = self._ticks()
        if ticks is None:
            return None
        busy, total = ticks[0] - self._busy, ticks[1] - self._total
        if total <= 0:
            return None
        self._busy, self._total = ticks
        return min(1.0, max(0.0, busy / total))

    def _ticks(self) -> tuple[int, int] | None:
        """Return (busy, all) clock ticks since boot, of all CPUs (proc_stat(5))."""
        try:
            with self._stat.open(encoding="ascii") as file:
                fields = [int(text) for text in file.readline().split()[1 : _SUMMED_FIELDS + 1]]
        except (OSError, ValueError):
            return None
        total = sum(fields)
        return total - sum(fields[i] for i in _IDLE_FIELDS if i < len(fields)), total


class NvidiaSensor:
    """One NVIDIA GPU, numbered as torch numbers it."""

    def __init__(self, index: int) -> None:
        self._nvml: Any = None
        self._handle: Any = None
        with suppress(Exception):  # no library, no driver, no such GPU: unknown
            import pynvml  # noqa: PLC0415  # pyright: ignore[reportMissingImports] - optional

            self._nvml = pynvml
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(_uuid(index))

    def read(self) -> Reading:
        """Return what the driver tells; each value may be missing on its own."""
        nvml, handle = self._nvml, self._handle
        if handle is None:
            return UNKNOWN
        celsius = _asked(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        milliwatts = _asked(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        percent = _asked(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        return Reading(
            celsius,
            None if milliwatts is None else milliwatts / _MILLI,
            None if percent is None else percent / 100,
        )


def _uuid(index: int) -> str:
    """Return NVML's name of a GPU: its own numbers ignore CUDA_VISIBLE_DEVICES, torch's do not."""
    import torch  # noqa: PLC0415 - loaded already where there is such a device

    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"


def _asked(question: Callable[[], Any]) -> float | None:
    try:
        return float(question())
    except Exception:  # NVML raises a class per error code; the value is unknown whatever it is
        return None


def _hwmon(folder: Path) -> list[Path]:
    return _inputs(folder, "hwmon*", "name", _CPU_DRIVERS, "temp*_input")


def _zones(folder: Path) -> list[Path]:
    return _inputs(folder, "thermal_zone*", "type", _CPU_ZONES, "temp")


def _inputs(
    folder: Path, pattern: str, label: str, wanted: tuple[str, ...], inputs: str
) -> list[Path]:
    """Return the inputs of those subfolders whose label file names a wanted driver."""
    found: list[Path] = []
    with suppress(OSError):
        for each in sorted(folder.glob(pattern)):
            with suppress(OSError, ValueError):
                if (each / label).read_text(encoding="ascii").strip() in wanted:
                    found += sorted(each.glob(inputs))
    return found


def _celsius(path: Path) -> float | None:
    try:
        value = int(path.read_text(encoding="ascii")) / _MILLI
    except (OSError, ValueError, OverflowError):
        return None
    low, high = _PLAUSIBLE_CELSIUS
    return value if low < value < high else None
