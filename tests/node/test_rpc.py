"""The RPC of a real node: every subject and every refusal."""

import asyncio
from typing import Any

import pytest
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.block import Header, seal
from pouw.core.codec import decode, encode
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Output, Transfer
from pouw.genesis import TINY

MINER = PrivateKey(b"the key of the miner in the test")
RECEIVER = PrivateKey(b"a person who is paid in the test")

FAUCET_COINS = TINY.allocations[0][1]


async def fails(rpc: Any, call_failed: Any, code: int, method: str, **params: Any) -> Any:
    with pytest.raises(call_failed) as caught:
        await rpc.call(method, **params)
    assert caught.value.code == code
    return caught.value


# Chain and mining ---------------------------------------------------------------------------


async def test_info_of_a_new_node(rpc: Any) -> None:
    info = await rpc.call("getinfo")
    assert (info["network"], info["chain_id"], info["height"]) == ("tiny", TINY.chain_id, 0)
    assert info["tip"] == info["genesis"]
    assert info["difficulty"] == TINY.initial_difficulty
    assert info["subsidy"] == TINY.initial_subsidy
    assert (info["mempool"], info["peers"], info["syncing"]) == (0, 0, False)
    assert "peer" in info["waiting_for"]


async def test_mined_blocks_become_the_tip_and_pay_the_miner(rpc: Any) -> None:
    block = await rpc.mine(3)
    info = await rpc.call("getinfo")
    assert (info["height"], info["tip"]) == (3, block)
    account = await rpc.call("getaccount", address=rpc.address(MINER))
    assert account["balance"] == 3 * TINY.initial_subsidy
    assert (account["nonce"], account["pending_nonce"]) == (0, 0)


async def test_blocks_are_found_by_height_and_by_id(rpc: Any, call_failed: Any) -> None:
    tip = await rpc.mine(2)
    block = await rpc.call("getblock", height=1)
    assert (block["height"], block["confirmations"], block["transactions"]) == (1, 2, [])
    assert block["miner"] == MINER.public.hex()
    assert block["payout"] == rpc.address(MINER)
    head = block["head"]
    assert (head["m"], head["n"], head["k"], head["job"], head["nonce"]) == (16, 16, 256, None, 0)
    assert await rpc.call("getblock", block["id"]) == block
    assert await rpc.call("getblock", 1) == block
    assert await rpc.call("getblockhash", height=2) == tip
    assert (await rpc.call("getblock", id=tip))["parent"] == block["id"]
    await fails(rpc, call_failed, -32004, "getblock", height=3)
    await fails(rpc, call_failed, -32004, "getblock", id="ab" * 32)
    await fails(rpc, call_failed, -32602, "getblock")
    await fails(rpc, call_failed, -32602, "getblock", id=tip, height=1)


async def test_supply_is_counted_over_the_whole_state(rpc: Any) -> None:
    await rpc.mine(2)
    emitted = FAUCET_COINS + 2 * TINY.initial_subsidy
    supply = await rpc.call("getsupply")
    assert supply == {"emitted": emitted, "burned": 0, "circulating": emitted, "audited": True}


async def test_usefulness_of_idle_blocks_is_nothing(rpc: Any) -> None:
    assert (await rpc.call("getusefulness"))["work"] == 0
    await rpc.mine(4)
    answer = await rpc.call("getusefulness", blocks=2)
    assert (answer["from_height"], answer["to_height"]) == (3, 4)
    assert answer["work"] == 2 * TINY.initial_difficulty
    assert (answer["useful_macs"], answer["useful_share"], answer["mined_share"]) == (0, 0.0, 0.0)


async def test_a_stale_solution_is_a_block_that_loses(rpc: Any) -> None:
    early = await rpc.template()
    late = await rpc.call("gettemplate", miner=MINER.public.hex(), payout=rpc.address(RECEIVER))
    won = await rpc.solve(early)
    lost = await rpc.solve(late)
    assert won["active"] and lost["accepted"] and not lost["active"]
    assert (await rpc.call("getinfo"))["tip"] == won["block"]
    assert (await rpc.call("getblock", id=lost["block"]))["confirmations"] == 0
    assert await rpc.solve(early) == won  # sent twice, answered twice


