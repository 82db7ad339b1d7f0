"""Mining: templates out, solutions in."""

from typing import Annotated, Final

import msgspec

from ...core.codec import decode, encode
from ...core.ticket import MAX_HEAD_BYTES, MAX_OPENING_BYTES, Head, Opening
from ..templates import Offer
from .context import Context
from .errors import NotFound
from .registry import MethodTable
from .types import AddressText, Answer, Hex, HexHash, unhex

METHODS: Final = MethodTable()

LongpollId = Annotated[str, msgspec.Meta(max_length=128)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=60)]
SignatureHex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]


@METHODS.guarded
async def gettemplate(
    node: Context,
    miner: HexHash,
    payout: AddressText,
    longpoll: LongpollId | None = None,
    timeout: Seconds = 30,
) -> Answer:
    """Return a header to mine for a miner's public key and a payout address.

    With the `longpoll` of an earlier answer the node waits, at most `timeout` seconds, until that
    template is out of date: at once for a new tip, after half a second for new transactions.
    Needs the token: each template costs a run of the mempool and pushes an older one out.
    """
    address = node.read_address(payout)
    if longpoll is not None:
        await node.templates.wait_news(longpoll, timeout)
    offer = await node.templates.offer(bytes.fromhex(miner), address)
    return describe_offer(offer)


@METHODS.guarded
async def submitsolution(
    node: Context, template: HexHash, head: Hex, opening: Hex, signature: SignatureHex
) -> Answer:
    """Complete a template with its proof and take the block; tell the peers.

    `head` and `opening` are canonical encodings, `signature` is the miner's over the block id. A
    block on a tip that is no longer the best is accepted all the same; `active` is then false.
    """
    found = node.templates.find(bytes.fromhex(template))
    if found is None:
        raise NotFound(f"template {template} is not known, or too old")
    block, active = await node.ledger.accept_solution(
        found,
        decode(Head, unhex("head", head), MAX_HEAD_BYTES),
        decode(Opening, unhex("opening", opening), MAX_OPENING_BYTES),
        bytes.fromhex(signature),
    )
    if active:
        node.network.announce_tip()
    return {"block": block.hex(), "accepted": True, "active": active}


def describe_offer(offer: Offer) -> Answer:
    """Return a template as `gettemplate` answers it."""
    header = offer.template.header
    return {
        "id": offer.template.sigma.hex(),
        "longpoll": offer.longpoll,
        "header": encode(header).hex(),
        "parent": header.parent.hex(),
        "height": header.height,
        "difficulty": header.work,
        "transactions": len(offer.template.transactions),
    }
