"""What multiplies: the CPU through `kernels`, or the reason why a device cannot be used.

torch is loaded only when a device is opened: it is optional, and takes seconds.
"""

import re
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket import Operand, Tag
from ..core.commitment import ZERO_OPERAND_ROOT
from ..core.errors import UserError
from ..core.hashing import Hash
from ..vm.multiplier import Multiplier

if TYPE_CHECKING:
    from ..kernels.cpu import MinedRows, NoisedOperandB

_CUDA: Final = re.compile(r"cuda(:[0-9]{1,3})?")
_INSTALL: Final = "install it with: pip install 'pouw[miner]'"


class RowMiner(Protocol):
    """One A, tag and nonce against one noised B."""

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> "MinedRows":
        """Multiply rows [row0, row1) of A and draw their tickets; None is the zero operand."""
        ...


class NoisedB(Protocol):
    """A right operand under the noise of one header."""

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        """Begin with an A of m rows, committed to by `root_a`."""
        ...


class Device(Protocol):
    """Multiplies plainly, and multiplies while mining; both exact."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def multiplier(self) -> Multiplier:
        """Plain products."""
        ...

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        """Noise a right operand (n×k, transposed), None for zero, for the header hashed to σ."""
        ...


def open_device(name: str) -> Device:
    """Return a device by name ("cpu", "cuda:0"). Raises UserError saying why it is unusable."""
    if name == "cpu":
        return _open_cpu()
    if _CUDA.fullmatch(name):
        raise UserError(_why_no_cuda(name))
    raise UserError(f"no device '{name}': choose cpu or cuda:0")


class _CpuNoisedB:
    def __init__(self, operand: "NoisedOperandB") -> None:
        self._operand = operand

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        from ..kernels.cpu import MiningPass  # noqa: PLC0415 - needs torch

        return MiningPass(self._operand, m, root_a, tag, difficulty)


class _Cpu:
    def __init__(self, multiplier: Multiplier) -> None:
        self.name = "cpu"
        self.multiplier = multiplier

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        from ..kernels.cpu import NoisedOperandB  # noqa: PLC0415 - needs torch

        if b is None:
            return _CpuNoisedB(NoisedOperandB(sigma, None, ZERO_OPERAND_ROOT, n, k))
        return _CpuNoisedB(NoisedOperandB(sigma, b.values, b.tree.root, n, k))


def _open_cpu() -> Device:
    try:
        from ..kernels.cpu import CpuMultiplier  # noqa: PLC0415 - needs torch
        from ..kernels.int8 import exact_product  # noqa: PLC0415
    except ImportError:
        raise UserError(f"mining needs torch: {_INSTALL}") from None
    exact_product()  # tests this machine's arithmetic now, not in the middle of a job
    return _Cpu(CpuMultiplier())


def use_one_thread() -> None:
    """Keep torch to one thread in this process: one miner per core is fastest."""
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError:
        raise UserError(f"mining needs torch: {_INSTALL}") from None
    torch.set_num_threads(1)


def _why_no_cuda(name: str) -> str:
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError:
        return f"device {name} needs torch: {_INSTALL}"
    if not torch.backends.cuda.is_built():
        return f"device {name}: torch {torch.__version__} was built without CUDA; use --device cpu"
    if not torch.cuda.is_available():
        return f"device {name}: torch finds no usable CUDA GPU on this machine; use --device cpu"
    return f"device {name}: this version has no GPU kernels yet; use --device cpu"
