"""The mempool over RPC: what waits, what it hangs together with, what a newcomer should pay."""

from typing import Any

import pytest
from pouw.core.codec import encode
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Output, Transfer
from pouw.genesis import TINY

RECEIVER = PrivateKey(b"the one who is paid in the test.")
PAYMENT = Transfer((Output(RECEIVER.address, 1_234),))


async def test_an_empty_pool(rpc: Any) -> None:
    pool = await rpc.call("getmempool")
    assert (pool["count"], pool["bytes"], pool["memory"], pool["ids"]) == (0, 0, 0, [])
    assert pool["min_fee_per_kib"] == TINY.min_fee_per_kib
    assert pool["max_memory"] == 256 << 20


async def test_an_entry_and_its_family(rpc: Any, faucet: Any) -> None:
    bundles = [
        rpc.sign(faucet, PAYMENT, nonce=nonce, fee=10**6 * (1 + nonce)) for nonce in range(3)
    ]
    sent = [await rpc.send(bundle) for bundle in bundles]
    entry = await rpc.call("getmempoolentry", id=sent[1])
    assert entry["ancestors"] == sent[:1] and entry["descendants"] == sent[2:]
    size = len(encode(bundles[1]))
    assert (entry["size"], entry["fee"]) == (size, 2 * 10**6)
    assert entry["fee_per_kib"] == 2 * 10**6 * 1024 // size
    whole = sum(len(encode(bundle)) for bundle in bundles)
    assert entry["package_fee_per_kib"] == 6 * 10**6 * 1024 // whole, "each pulls those before it"
    assert entry["transaction"]["nonce"] == 1
    pool = await rpc.call("getmempool", limit=2)
    assert (pool["count"], pool["ids"]) == (3, sent[:2])
    assert pool["memory"] > pool["bytes"] == whole


async def test_an_unknown_entry(rpc: Any, call_failed: Any) -> None:
    with pytest.raises(call_failed) as failed:
        await rpc.call("getmempoolentry", id="00" * 32)
    assert failed.value.code == -32004


async def test_a_replacement_says_what_it_takes(rpc: Any, faucet: Any, call_failed: Any) -> None:
    first = await rpc.send(rpc.sign(faucet, PAYMENT, nonce=0, fee=10**6))
    again = encode(rpc.sign(faucet, PAYMENT, nonce=0, fee=10**6 + 1)).hex()
    with pytest.raises(call_failed) as failed:
        await rpc.call("sendtransaction", bundle=again)
    assert failed.value.data == {"reason": "replacement"}
    assert "takes 1100000" in failed.value.message
    second = await rpc.send(rpc.sign(faucet, PAYMENT, nonce=0, fee=1_100_000))
    assert (await rpc.call("gettransaction", id=first))["status"] == "unknown"
    assert (await rpc.call("getmempool"))["ids"] == [second]


async def test_an_estimate_where_nothing_competes(rpc: Any, call_failed: Any) -> None:
    answer = await rpc.call("estimatefee")
    assert answer == {"blocks": 3, "fee_per_kib": TINY.min_fee_per_kib}
    assert (await rpc.call("estimatefee", blocks=24))["blocks"] == 24
    for blocks in (0, 25, -1, "3"):
        with pytest.raises(call_failed) as failed:
            await rpc.call("estimatefee", blocks=blocks)
        assert failed.value.code == -32602
