"""Subscriptions at a real node: every topic, its filter, its refusals, and readers too slow."""

import asyncio
from typing import Any

import pytest
from pouw.core.keys import PrivateKey
from pouw.core.transaction import CancelJob, Output, Transfer
from pouw.node.rpc.session import MAX_SUBSCRIPTIONS
from pouw.tests.node.rpc.line import Line, Refused, connected
from pouw.tests.node.rpc.test_jobs import claim, model, submit

__all__ = ["model"]  # a fixture

MINER = PrivateKey(b"the key of the miner in the test")
RECEIVER = PrivateKey(b"a person who is paid in the test")


async def pay(rpc: Any, payer: PrivateKey, count: int = 1) -> list[str]:
    """Send some payments and return their ids."""
    body = Transfer((Output(RECEIVER.address, 1),))
    return [await rpc.send(rpc.sign(payer, body)) for _ in range(count)]


async def arrivals(line: Line, subscription: str, field: str, count: int) -> list[Any]:
    """Return the next `count` items of a topic that lists what it tells."""
    found: list[Any] = []
    while len(found) < count:
        news = await line.news(subscription)
        assert news["missed"] == 0
        found += news[field]
    return found


async def test_each_new_tip_is_told(rpc: Any, faucet: PrivateKey) -> None:
    async with connected(rpc, with_token=False) as line:
        name = await line.ask("subscribe", topic="heads")
        await pay(rpc, faucet, 2)
        for transactions in (2, 0):
            block = await rpc.mine()
            told = await rpc.call("getblock", id=block)
            assert await line.news(name) == {
                "height": told["height"],
                "id": block,
                "parent": told["parent"],
                "time": told["time"],
                "difficulty": told["difficulty"],
                "transactions": transactions,
                "useful_macs": 0,
            }


async def test_subscriptions_end_and_leave_others_alone(rpc: Any) -> None:
    async with connected(rpc) as line:
        first = await line.ask("subscribe", topic="heads")
        second = await line.ask("subscribe", topic="heads")
        assert first != second
        assert await line.ask("unsubscribe", subscription=first) is True
        await rpc.mine()
        assert (await line.news(second))["height"] == 1
        with pytest.raises(Refused, match="-32004"):
            await line.ask("unsubscribe", subscription=first)
        await line.ask("unsubscribe", subscription=second)
        await rpc.mine()
        assert (await line.ask("getinfo"))["height"] == 2
        async with connected(rpc) as other:
            name = await other.ask("subscribe", topic="heads")
            with pytest.raises(Refused, match="-32004"):
                await line.ask("unsubscribe", subscription=name)


async def test_nothing_is_kept_of_a_closed_connection(rpc: Any) -> None:
    topics = rpc.node._rpc._topics
    async with connected(rpc) as line:
        for topic in ("heads", "transactions", "jobs"):
            await line.ask("subscribe", topic=topic)
        assert (len(topics._heads), len(topics._pool._feeds), len(topics._jobs._feeds)) == (1, 1, 1)
    async with asyncio.timeout(20):
        while topics._heads or topics._pool._feeds or topics._jobs._feeds:
            await asyncio.sleep(0.01)
        await rpc.mine()
        while topics._jobs.is_open or topics._pool._known is not None:
            await asyncio.sleep(0.01)


async def test_transactions_are_told_once_each(rpc: Any, faucet: PrivateKey) -> None:
    early = await pay(rpc, faucet)
    async with connected(rpc, with_token=False) as line:
        name = await line.ask("subscribe", topic="transactions")
        sent = await pay(rpc, faucet, 3)
        assert await arrivals(line, name, "ids", 3) == sent
        # Mined at once: in the pool only for the moment before the block.
        for _ in range(3):
            sent = await pay(rpc, faucet, 2)
            await rpc.mine()
            assert await arrivals(line, name, "ids", 2) == sent
        last = await pay(rpc, faucet)
        assert await arrivals(line, name, "ids", 1) == last
        assert early[0] not in sent


async def test_jobs_are_told_of_from_submission_on(
    rpc: Any, faucet: PrivateKey, model: str
) -> None:
    old = await submit(rpc, faucet, model)
    async with connected(rpc, with_token=False) as every, connected(rpc) as single:
        all_jobs = await every.ask("subscribe", topic="jobs")
        job = await submit(rpc, faucet, model)
        one_job = await single.ask("subscribe", topic="jobs", job=old)
        (event,) = await arrivals(every, all_jobs, "events", 1)
        tip = await rpc.call("getinfo")
        assert event == {
            "job": job,
            "status": "submitted",
            "previous": None,
            "height": tip["height"],
            "block": tip["tip"],
        }
        await claim(rpc, faucet, job)
        (event,) = await arrivals(every, all_jobs, "events", 1)
        assert (event["job"], event["previous"]) == (job, "submitted")
        assert event["status"] == "claimed"
        await rpc.send(rpc.sign(faucet, CancelJob(bytes.fromhex(old))))
        await rpc.mine()
        (event,) = await arrivals(every, all_jobs, "events", 1)
        assert (event["job"], event["status"]) == (old, "cancelled")
        assert await arrivals(single, one_job, "events", 1) == [event]
        # The claimant lets its window pass, which no transaction says.
        while (await rpc.call("getjob", id=job))["status"] == "claimed":
            await rpc.mine()
        (event,) = await arrivals(every, all_jobs, "events", 1)
        assert (event["status"], event["previous"]) == ("submitted", "claimed")


