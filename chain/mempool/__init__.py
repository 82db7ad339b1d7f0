"""The mempool: transactions that wait for a block, the best paying first. See docs/mempool.md."""

from .limits import Limits
from .pool import Mempool
from .room import BlockRoom, bundles_of

__all__ = ["BlockRoom", "Limits", "Mempool", "bundles_of"]
