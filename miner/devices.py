"""What multiplies: the CPU or a GPU through `kernels`, or the reason why it cannot be used.

torch is loaded only when a device is opened: it is optional, and takes seconds. A GPU is compared
with the consensus reference first, and refused if a single byte differs. Which devices a miner
uses is decided in `selection`.
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
from .processor import describe_processor

if TYPE_CHECKING:
    import torch

    from ..kernels.cpu import MinedRows, NoisedOperandB
    from ..kernels.gpu.mining import GpuMultiplier
    from ..kernels.gpu.mining import NoisedOperandB as GpuNoisedOperandB

CPU_IDLE_COLUMNS: Final = 2048
"""Two blocks of the CPU's kernels: more would only leave its cache."""
GPU_IDLE_COLUMNS: Final = 16384
"""Transcripts and sums are computed 2²⁸ elements at a time: a square of this side."""

_CUDA: Final = re.compile(r"cuda(:[0-9]{1,3})?")
_OLDEST: Final = (8, 0)
"""Compute capability from which on Triton multiplies int8 on tensor cores (A100)."""
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
    """Multiplies plainly, and multiplies while mining; both exact. One thread uses it."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def description(self) -> str:
        """Model and abilities, for people."""
        ...

    @property
    def idle_columns(self) -> int:
        """Largest n of an idle product, a power of two: what memory or caches allow."""
        ...

    @property
    def multiplier(self) -> Multiplier:
        """Plain products."""
        ...

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        """Noise a right operand (n×k, transposed), None for zero, for the header hashed to σ."""
        ...

    def reopen(self) -> None:
        """Start afresh after a failure. Raises UserError saying why it is still unusable."""
        ...

    def close(self) -> None:
        """Let go of what it holds; it is not used any more."""
        ...


def open_device(name: str) -> Device:
    """Return a device by name ("cpu", "cuda:0"). Raises UserError saying why it is unusable."""
    if name == "cpu":
        return open_cpu()
    if _CUDA.fullmatch(name):
        return _open_cuda(name)
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
        self.description = describe_processor()
        self.idle_columns = CPU_IDLE_COLUMNS
        self.multiplier = multiplier

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        from ..kernels.cpu import NoisedOperandB  # noqa: PLC0415 - needs torch

        if b is None:
            return _CpuNoisedB(NoisedOperandB(sigma, None, ZERO_OPERAND_ROOT, n, k))
        return _CpuNoisedB(NoisedOperandB(sigma, b.values, b.tree.root, n, k))

    def reopen(self) -> None:
        """Nothing is held that could have broken."""

    def close(self) -> None:
        """Nothing is held."""


def open_cpu() -> Device:
    """Return the CPU, on the core of whichever thread calls it. Raises UserError without torch."""
    try:
        from ..kernels.int8 import exact_product  # noqa: PLC0415 - needs torch
        from ..kernels.multiplier import CpuMultiplier  # noqa: PLC0415
        from ..kernels.ways import best_way  # noqa: PLC0415 - needs llvmlite
    except ImportError:
        raise UserError(f"mining needs torch and llvmlite: {_INSTALL}") from None
    exact_product()  # both test this machine's arithmetic now, not in the middle of a job
    best_way()
    return _Cpu(CpuMultiplier())


class _GpuNoisedB:
    def __init__(self, operand: "GpuNoisedOperandB") -> None:
        self._operand = operand

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        from ..kernels.gpu.mining import MiningPass  # noqa: PLC0415 - needs triton

        return MiningPass(self._operand, m, root_a, tag, difficulty)


class _Gpu:
    def __init__(self, name: str, multiplier: "GpuMultiplier") -> None:
        self.name = name
        self.description = describe_gpu(multiplier.device)
        self.idle_columns = GPU_IDLE_COLUMNS
        self.multiplier = multiplier

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        from ..kernels.gpu.mining import NoisedOperandB  # noqa: PLC0415 - needs triton

        device = self.multiplier.device
        if b is None:
            return _GpuNoisedB(NoisedOperandB(device, sigma, None, ZERO_OPERAND_ROOT, n, k))
        return _GpuNoisedB(NoisedOperandB(device, sigma, b.values, b.tree.root, n, k))

    def reopen(self) -> None:
        import torch  # noqa: PLC0415 - optional

        if self.multiplier.device.type == "cuda":
            torch.cuda.empty_cache()
        _require_right(self.name, self.multiplier.device)

    def close(self) -> None:
        """Its memory is freed with the operands."""


def _open_cuda(name: str) -> Device:
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError:
        raise UserError(f"device {name} needs torch: {_INSTALL}") from None
    reason = _why_no_cuda(_index(name))
    if reason is not None:
        raise UserError(f"device {name}: {reason}; use --device cpu")
    return open_gpu(name, torch.device("cuda", _index(name)))


def open_gpu(name: str, device: "torch.device") -> Device:
    """Return a device of torch that computes every byte of the self-test as consensus does.

    Raises UserError naming what it computes wrongly, or why kernels do not run on it.
    """
    try:
        from ..kernels.gpu.mining import GpuMultiplier  # noqa: PLC0415 - needs triton
    except ImportError:
        raise UserError(f"device {name} needs triton: {_INSTALL}") from None
    _require_right(name, device)
    return _Gpu(name, GpuMultiplier(device))


def _require_right(name: str, device: "torch.device") -> None:
    """Raise UserError unless a device of torch passes the self-test."""
    from ..kernels.gpu.selftest import first_difference  # noqa: PLC0415 - needs triton

    try:
        wrong = first_difference(device)
    except Exception as error:  # compilers and drivers raise anything; the reason is for a person
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"device {name}: its kernels do not run here ({first_line}); use --device cpu"
        ) from error
    if wrong is not None:
        raise UserError(
            f"device {name}: it computes {wrong} differently from consensus; use --device cpu"
        )


def describe_gpu(device: "torch.device") -> str:
    """Return model, compute capability and memory of a CUDA GPU."""
    import torch  # noqa: PLC0415 - optional

    if device.type != "cuda":
        return f"{device.type} under Triton's interpreter"
    facts = torch.cuda.get_device_properties(device)
    memory = facts.total_memory / 2**30
    return f"{facts.name}, compute capability {facts.major}.{facts.minor}, {memory:.0f} GiB"


def count_gpus() -> tuple[int, str | None]:
    """Return how many CUDA GPUs torch sees, and the reason where there is none."""
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError:
        return 0, f"torch is not installed; {_INSTALL}"
    reason = _why_no_cuda_at_all()
    return (0, reason) if reason is not None else (torch.cuda.device_count(), None)


def _index(name: str) -> int:
    return int(name.partition(":")[2] or 0)


def use_one_thread() -> None:
    """Keep torch to the calling thread: a second one costs several times more than it brings.

    Threads started later have to call it again: OpenMP counts threads for each thread anew.
    """
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError:
        raise UserError(f"mining needs torch: {_INSTALL}") from None
    torch.set_num_threads(1)


def _why_no_cuda(index: int) -> str | None:
    """Return why torch, which is installed, cannot use a CUDA device; None when it can."""
    import torch  # noqa: PLC0415 - optional

    reason = _why_no_cuda_at_all()
    if reason is not None:
        return reason
    count = torch.cuda.device_count()
    if index >= count:
        return f"this machine has {count} CUDA GPU{'s' if count > 1 else ''}, numbered from 0"
    capability = torch.cuda.get_device_capability(index)
    if capability < _OLDEST:
        major, minor = capability
        return f"its compute capability {major}.{minor} is below {_OLDEST[0]}.{_OLDEST[1]}"
    return None


def _why_no_cuda_at_all() -> str | None:
    import torch  # noqa: PLC0415 - optional

    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} was built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no usable CUDA GPU on this machine"
    return None