async def test_templates_come_with_each_tip_and_with_transactions(
    rpc: Any, faucet: PrivateKey
) -> None:
    async with connected(rpc) as line:
        name = await line.ask(
            "subscribe", topic="templates", miner=MINER.public.hex(), payout=rpc.address(MINER)
        )
        template = await line.news(name)
        assert set(template) == set(await rpc.template())
        for height in (1, 2, 3):
            assert template["height"] == height
            block = (await rpc.solve(template))["block"]
            template = await line.news(name)
            assert template["parent"] == block
        await pay(rpc, faucet)
        template = await line.news(name)
        assert (template["height"], template["transactions"]) == (4, 1)


async def test_templates_are_renewed_before_their_time_is_old(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.topics.RENEW_SECONDS", 0.05)
    async with connected(rpc) as line:
        name = await line.ask(
            "subscribe", topic="templates", miner=MINER.public.hex(), payout=rpc.address(MINER)
        )
        for _ in range(3):
            assert (await line.news(name))["height"] == 1


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, -32602),
        ({"topic": "weather"}, -32602),
        ({"topic": ["heads"]}, -32602),
        ({"topic": "heads", "more": 1}, -32602),
        ({"topic": "heads", "job": "00" * 32}, -32602),
        ({"topic": "jobs", "job": "00"}, -32602),
        ({"topic": "jobs", "miner": "00" * 32}, -32602),
        ({"topic": "templates"}, -32602),
        ({"topic": "templates", "miner": "00" * 32}, -32602),
        ({"topic": "templates", "miner": "00" * 32, "payout": "nobody"}, -32013),
    ],
)
async def test_subscriptions_that_make_no_sense_are_refused(
    rpc: Any, params: dict[str, Any], code: int
) -> None:
    async with connected(rpc) as line:
        with pytest.raises(Refused) as caught:
            await line.ask("subscribe", **params)
        assert caught.value.code == code


async def test_templates_need_the_token(rpc: Any) -> None:
    wish = {"topic": "templates", "miner": "00" * 32, "payout": rpc.address(MINER)}
    async with connected(rpc, with_token=False) as line:
        with pytest.raises(Refused, match="-32001"):
            await line.ask("subscribe", **wish)
        await line.ask("authenticate", token=rpc.token)
        name = await line.ask("subscribe", **wish)
        assert (await line.news(name))["height"] == 1


async def test_subscriptions_are_bounded(rpc: Any) -> None:
    async with connected(rpc) as line:
        names = [await line.ask("subscribe", topic="heads") for _ in range(MAX_SUBSCRIPTIONS)]
        with pytest.raises(Refused, match="-32000"):
            await line.ask("subscribe", topic="jobs")
        await line.ask("unsubscribe", subscription=names[3])
        await line.ask("subscribe", topic="jobs")


async def test_a_name_is_told_before_its_first_notification(rpc: Any) -> None:
    params = {"topic": "templates", "miner": "00" * 32, "payout": rpc.address(MINER)}
    entry = {"jsonrpc": "2.0", "method": "subscribe", "params": params}
    blocks = {"jsonrpc": "2.0", "method": "getblock", "params": [0]}
    async with connected(rpc) as line:
        await line.send([entry | {"id": 1}, blocks | {"id": 2}, entry | {"id": 3}])
        names = {answer["id"]: answer["result"] for answer in await line.receive()}
        told = {(await line.receive())["params"]["subscription"] for _ in range(2)}
        assert told == {names[1], names[3]}


async def test_a_slow_reader_gets_the_newest_head_and_counts_what_it_missed(
    rpc: Any, faucet: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.feeds.MAX_BACKLOG", 2)
    async with connected(rpc, max_msg_size=0) as line:
        heads = await line.ask("subscribe", topic="heads")
        ids = await line.ask("subscribe", topic="transactions")
        monkeypatch.setattr("pouw.node.rpc.chain.__version__", "v" * (12 << 20))
        # The first fills the client's buffer, the second that of the sockets; no more is read.
        large = [{"jsonrpc": "2.0", "id": number, "method": "getinfo"} for number in range(3)]
        for request in large:
            await line.send(request)
        async with asyncio.timeout(20):
            while rpc.node._rpc._admission._under_way < len(large):
                await asyncio.sleep(0.01)
        sent: list[str] = []
        for _ in range(4):
            sent += await pay(rpc, faucet, 2)
            await rpc.mine()
        for request in large:
            assert (await line.receive())["id"] == request["id"]
        seen: dict[str, list[Any]] = {heads: [], ids: []}
        async with asyncio.timeout(20):
            while not (seen[heads] and seen[heads][-1]["height"] == 4) or not seen[ids]:
                params = (await line.receive())["params"]
                seen[params["subscription"]].append(params["result"])
        assert len(seen[heads]) <= 2, "one may have been on its way"
        listed = [identity for news in seen[ids] for identity in news["ids"]]
        assert listed[-2:] == sent[-2:]
        assert sum(news["missed"] for news in seen[ids]) + len(listed) == len(sent)
        assert sum(news["missed"] for news in seen[ids]) > 0


async def test_a_subscription_that_breaks_ends_its_connection(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(rpc) as line:
        await line.ask("subscribe", topic="heads")

        def broken(*_args: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(type(rpc.node._rpc._context.chain), "totals_at", broken)
        await rpc.mine()
        await line.closed()
    assert (await rpc.call("getinfo"))["height"] == 1