async def test_a_wrong_solution_is_refused_and_leaves_no_header(rpc: Any, call_failed: Any) -> None:
    template = await rpc.template()
    header = decode(Header, bytes.fromhex(template["header"]), 1024)
    head, opening = prove(header.sigma, Shape(16, 16, 256), Tag(), None, None, (0, 0))
    signature = seal(MINER, header, head).signature.hex()
    good = {
        "template": template["id"],
        "head": encode(head).hex(),
        "opening": encode(opening).hex(),
        "signature": signature,
    }
    other, _ = prove(bytes(32), Shape(16, 16, 256), Tag(), None, None, (0, 0))
    bad_lanes = {**good, "head": encode(other).hex()}
    failure = await fails(rpc, call_failed, -32010, "submitsolution", **bad_lanes)
    assert failure.data == {"rule": "ticket-lanes"}
    bad_shape = prove(header.sigma, Shape(16, 16, 128), Tag(), None, None, (0, 0))[0]
    failure = await fails(
        rpc, call_failed, -32010, "submitsolution", **{**good, "head": encode(bad_shape).hex()}
    )
    assert failure.data == {"rule": "ticket-shape"}
    failure = await fails(
        rpc, call_failed, -32010, "submitsolution", **{**good, "signature": "00" * 64}
    )
    assert failure.data == {"rule": "header-signature"}
    filled = type(opening)(bytes(16 * 256), (), b"", ())
    await fails(
        rpc, call_failed, -32012, "submitsolution", **{**good, "opening": encode(filled).hex()}
    )
    await fails(rpc, call_failed, -32010, "submitsolution", **{**good, "head": "c0"})
    await fails(rpc, call_failed, -32602, "submitsolution", **{**good, "head": "c"})
    await fails(rpc, call_failed, -32004, "submitsolution", **{**good, "template": "ab" * 32})
    assert (await rpc.call("getinfo"))["best_header_height"] == 0
    assert (await rpc.call("submitsolution", **good))["active"]


async def test_long_poll_answers_a_new_tip_at_once(rpc: Any) -> None:
    template = await rpc.template()
    waiting = asyncio.create_task(rpc.template(longpoll=template["longpoll"], timeout=20))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    block = (await rpc.solve(template))["block"]
    fresh = await asyncio.wait_for(waiting, 5)
    assert (fresh["parent"], fresh["height"]) == (block, 2)
    assert fresh["longpoll"] != template["longpoll"]
    stale = await asyncio.wait_for(rpc.template(longpoll=template["longpoll"], timeout=20), 5)
    assert stale["height"] == 2


async def test_long_poll_waits_a_moment_for_more_transactions(rpc: Any, faucet: Any) -> None:
    template = await rpc.template()
    assert template["transactions"] == 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = asyncio.create_task(rpc.template(longpoll=template["longpoll"], timeout=20))
    await asyncio.sleep(0.1)
    for _ in range(3):
        await rpc.send(rpc.sign(faucet, Transfer((Output(RECEIVER.address, 5),))))
    fresh = await asyncio.wait_for(waiting, 5)
    assert fresh["transactions"] == 3
    assert loop.time() - began >= 0.5


async def test_long_poll_ends_with_its_timeout(rpc: Any) -> None:
    template = await rpc.template()
    again = await asyncio.wait_for(rpc.template(longpoll=template["longpoll"], timeout=0), 5)
    assert again["longpoll"] == template["longpoll"]


