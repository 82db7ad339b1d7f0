"""A node keeps what waits over a restart."""

import asyncio
from typing import Any

from pouw.core.transaction import Output, Transfer

PAYMENT = Transfer((Output(b"r" * 32, 5),))


async def test_what_waits_is_there_after_a_restart(rpc: Any, start_node: Any, faucet: Any) -> None:
    sent = [await rpc.send(rpc.sign(faucet, PAYMENT, nonce=nonce)) for nonce in range(3)]
    await rpc.node.stop()
    again = await start_node()
    async with asyncio.timeout(20):
        while (await again.call("getmempool"))["count"] < len(sent):
            await asyncio.sleep(0.02)
    assert (await again.call("getmempool"))["ids"] == sent
