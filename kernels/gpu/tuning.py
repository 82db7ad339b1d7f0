"""Which configuration is fastest here: timed once for each kernel and size, then remembered.

Tuning cannot change a byte: it only picks from `configurations`, and a configuration is compared
with the reference on this device before it is timed or, when it comes from the file of an earlier
run, before it is used. The file only holds what to look up in that list; a file that is damaged,
too long or names anything else is ignored.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Final

import torch
import triton
from triton.runtime.errors import OutOfResources, PTXASError

from .checking import KERNELS, DeviceDiffers, is_exact
from .configurations import CONFIGURATIONS, Configuration, Family, candidates, family
from .timing import median_milliseconds

TIMED_FROM: Final = 2**28
"""Multiply-accumulates below which a launch costs more than any configuration can save."""
MAX_ENTRIES: Final = 512
_MAX_BYTES: Final = 2**16
_REPEATS: Final = 7
_LARGEST: Final = 2**13
"""Sides beyond this count as this."""

Timer = Callable[[Callable[[], object]], float]
"""Returns how long a call takes."""


class Tuner:
    """Chooses for one device."""

    def __init__(
        self, device: torch.device, kind: Family, file: Path | None, timer: Timer | None
    ) -> None:
        """Without a `timer` the first candidate is taken; without a `file` nothing is kept."""
        self._device, self._family = device, kind
        self._file, self._timer = file, timer
        self._chosen = {} if file is None else _read(file)
        self._verified: set[tuple[str, Configuration]] = set()
        self._lock = RLock()

    def choose(
        self, kernel: str, m: int, n: int, k: int, run: Callable[[Configuration], object]
    ) -> Configuration:
        """Return a configuration for a product m×k by k×n, compared with the reference here.

        `run` launches the product itself and is timed where no choice is known. Raises
        DeviceDiffers when the configuration is not exact on this device.
        """
        choices = candidates(self._family, m)
        with self._lock:
            if self._timer is None or m * n * k < TIMED_FROM:
                return self._checked(kernel, choices[0])
            key = _key(kernel, m, n, k)
            known = self._chosen.get(key)
            if known in choices:
                return self._checked(kernel, known)
            best = self._fastest(kernel, choices, run, self._timer)
            self._chosen[key] = best
            if self._file is not None:
                _add(self._file, key, best)
            return best

    def check_remembered(self) -> None:
        """Compare every remembered choice with the reference; raises as `choose` does."""
        with self._lock:
            for key, how in self._chosen.items():
                self._checked(key.partition(" ")[0], how)

    def _fastest(
        self,
        kernel: str,
        choices: tuple[Configuration, ...],
        run: Callable[[Configuration], object],
        timer: Timer,
    ) -> Configuration:
        """Time every choice that this device has room for; raise the last reason if none runs."""
        times: dict[Configuration, float] = {}
        refused: Exception | None = None
        for how in choices:
            try:
                self._checked(kernel, how)
                times[how] = timer(lambda how=how: run(how))
            except (OutOfResources, PTXASError) as error:
                refused = error
        if refused is not None and not times:
            raise refused
        return min(times, key=lambda how: times[how])

    def _checked(self, kernel: str, how: Configuration) -> Configuration:
        if (kernel, how) not in self._verified:
            if not is_exact(kernel, how, self._device):
                what = f"{kernel} products in blocks of {how.rows}×{how.columns}"
                raise DeviceDiffers(self._device, what)
            self._verified.add((kernel, how))
        return how


@cache
def tuner(device: torch.device) -> Tuner:
    """Return the one tuner of a device."""
    if device.type != "cuda":
        return Tuner(device, family(device), None, None)
    name = torch.cuda.get_device_name(device)
    capability = "".join(str(part) for part in torch.cuda.get_device_capability(device))
    file = cache_folder() / file_name(f"{name} {capability}")
    return Tuner(device, family(device), file, lambda run: median_milliseconds(run, _REPEATS))


def cache_folder() -> Path:
    """Return the folder of remembered timings by the XDG base directory specification."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache"
    return base / "pouw"


def file_name(device: str) -> str:
    """Return the file of a device, whose name comes from its driver."""
    plain = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")[:64]
    return f"tuning-{plain}-{triton.__version__}.json"


def _key(kernel: str, m: int, n: int, k: int) -> str:
    """Name a size: sides up to the next power of two share a choice."""
    sides = (min(1 << (side - 1).bit_length(), _LARGEST) for side in (m, n, k))
    return f"{kernel} {'x'.join(str(side) for side in sides)}"


_KEY: Final = re.compile(rf"({'|'.join(KERNELS)}) [0-9]{{1,5}}x[0-9]{{1,5}}x[0-9]{{1,5}}")


def _read(file: Path) -> dict[str, Configuration]:
    """Return the file's choices that this version knows; none when it is missing or damaged."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
        entries = json.loads(data) if len(data) <= _MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(entries, dict) or len(entries) > MAX_ENTRIES:
        return {}
    known = {repr(_numbers(how)): how for how in CONFIGURATIONS}
    return {
        key: known[repr(numbers)]
        for key, numbers in entries.items()
        if _KEY.fullmatch(key) and repr(numbers) in known
    }


def _add(file: Path, key: str, how: Configuration) -> None:
    """Write a choice beside those that other processes wrote; where that cannot be, go without."""
    chosen = _read(file)
    chosen.pop(key, None)
    kept = dict(list(chosen.items())[-(MAX_ENTRIES - 1) :])
    kept[key] = how
    text = json.dumps({name: _numbers(each) for name, each in kept.items()}, indent=0)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as opened:
            opened.write(text)
        Path(opened.name).replace(file)
    except OSError:
        return


def _numbers(how: Configuration) -> list[int]:
    return [how.rows, how.columns, how.depth, how.group, how.warps, how.stages]
