"""Useful and idle mining on a GPU beside cuBLAS and a plain Triton product, on the device's clock.

plain: `torch._int_mm` (cuBLAS); plain_triton: A·B by the kernel that useful mining uses, cut up the
same, without noise, transcripts or tickets; useful: noise for A drawn and added, A'·B' with every
ticket drawn, noise peeled off, exact A·B written; idle: both operands zero, tickets alone. Both
start from a nonce and end when the host has read how many tickets won. B is noised beforehand, as
it is once per block template, and A and the product stay on the device. Times are medians of CUDA
events, one run of each in turn; GOP/s counts 2·m·n·k operations. cuBLAS takes more than 16 rows:
where m is 16 it multiplies 32, and 16 are counted.

Every result is compared before it is timed: products with cuBLAS, bit for bit; transcripts and
tickets of a few tiles with the reference.
"""

from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..consensus.ticket import Tag
from ..consensus.ticket.constants import OPERAND_MAX, OPERAND_MIN, TILE, TILE_AREA
from ..consensus.ticket.noise import noise
from ..consensus.ticket.target import meets_target, target, ticket_digest
from ..consensus.ticket.transcript import lanes_bytes, lanes_of_tiles
from ..core.commitment import ZERO_OPERAND_ROOT, operand_root
from ..core.errors import PouwError
from ..core.hashing import Hash
from ..miner.devices import open_device

if TYPE_CHECKING:
    import torch

    from ..kernels.gpu.mining import Launched, MiningPass, NoisedOperandB

SHAPES: Final = (
    (8192, 8192, 8192),
    (4096, 4096, 4096),
    (16, 4096, 4096),
    (64, 4096, 4096),
    (256, 4096, 4096),
    (1024, 4096, 4096),
)
Timer = Callable[[Callable[[], object]], float]
"""Returns how many milliseconds a call takes."""
_SIGMA: Final[Hash] = bytes(range(32))
_NOTHING_WINS: Final = 1 << 240
_WARM_UPS: Final = 3
_SAMPLED_TILES: Final = 24
_CUBLAS_ROWS: Final = 32


class WrongResult(PouwError):
    """What was to be timed is not what the reference computes."""