async def test_old_templates_are_forgotten(
    rpc: Any, call_failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.templates.MAX_TEMPLATES", 2)
    templates = [
        await rpc.call(
            "gettemplate", miner=MINER.public.hex(), payout=rpc.address(PrivateKey(bytes([i] * 32)))
        )
        for i in range(3)
    ]
    with pytest.raises(call_failed) as caught:
        await rpc.solve(templates[0])
    assert caught.value.code == -32004
    assert (await rpc.solve(templates[1]))["active"]


# Transactions -------------------------------------------------------------------------------


async def test_a_transfer_from_mempool_to_block(rpc: Any, faucet: Any) -> None:
    sent = await rpc.send(rpc.sign(faucet, Transfer((Output(RECEIVER.address, 1234),))))
    pending = await rpc.call("gettransaction", id=sent)
    assert pending["status"] == "pending"
    assert pending["transaction"]["type"] == "Transfer"
    assert pending["transaction"]["sender"] == rpc.address(faucet)
    paid = {"to": rpc.address(RECEIVER), "amount": 1234}
    assert pending["transaction"]["body"] == {"outputs": [paid]}
    pool = await rpc.call("getmempool")
    assert (pool["count"], pool["ids"]) == (1, [sent]) and pool["bytes"] > 0
    account = await rpc.call("getaccount", address=rpc.address(faucet))
    assert (account["nonce"], account["pending_nonce"]) == (0, 1)
    block = await rpc.mine()
    await rpc.mine()
    included = await rpc.call("gettransaction", id=sent)
    assert included["status"] == "included"
    assert (included["height"], included["block"], included["confirmations"]) == (1, block, 2)
    assert included["transaction"] == pending["transaction"]
    assert (await rpc.call("getblock", id=block))["transactions"] == [sent]
    assert (await rpc.call("getaccount", address=rpc.address(RECEIVER)))["balance"] == 1234
    assert (await rpc.call("getmempool"))["count"] == 0
    assert (await rpc.call("gettransaction", id="00" * 32)) == {
        "id": "00" * 32,
        "status": "unknown",
    }


async def test_refused_transactions_name_rule_or_reason(
    rpc: Any, faucet: Any, call_failed: Any
) -> None:
    transfer = Transfer((Output(RECEIVER.address, 1),))
    broken = {
        "tx-nonce": rpc.sign(faucet, transfer, nonce=3),
        "tx-chain": rpc.sign(faucet, transfer, chain_id=1),
        "balance": rpc.sign(RECEIVER, transfer),
        "tx-expired": rpc.sign(faucet, transfer, expiry=0),
        "transfer-zero": rpc.sign(faucet, Transfer((Output(RECEIVER.address, 0),))),
    }
    for rule, bundle in broken.items():
        encoded = encode(bundle).hex()
        failure = await fails(rpc, call_failed, -32010, "sendtransaction", bundle=encoded)
        assert failure.data == {"rule": rule}
    cheap = encode(rpc.sign(faucet, transfer, fee=0)).hex()
    failure = await fails(rpc, call_failed, -32011, "sendtransaction", bundle=cheap)
    assert failure.data == {"reason": "fee"}
    failure = await fails(rpc, call_failed, -32010, "sendtransaction", bundle="90")
    assert failure.data == {"rule": "encoding"}
    await fails(rpc, call_failed, -32602, "sendtransaction", bundle="9")
    await fails(rpc, call_failed, -32602, "sendtransaction", bundle="AB")
    assert (await rpc.call("getmempool"))["count"] == 0


async def test_addresses_of_other_networks_are_refused_with_a_reason(
    rpc: Any, call_failed: Any
) -> None:
    foreign = rpc.address(MINER).replace("xpouw", "pouw")
    failure = await fails(rpc, call_failed, -32013, "getaccount", address=foreign)
    assert "another network" in failure.message


# Node and network ---------------------------------------------------------------------------


async def test_two_nodes_share_blocks_and_transactions(
    rpc: Any, start_node: Any, faucet: Any
) -> None:
    await rpc.mine(3)
    other = await start_node("other", connect=(f"127.0.0.1:{rpc.node.p2p_port}",))

    async def reaches(height: int) -> None:
        while (await other.call("getinfo"))["height"] != height:
            await asyncio.sleep(0.02)

    await asyncio.wait_for(reaches(3), 20)
    (peer,) = await other.call("getpeers")
    assert peer["direction"] == "outbound"
    sent = await rpc.send(rpc.sign(faucet, Transfer((Output(RECEIVER.address, 9),))))

    async def hears() -> None:
        while (await other.call("gettransaction", id=sent))["status"] != "pending":
            await asyncio.sleep(0.02)

    await asyncio.wait_for(hears(), 20)
    await rpc.mine()
    await asyncio.wait_for(reaches(4), 20)
    assert (await other.call("getinfo"))["tip"] == (await rpc.call("getinfo"))["tip"]
    status = await other.call("getsync")
    assert (status["height"], status["header_height"], status["outbound"]) == (4, 4, 1)


async def test_peers_can_be_added(rpc: Any, start_node: Any, call_failed: Any) -> None:
    other = await start_node("other")
    await rpc.call("addpeer", address=f"127.0.0.1:{other.node.p2p_port}")

    async def connects() -> None:
        while not await rpc.call("getpeers"):
            await asyncio.sleep(0.02)

    await asyncio.wait_for(connects(), 20)
    await fails(rpc, call_failed, -32013, "addpeer", address="nowhere")


async def test_stop_ends_the_node_and_lets_long_polls_go(rpc: Any) -> None:
    template = await rpc.template()
    waiting = asyncio.create_task(rpc.template(longpoll=template["longpoll"], timeout=60))
    await asyncio.sleep(0.1)
    assert await rpc.call("stop") == {"stopping": True}
    await asyncio.wait_for(rpc.node.wait(), 5)
    await asyncio.wait_for(rpc.node.stop(), 15)
    assert (await waiting)["height"] == 1
    assert not (rpc.node.config.data / "rpc.token").exists()
