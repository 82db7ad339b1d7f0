"""Block 0: given by the parameters, mined by nobody."""

from functools import lru_cache
from typing import Final

from ..core.block import Header, SealedHeader
from ..core.hashing import ZERO_HASH, u256
from ..core.stateproof import state_root
from ..core.ticket import Head
from ..genesis import Params
from .header_rules import HEADER_VERSION
from .transition import genesis_diff

EMPTY_HEAD: Final = Head(0, 0, 0, bytes(8), ZERO_HASH, 0, 0, 0, ZERO_HASH, ZERO_HASH, bytes(128))
"""The head of a block that has no proof: only the genesis block's."""


@lru_cache
def genesis_block(params: Params) -> SealedHeader:
    """Return the sealed header of block 0; its id names the network."""
    allocations = [(key, value) for key, value in genesis_diff(params).items() if value is not None]
    header = Header(
        version=HEADER_VERSION,
        parent=ZERO_HASH,
        height=0,
        time=params.genesis_time,
        difficulty=u256(0),
        miner=ZERO_HASH,
        payout=ZERO_HASH,
        transactions_root=ZERO_HASH,
        state_root=state_root(allocations),
    )
    return SealedHeader(header, EMPTY_HEAD, bytes(64))
