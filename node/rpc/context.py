"""What a method works on."""

from collections.abc import Callable
from dataclasses import dataclass

from ...chain.chainstate import Chain
from ...chain.mempool import Mempool
from ...core.keys import format_address, parse_address
from ...genesis import Params
from ...p2p.service import PeerNetwork
from ..ledger import NodeLedger
from ..templates import TemplateBook


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a running node."""

    params: Params
    chain: Chain
    mempool: Mempool
    ledger: NodeLedger
    network: PeerNetwork
    templates: TemplateBook
    request_stop: Callable[[], None]
    fail: Callable[[BaseException], None]
    """Told of an error the node cannot survive."""

    def address_text(self, address: bytes) -> str:
        """Write an address as this network's people see it."""
        return format_address(address, self.params.address_prefix)

    def read_address(self, text: str) -> bytes:
        """Read an address of this network. Raises UserError."""
        return parse_address(text, self.params.address_prefix)

    def next_difficulty(self) -> int:
        """Return the difficulty of the block after the tip."""
        return self.chain.index.context(self.chain.tip).difficulty(self.params)
