"""What a miner is told at its start."""

from dataclasses import dataclass
from pathlib import Path

from ..core.hashing import Hash
from ..core.keys import PrivateKey, format_address
from ..genesis import Params
from .node_link import TokenSource


@dataclass(frozen=True, slots=True)
class MinerConfig:
    """Everything the command line decides."""

    params: Params
    node: str
    """URL of the node's JSON-RPC."""
    token: TokenSource
    """Returns the node's token as of now."""
    key: PrivateKey
    """Hot key: signs blocks, claims and results, holds bonds."""
    payout: Hash
    """Address that receives block rewards."""
    state: Path
    """Folder of the journal."""
    rate: int | None = None
    """Cap of all multiply-accumulates per second, of all devices together."""
    idle_rate: int | None = None
    """Cap of idle mining in multiply-accumulates per second."""
    take_jobs: bool = True
    mine_idle: bool = True
    reopen_after: tuple[float, ...] = (2.0, 15.0, 60.0)
    """Seconds before a lost device is opened again, each time; after the last it is given up."""

    @property
    def payout_text(self) -> str:
        """The payout address as people write it."""
        return format_address(self.payout, self.params.address_prefix)

    @property
    def worker_text(self) -> str:
        """The hot key's address as people write it."""
        return format_address(self.key.address, self.params.address_prefix)
