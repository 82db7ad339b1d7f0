"""What a job's result is checked with besides proofs: headers, and openings of blocks' products.

Everything is the canonical encoding as hex, so that ids, tickets and signatures can be recomputed.
"""

from typing import Annotated, Final

import msgspec

from ...core.codec import encode
from .chain import find_block
from .context import Context
from .errors import NotFound
from .registry import MethodTable
from .types import Answer, Height

METHODS: Final = MethodTable()

MAX_HEADERS: Final = 2_000
HeaderCount = Annotated[int, msgspec.Meta(ge=1, le=MAX_HEADERS)]


@METHODS.read
def getheaders(node: Context, start: Height, count: HeaderCount = MAX_HEADERS) -> Answer:
    """Return the sealed headers of the active chain from height `start` on, up to the tip."""
    end = min(node.chain.tip.height + 1, start + count)
    headers = [encode(find_block(node, height).sealed).hex() for height in range(start, end)]
    return {"headers": headers}


@METHODS.read
def getopening(node: Context, height: Height) -> Answer:
    """Return the opening (protocol §7) of the product that the active block at a height mined."""
    entry = find_block(node, height)
    body = node.chain.body(entry.id)
    if body is None:
        raise NotFound(f"block {height} has no opening stored here")
    return {"block": entry.id.hex(), "opening": encode(body.opening).hex()}
