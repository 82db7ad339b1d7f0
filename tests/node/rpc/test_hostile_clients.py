"""What strangers do to a node's RPC, each by the name of the weakness it was aimed at."""

import asyncio
import json
import threading
from collections import Counter
from typing import Any

import aiohttp
import pytest
from pouw.core.keys import PrivateKey
from pouw.node.rpc.dispatch import MAX_OPEN_BATCH_BYTES
from pouw.node.rpc.readers import to_the_end
from pouw.node.rpc.session import MAX_OPEN_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS
from pouw.node.rpc.sockets import Connection
from pouw.tests.node.rpc.line import PATIENCE, Refused, connected
from pouw.tests.node.rpc.test_session import pay
from pouw.tests.node.rpc.test_sockets import HELLO

PONG = b"\x8a\x80\x00\x00\x00\x00"
PING = b"\x89\x80\x00\x00\x00\x00"
EMPTY = b"\x81\x80\x00\x00\x00\x00"


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def asked(method: str, **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, **more}).encode()


# Places ------------------------------------------------------------------------------------------


async def test_idle_connections_take_no_place_from_who_asks(
    start_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """512 silent TCP connections used to lock the owner's miner out."""
    monkeypatch.setattr("pouw.node.rpc.server.MAX_CONNECTIONS", 6)
    rpc = await start_node()
    async with connected(rpc) as miner:
        name = await miner.ask("subscribe", topic="heads")
        idle = [await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port) for _ in range(20)]
        assert (await rpc.call("getinfo"))["height"] == 0
        await rpc.mine()
        assert (await miner.news(name))["height"] == 1, "a line in use is not given away"
        async with asyncio.timeout(PATIENCE):
            assert await idle[0][0].read() == b"", "the oldest idle one had to go"
        for _, writer in idle:
            writer.close()


async def test_connections_in_use_are_not_taken_from_anybody(
    start_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.server.MAX_CONNECTIONS", 2)
    rpc = await start_node()
    async with connected(rpc) as one, connected(rpc) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        assert await one.ask("getinfo") == await other.ask("getinfo")


async def test_a_line_that_is_not_read_is_gone_for_good(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp closes a silent line gently: its unread bytes kept the TCP connection for ever."""
    monkeypatch.setattr("pouw.node.rpc.sockets._HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr("pouw.node.rpc.sockets._CLOSE_SECONDS", 0.1)
    monkeypatch.setattr("pouw.node.rpc.chain.__version__", "v" * (12 << 20))
    reader, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port, limit=1024)
    writer.write(HELLO)
    request = asked("getinfo")
    writer.write(bytes([0x81, 0x80 | len(request)]) + bytes(4) + request)
    server = rpc.node._rpc._runner.server
    await until(lambda: rpc.node._rpc._sockets.connections)
    await until(lambda: not rpc.node._rpc._sockets.connections and not server.connections)
    assert rpc.node._rpc._admission._sending == 0
    assert not reader.at_eof(), "the client has not read to its end"
    writer.close()


# The event loop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [PONG, PING, EMPTY])
async def test_a_flood_of_frames_leaves_others_their_turns(
    rpc: Any, frame: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that came together used to be worked off together, without a turn for others."""
    turns, taken = 0, Counter[int]()
    real = Connection._take

    async def counted(self: Any, message: Any) -> None:
        taken[turns] += 1
        await real(self, message)

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    monkeypatch.setattr(Connection, "_take", counted)
    counting = asyncio.create_task(count())
    reader, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port)
    writer.write(HELLO)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame * 3_000)
    reading = asyncio.create_task(reader.read())
    await until(lambda: taken.total() == 3_000)
    counting.cancel()
    assert max(taken.values()) <= 2
    writer.close()
    reading.cancel()


async def test_pings_are_answered_with_what_they_carried(rpc: Any) -> None:
    async with connected(rpc, autoping=False) as line:
        await line.socket.ping(b"are you there?")
        message = await line.socket.receive(PATIENCE)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"are you there?")
        await line.socket.pong(b"unasked")
        assert (await line.ask("getinfo"))["height"] == 0


async def test_compression_is_not_agreed_to(rpc: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port)
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    writer.write(HELLO[:-2] + offer)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Extensions" not in answer
    writer.close()


# Reader threads, answers, subscriptions ----------------------------------------------------------


