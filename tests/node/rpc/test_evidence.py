"""Headers and openings as a node gives them, checked as a client does."""

from typing import Any

import pytest
from pouw.consensus.genesis_block import genesis_block
from pouw.consensus.ticket import check_opening
from pouw.core.block import SealedHeader
from pouw.core.codec import decode
from pouw.core.ticket import MAX_OPENING_BYTES, Opening
from pouw.genesis import TINY


def headers_of(answer: Any) -> list[SealedHeader]:
    return [decode(SealedHeader, bytes.fromhex(text), 1024) for text in answer["headers"]]


async def test_headers_lead_from_block_0_to_the_tip(rpc: Any) -> None:
    await rpc.mine(5)
    info = await rpc.call("getinfo")
    headers = headers_of(await rpc.call("getheaders", start=1))
    assert len(headers) == info["height"]
    assert headers[-1].id.hex() == info["tip"]
    for parent, header in zip([genesis_block(TINY), *headers], headers, strict=False):
        assert header.header.parent == parent.id and header.signature_is_valid()
    assert headers_of(await rpc.call("getheaders", start=2, count=3)) == headers[1:4]
    assert headers_of(await rpc.call("getheaders", start=0, count=1)) == [genesis_block(TINY)]
    assert headers_of(await rpc.call("getheaders", start=len(headers) + 1)) == []


@pytest.mark.parametrize("count", [0, 2_001])
async def test_a_page_of_headers_is_bounded(
    rpc: Any, call_failed: type[Exception], count: int
) -> None:
    with pytest.raises(call_failed, match="count"):
        await rpc.call("getheaders", start=1, count=count)


async def test_an_opening_verifies(rpc: Any, call_failed: type[Exception]) -> None:
    await rpc.mine()
    (sealed,) = headers_of(await rpc.call("getheaders", start=1))
    answer = await rpc.call("getopening", height=1)
    assert answer["block"] == sealed.id.hex()
    opening = decode(Opening, bytes.fromhex(answer["opening"]), MAX_OPENING_BYTES)
    check_opening(sealed.header.sigma, sealed.head, opening)
    with pytest.raises(call_failed, match="no block at height 2"):
        await rpc.call("getopening", height=2)
