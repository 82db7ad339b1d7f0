"""The ways in which a product may be cut up, by kind of GPU: they change speed alone, never a bit.

A product's sums live in registers: rows·columns/threads of them each, beside an eighth as many
lanes. The tests compile every entry for every kind of GPU that may choose it, and compare each with
the reference bit for bit.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

import torch


class Family(Enum):
    """GPUs that take the same configurations."""

    HOPPER = "hopper"
    """sm_90: warp groups multiply out of shared memory, which has room for deep stages."""
    NVIDIA = "nvidia"
    """Every other NVIDIA GPU from sm_80 on: warps multiply out of registers."""
    AMD = "amd"
    """CDNA3 (gfx942): wavefronts of 64, 64 KB of shared memory."""


@dataclass(frozen=True)
class Configuration:
    """How a product is cut up."""

    rows: int
    columns: int
    depth: int
    """Columns of k loaded at a time; divides 128."""
    group: int
    """Blocks of rows that share their columns of B in the L2 cache."""
    warps: int
    stages: int
    """Loads in flight: slabs of `depth` held in shared memory."""


FLAT: Final = Configuration(16, 64, 128, 1, 4, 4)
"""For a batch of one tile row: bound by reading B. Warps share tiles here, whose halves meet in
shared memory before they are folded."""
FLAT_WIDE: Final = Configuration(16, 128, 128, 1, 4, 3)
LOW: Final = Configuration(64, 64, 64, 4, 2, 4)
"""For few rows; whole tiles to a warp, which 128 columns would not give."""
LOW_HOPPER: Final = Configuration(64, 128, 128, 4, 4, 3)
SQUARE: Final = Configuration(128, 128, 64, 8, 8, 3)
TALL: Final = Configuration(128, 64, 64, 8, 4, 3)
"""Half a square, of which three fit a multiprocessor of sm_80."""
SQUARE_HOPPER: Final = Configuration(128, 128, 128, 8, 8, 3)
"""Two of these blocks fit one multiprocessor of sm_90, so that one folds while one multiplies."""
WIDE_HOPPER: Final = Configuration(128, 256, 128, 8, 8, 3)
"""One block a multiprocessor, but a quarter fewer bytes loaded for each product."""
FLAT_AMD: Final = Configuration(16, 64, 128, 1, 4, 2)
LOW_AMD: Final = Configuration(64, 128, 64, 4, 4, 2)
SQUARE_AMD: Final = Configuration(128, 128, 64, 8, 8, 2)

_HOPPER: Final = 9  # major compute capability
_BY_ROWS: Final = {
    Family.HOPPER: (
        (16, (FLAT, FLAT_WIDE)),
        (64, (LOW_HOPPER,)),
        (None, (SQUARE_HOPPER, WIDE_HOPPER, LOW_HOPPER)),
    ),
    Family.NVIDIA: ((16, (FLAT, FLAT_WIDE)), (64, (LOW,)), (None, (SQUARE, TALL, LOW))),
    Family.AMD: ((16, (FLAT_AMD,)), (64, (LOW_AMD,)), (None, (SQUARE_AMD, LOW_AMD))),
}
"""(at most so many rows, what to choose from): the first is used where nothing can be timed."""


def legal(kind: Family) -> tuple[Configuration, ...]:
    """Return all that a family may choose."""
    return tuple(dict.fromkeys(how for _, choices in _BY_ROWS[kind] for how in choices))


CONFIGURATIONS: Final = tuple(dict.fromkeys(how for kind in Family for how in legal(kind)))


def candidates(kind: Family, rows: int) -> tuple[Configuration, ...]:
    """Return what fits a product of `rows` rows, the most likely first."""
    return next(choices for most, choices in _BY_ROWS[kind] if most is None or rows <= most)


def family(device: torch.device) -> Family:
    """Return the kind of a GPU; the interpreter counts as the plainest."""
    if device.type != "cuda":
        return Family.NVIDIA
    if torch.version.hip is not None:
        return Family.AMD
    major, _ = torch.cuda.get_device_capability(device)
    return Family.HOPPER if major == _HOPPER else Family.NVIDIA