async def test_strangers_scans_do_not_delay_the_owner(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few walks over the whole state used to occupy every reader thread."""
    gate, under_way = threading.Event(), threading.Semaphore(0)

    def slow(_items: Any) -> int:
        under_way.release()
        assert gate.wait(PATIENCE)
        return 0

    monkeypatch.setattr("pouw.node.rpc.chain.check_whole_supply", slow)
    walks = [asyncio.create_task(rpc.post(asked("getsupply"), {})) for _ in range(8)]
    try:
        await until(lambda: under_way.acquire(blocking=False))
        assert (await rpc.call("getblock", height=0))["height"] == 0
        async with connected(rpc) as line:
            assert await line.ask("subscribe", topic="jobs")
            assert await line.ask("getblockhash", height=0)
    finally:
        gate.set()
    assert {status for status, _ in await asyncio.gather(*walks)} == {200}


async def test_answers_to_strangers_leave_room_for_the_owners(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers that do not read used to fill the one budget for answers under way."""
    monkeypatch.setattr("pouw.node.rpc.admission.MAX_OPEN_SENDING_BYTES", 16 << 20)
    monkeypatch.setattr("pouw.node.rpc.chain.__version__", "v" * (12 << 20))
    _, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port, limit=1024)
    body = asked("getinfo")
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await until(lambda: rpc.node._rpc._admission._sending)
    assert (await rpc.post(body, {}))[0] == 503
    assert (await rpc.post(body))[0] == 200
    writer.close()
    await until(lambda: not rpc.node._rpc._admission._open_sending)


async def test_a_strangers_batch_holds_little(rpc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 batches that each held 60 MB of answers, waiting for the last one, were gigabytes."""
    monkeypatch.setattr("pouw.node.rpc.chain.__version__", "v" * (MAX_OPEN_BATCH_BYTES // 2))
    batch = b"[" + b",".join([asked("getinfo")] * 3) + b"]"
    _, answers = await rpc.post(batch, {})
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32000, -32000]
    _, answers = await rpc.post(batch)
    assert all("result" in answer for answer in answers)


async def test_strangers_have_few_subscriptions(rpc: Any) -> None:
    async with connected(rpc, with_token=False) as line:
        for _ in range(MAX_OPEN_SUBSCRIPTIONS):
            await line.ask("subscribe", topic="transactions")
        with pytest.raises(Refused, match="-32000"):
            await line.ask("subscribe", topic="heads")
        await line.ask("authenticate", token=rpc.token)
        for _ in range(MAX_SUBSCRIPTIONS - MAX_OPEN_SUBSCRIPTIONS):
            await line.ask("subscribe", topic="heads")


async def test_coming_and_going_costs_no_looks(rpc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each subscription used to walk over all live jobs, or the pool, under the chain's lock."""
    topics, looks = rpc.node._rpc._topics, 0

    def watched(subject: Any, name: str) -> None:
        real = getattr(subject, name)

        def look(*arguments: Any) -> Any:
            nonlocal looks
            looks += 1
            return real(*arguments)

        monkeypatch.setattr(subject, name, look)

    async with connected(rpc, with_token=False) as line:
        for topic in ("transactions", "jobs"):
            await line.ask("subscribe", topic=topic)
        watched(topics._pool, "_compare")
        watched(topics._jobs._watch, "changes")
        watched(topics._jobs._watch, "begin")
        for topic in ("transactions", "jobs") * 20:
            name = await line.ask("subscribe", topic=topic)
            await line.ask("unsubscribe", subscription=name)
    assert looks == 0


async def test_who_leaves_in_the_middle_takes_no_news_from_others(
    rpc: Any, faucet: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscriber cancelled during its look used to lose for all what the look had found."""
    pool = rpc.node._rpc._topics._pool
    async with connected(rpc, with_token=False) as line:
        name = await line.ask("subscribe", topic="transactions")
        # The topic's own look at the pool is put off, so that the newcomer's finds the news.
        monkeypatch.setattr("pouw.node.rpc.pool_topic._GATHER_SECONDS", PATIENCE)
        gate, entered, real = threading.Event(), threading.Event(), pool._compare

        def held(known: Any) -> Any:
            entered.set()
            assert gate.wait(PATIENCE)
            return real(known)

        monkeypatch.setattr(pool, "_compare", held)
        sent = await pay(rpc, faucet)
        leaving = asyncio.create_task(pool.open())
        await until(entered.is_set)
        leaving.cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (await line.news(name))["ids"] == sent
        assert len(pool._feeds) == 1, "nothing is kept of who has left"


async def test_work_goes_on_to_its_end_whoever_is_cancelled() -> None:
    going, done = asyncio.Event(), 0

    async def work(fails: bool) -> int:
        nonlocal done
        await going.wait()
        done += 1
        if fails:
            raise ValueError
        return 5

    for fails in (False, True):
        going.clear()
        waiting = asyncio.create_task(to_the_end(work(fails)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
        going.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert done == 2
    assert await to_the_end(work(False)) == 5
    with pytest.raises(ValueError, match=r"^$"):
        await to_the_end(work(True))
