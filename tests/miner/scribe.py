"""Templates made up for tests, and a record of what was mined and won under them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand, Tag, check_head, check_opening
from pouw.consensus.ticket.proof import make_head, make_opening
from pouw.core.block import Header
from pouw.core.hashing import Hash, digest, u32, u256
from pouw.kernels.cpu import MinedRows
from pouw.miner.devices import Device, NoisedB, RowMiner
from pouw.miner.meter import Meter
from pouw.miner.node_link import NodeLink
from pouw.miner.solution import Solutions, Work
from pouw.miner.templates import Template, TemplateSource
from pouw.tests.miner.harbour import WORKER
from pouw.vm.multiplier import Multiplier

ALWAYS = 1 << 16
"""A difficulty at which every ticket wins."""
NEVER = 1 << 240


def template(number: int, difficulty: int = ALWAYS) -> Template:
    """Return the template of a made-up header."""
    header = Header(
        version=1,
        parent=digest("test", u32(number)),
        height=number + 1,
        time=number,
        difficulty=u256(difficulty),
        miner=WORKER.public,
        payout=bytes(32),
        transactions_root=bytes(32),
        state_root=bytes(32),
    )
    return Template(str(number), "", header, header.sigma)


class Scribe(Solutions):
    """Verifies each winner by the rules of consensus instead of sending it."""

    def __init__(self) -> None:
        link = NodeLink("http://127.0.0.1:1")
        super().__init__(link, WORKER, TemplateSource(link, WORKER.public, ""), Meter())
        self.won: list[tuple[Template, Work]] = []

    def submit(
        self,
        template: Template,
        work: Work,
        tile: tuple[int, int],
        lanes: bytes,
        meter: Meter | None = None,
    ) -> None:
        head = make_head(work.shape, work.tag, work.roots, tile, lanes)
        check_head(template.sigma, head, template.difficulty)
        check_opening(template.sigma, head, make_opening(work.a, work.b, tile))
        self.won.append((template, work))


@dataclass
class Watched:
    """A device that notes which rows were multiplied under which header, and how often."""

    device: Device
    mined: list[tuple[Hash, int, int]] = field(default_factory=list[tuple[Hash, int, int]])
    noised: list[Hash] = field(default_factory=list[Hash])
    plain_rows: int = 0

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def description(self) -> str:
        return self.device.description

    @property
    def idle_columns(self) -> int:
        return self.device.idle_columns

    @property
    def multiplier(self) -> Multiplier:
        return self

    def reopen(self) -> None:
        self.device.reopen()

    def close(self) -> None:
        self.device.close()

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        self.plain_rows += len(a)
        return self.device.multiplier.matmul(a, b_t)

    def noise_b(self, sigma: Hash, b: Operand | None, n: int, k: int) -> NoisedB:
        self.noised.append(sigma)
        return _WatchedB(self, sigma, self.device.noise_b(sigma, b, n, k))


@dataclass
class _WatchedB:
    watched: Watched
    sigma: Hash
    inner: NoisedB

    def start(self, m: int, root_a: Hash, tag: Tag, difficulty: int) -> RowMiner:
        return _WatchedRows(self.watched, self.sigma, self.inner.start(m, root_a, tag, difficulty))


@dataclass
class _WatchedRows:
    watched: Watched
    sigma: Hash
    inner: RowMiner

    def mine_rows(self, a_rows: NDArray[np.int8] | None, row0: int, row1: int) -> MinedRows:
        self.watched.mined.append((self.sigma, row0, row1))
        return self.inner.mine_rows(a_rows, row0, row1)