def run(device: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row per shape. Raises UserError when the device cannot be used, and WrongResult
    when it computes anything wrongly."""
    open_device(device)
    import torch  # noqa: PLC0415 - optional; the device has found it

    from ..kernels.gpu.timing import event_milliseconds  # noqa: PLC0415

    gpu = torch.device("cuda", int(device.partition(":")[2] or 0))
    with torch.cuda.device(gpu):
        name = {"device": torch.cuda.get_device_name(gpu)}
        return [name | row(Case(gpu, *shape), repeats, event_milliseconds) for shape in SHAPES]


def row(case: "Case", repeats: int, milliseconds: Timer) -> dict[str, Any]:
    """Check and time one shape on the current device."""
    case.check()
    calls: dict[str, Callable[[], object]] = {
        "plain": case.plain,
        "plain_triton": case.plain_triton,
        "useful": lambda: case.read(case.useful(_NOTHING_WINS)),
        "idle": lambda: case.read(case.idle(_NOTHING_WINS)),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_WARM_UPS + repeats):
        for name, call in calls.items():
            times[name].append(milliseconds(call))
    m, n, k = case.shape
    speeds = {
        name: 2 * m * n * k / 1e6 / median(found[_WARM_UPS:]) for name, found in times.items()
    }
    return {
        "m": m,
        "n": n,
        "k": k,
        **{f"{name}_gops": round(speed, 1) for name, speed in speeds.items()},
        "useful_ratio": round(speeds["useful"] / speeds["plain"], 3),
        "idle_ratio": round(speeds["idle"] / speeds["plain"], 3),
        "useful_vs_triton": round(speeds["useful"] / speeds["plain_triton"], 3),
    }


class Case:
    """One shape: its operands on the device, and the four things that are compared."""

    def __init__(self, gpu: "torch.device", m: int, n: int, k: int) -> None:
        from ..kernels.gpu.mining import NoisedOperandB  # noqa: PLC0415 - needs triton
        from ..kernels.gpu.weights import uploaded  # noqa: PLC0415

        random = np.random.default_rng(1)
        self._a, self._b = (
            random.integers(OPERAND_MIN, OPERAND_MAX, (rows, k), np.int8, endpoint=True)
            for rows in (m, n)
        )
        self.shape = (m, n, k)
        self._root_a, root_b = operand_root(self._a), operand_root(self._b)
        self._left, self._right = (uploaded(x, gpu) for x in (self._a, self._b))
        self._useful_b = NoisedOperandB(gpu, _SIGMA, self._b, root_b, n, k)
        self._idle_b = NoisedOperandB(gpu, _SIGMA, None, ZERO_OPERAND_ROOT, n, k)
        self._how = self.useful(_NOTHING_WINS).how
        self._cublas_left = self._left
        if m < _CUBLAS_ROWS:
            self._cublas_left = self._left.new_zeros((_CUBLAS_ROWS, k))
            self._cublas_left[:m] = self._left

    def plain(self) -> "torch.Tensor":
        """Multiply with the vendor's library."""
        import torch  # noqa: PLC0415

        multiply = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
        return multiply(self._cublas_left, self._right.t())

    def plain_triton(self) -> "torch.Tensor":
        """Multiply with the plain kernel, cut up as useful mining is."""
        from ..kernels.gpu.product import plain_product  # noqa: PLC0415

        return plain_product(self._left, self._right, self._how)

    def useful(self, difficulty: int) -> "Launched":
        """Mine A·B from a fresh seed, as every nonce or batch needs."""
        one = self._pass(self._useful_b, self._root_a, difficulty)
        return one.launch(self._left, 0, self.shape[0])

    def idle(self, difficulty: int) -> "Launched":
        """Mine the zero operand from a fresh seed."""
        one = self._pass(self._idle_b, ZERO_OPERAND_ROOT, difficulty)
        return one.launch(None, 0, self.shape[0])

    def _pass(self, b: "NoisedOperandB", root_a: Hash, difficulty: int) -> "MiningPass":
        from ..kernels.gpu.mining import MiningPass  # noqa: PLC0415

        return MiningPass(b, self.shape[0], root_a, Tag(), difficulty)

    def read(self, launched: "Launched") -> "torch.Tensor":
        """Wait for the count of winners and fetch them."""
        from ..kernels.gpu.tickets import winning_tiles  # noqa: PLC0415

        return winning_tiles(launched.won)

    def check(self) -> None:
        """Raise WrongResult unless every product, transcript and ticket looked at is right."""
        difficulty = 2 * TILE_AREA * self.shape[2]  # half of the tickets win
        mined = self.useful(difficulty)
        expected = self.plain()[: self.shape[0]]
        if mined.product is None or not mined.product.equal(expected):
            raise WrongResult("the denoised product is not cuBLAS's")
        if not self.plain_triton().equal(expected):
            raise WrongResult("the plain Triton product is not cuBLAS's")
        useful = self._pass(self._useful_b, self._root_a, difficulty)
        self._check_tickets(mined, useful.seed, self._useful_b.seed, (self._a, self._b))
        idle = self._pass(self._idle_b, ZERO_OPERAND_ROOT, difficulty)
        self._check_tickets(self.idle(difficulty), idle.seed, self._idle_b.seed, None)

    def _check_tickets(
        self,
        mined: "Launched",
        a_seed: Hash,
        b_seed: Hash,
        operands: tuple[NDArray[np.int8], NDArray[np.int8]] | None,
    ) -> None:
        """Compare some tiles, the first and the last among them, with the reference."""
        m, n, k = self.shape
        limit = target(2 * TILE_AREA * k, k)
        won = set(self.read(mined).tolist())
        random = np.random.default_rng(2)
        tiles = random.integers(0, m // TILE * (n // TILE), _SAMPLED_TILES).tolist()
        for tile in (0, m // TILE * (n // TILE) - 1, *tiles):
            row, column = divmod(tile, n // TILE)
            sides: list[NDArray[np.int8]] = []
            for side, (seed, number) in enumerate(((a_seed, row), (b_seed, column))):
                numbers = range(number * TILE, (number + 1) * TILE)
                drawn = noise(seed, numbers, k)
                sides.append(drawn if operands is None else drawn + operands[side][numbers])
            lanes = lanes_of_tiles(sides[0], sides[1])[0, 0]
            if not np.array_equal(mined.lanes[row, column].cpu().numpy().view(np.uint32), lanes):
                raise WrongResult(f"the transcript of tile {row}, {column} is not the reference's")
            digest = ticket_digest(a_seed, lanes_bytes(lanes), row, column)
            if (tile in won) != meets_target(digest, limit):
                raise WrongResult(f"the ticket of tile {row}, {column} is not the reference's")
