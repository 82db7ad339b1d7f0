"""WebSockets of a real node: the same methods, rights and bounds as by HTTP."""

import asyncio
import json
import socket as sockets
from typing import Any

import aiohttp
import pytest
from pouw.core.keys import PrivateKey
from pouw.node.rpc.sockets import MAX_CALLS, MAX_OPEN_REQUEST_BYTES
from pouw.tests.node.rpc.line import Refused, connected

ASKER = PrivateKey(b"a miner that only asks the node!")
HELLO = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def handshake_status(rpc: Any, **more: Any) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(rpc, **more):
            pass
    return caught.value.status


async def test_methods_batches_and_notifications_are_those_of_http(rpc: Any) -> None:
    await rpc.mine()
    info = {"jsonrpc": "2.0", "method": "getinfo"}
    async with connected(rpc) as line:
        assert await line.ask("getinfo") == await rpc.call("getinfo")
        assert await line.ask("getblock", height=1) == await rpc.call("getblock", height=1)
        assert (await line.ask("getsupply"))["audited"]
        await line.send(info)
        await line.send([info, info | {"id": "a"}, 5])
        first, second = await line.receive()
        assert (first["id"], first["result"]["height"]) == ("a", 1)
        assert second["error"]["code"] == -32600
        await line.send([info])
        await line.send(info | {"id": None})
        assert (await line.receive())["id"] is None


async def test_the_token_is_asked_for_as_by_http(rpc: Any) -> None:
    template = {"miner": "00" * 32, "payout": rpc.address(ASKER)}
    async with connected(rpc, with_token=False) as line:
        for wrong in ("", "wrong", "\ud800", rpc.token[:-1]):
            with pytest.raises(Refused, match="-32001"):
                await line.ask("authenticate", token=wrong)
        with pytest.raises(Refused, match="-32001"):
            await line.ask("gettemplate", **template)
        assert (await line.ask("getinfo"))["height"] == 0
        assert await line.ask("authenticate", token=rpc.token) is True
        assert (await line.ask("gettemplate", **template))["height"] == 1
    async with connected(rpc) as line:
        assert (await line.ask("gettemplate", **template))["height"] == 1
    async with connected(rpc, with_token=False) as line:
        with pytest.raises(Refused, match="-32001"):
            await line.ask("gettemplate", **template)


async def test_the_methods_of_connections_are_not_offered_by_http(
    rpc: Any, call_failed: Any
) -> None:
    for method in ("authenticate", "subscribe", "unsubscribe"):
        with pytest.raises(call_failed) as caught:
            await rpc.call(method)
        assert caught.value.code == -32601


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -32700),
        ("{", -32700),
        ("[" * 50_000, -32700),
        ("\x00", -32700),
        ("[]", -32600),
        ("null", -32600),
        ('{"jsonrpc": "2.0", "id": 1, "method": "nothing"}', -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "add"}', -32601),
    ],
)
async def test_garbage_is_answered_and_the_line_stays_open(rpc: Any, text: str, code: int) -> None:
    async with connected(rpc) as line:
        await line.send(text)
        assert (await line.receive())["error"]["code"] == code
        assert (await line.ask("getinfo"))["height"] == 0


async def test_frames_are_bounded_and_text(rpc: Any) -> None:
    async with connected(rpc, with_token=False) as line:
        await line.send(" " * MAX_OPEN_REQUEST_BYTES)
        assert await line.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    async with connected(rpc) as line:
        padded = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getinfo"})
        await line.send(padded + " " * MAX_OPEN_REQUEST_BYTES)
        assert (await line.receive())["result"]["height"] == 0
        await line.socket.send_bytes(b"{}")
        assert await line.closed() == aiohttp.WSCloseCode.UNSUPPORTED_DATA


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff" * 20,
        b"\x81\x85\x00\x00\x00\x00\xff\xfe\xfd\xfc\xfb",  # a text that is not UTF-8
        b"\x81\xff" + b"\xff" * 8,  # a text of 2⁶⁴ − 1 bytes
        b"\x80\x80\x00\x00\x00\x00",  # the continuation of nothing
        b"\xc1\x80\x00\x00\x00\x00",  # reserved bits
    ],
)
async def test_broken_frames_end_their_connection_only(rpc: Any, frame: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port)
    writer.write(HELLO)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    writer.write(frame)
    async with asyncio.timeout(20):
        assert (await reader.read())[:1] in (b"\x88", b""), (
            "a close frame, or nothing, then the end"
        )
    writer.close()
    async with connected(rpc) as line:
        assert (await line.ask("getinfo"))["height"] == 0


async def test_pages_of_other_sites_are_turned_away(rpc: Any) -> None:
    port = rpc.node.rpc_port
    for origin in ("https://example.org", "null", f"http://127.0.0.1:{port + 1}", "http://["):
        headers = {"Origin": origin}
        assert await handshake_status(rpc, headers=headers) == 403
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getinfo"}).encode()
        async with rpc.session.post(rpc.url, data=body, headers=headers) as response:
            assert response.status == 403
    async with connected(rpc, headers={"Origin": f"http://127.0.0.1:{port}"}) as line:
        assert (await line.ask("getinfo"))["height"] == 0


async def test_a_name_that_points_here_is_foreign(rpc: Any) -> None:
    name = f"rebound.example.org:{rpc.node.rpc_port}"
    headers = {"Origin": f"http://{name}", "Host": name}
    assert await handshake_status(rpc, headers=headers) == 403


async def test_what_is_no_handshake_is_refused(rpc: Any) -> None:
    async with rpc.session.get(f"{rpc.url}/ws") as response:
        assert response.status == 426
    async with rpc.session.post(f"{rpc.url}/ws", data=b"{}") as response:
        assert response.status == 426


async def test_connections_are_bounded_and_strangers_leave_room(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.sockets.MAX_OPEN_SOCKETS", 1)
    monkeypatch.setattr("pouw.node.rpc.sockets.MAX_SOCKETS", 3)
    async with connected(rpc, with_token=False) as stranger:
        assert await handshake_status(rpc, with_token=False) == 503
        await stranger.ask("authenticate", token=rpc.token)
        async with connected(rpc, with_token=False), connected(rpc):
            assert await handshake_status(rpc) == 503
    assert (await rpc.call("getinfo"))["height"] == 0


async def test_calls_under_way_are_bounded(rpc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    template = await rpc.template()
    params = {
        "miner": "00" * 32,
        "payout": rpc.address(ASKER),
        "longpoll": template["longpoll"],
        "timeout": 60,
    }
    async with connected(rpc) as line:
        for number in range(MAX_CALLS):
            await line.send(
                {"jsonrpc": "2.0", "id": number, "method": "gettemplate", "params": params}
            )
        await line.send({"jsonrpc": "2.0", "id": "more", "method": "getinfo"})
        answer = await line.receive()
        assert (answer["id"], answer["error"]["code"]) == ("more", -32000)
        monkeypatch.setattr("pouw.node.rpc.admission.MAX_CONCURRENT", MAX_CALLS)
        status, _ = await rpc.post(b"{}")
        assert status == 503, "HTTP and WebSockets count together"
        monkeypatch.undo()
        await rpc.mine()
        answers = [await line.receive() for _ in range(MAX_CALLS)]
        assert {each["id"] for each in answers} == set(range(MAX_CALLS))
        assert all(each["result"]["height"] == 2 for each in answers)


async def test_who_does_not_read_is_dropped(rpc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pouw.node.rpc.sockets._WRITE_SECONDS", 0.5)
    monkeypatch.setattr("pouw.node.rpc.chain.__version__", "v" * (12 << 20))
    async with connected(rpc, max_msg_size=0) as line:
        for number in range(3):
            await line.send({"jsonrpc": "2.0", "id": number, "method": "getinfo"})
        async with asyncio.timeout(20):
            while rpc.node._rpc._sockets.connections:
                await asyncio.sleep(0.05)
    assert rpc.node._rpc._admission._sending == 0
    assert rpc.node._rpc._admission._under_way == 0


async def test_who_does_not_answer_pings_is_dropped(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.sockets._HEARTBEAT_SECONDS", 0.2)
    async with connected(rpc, autoping=False) as line:
        assert (await line.socket.receive(20)).type is aiohttp.WSMsgType.PING
        async with asyncio.timeout(20):
            while rpc.node._rpc._sockets.connections:
                await asyncio.sleep(0.05)


async def test_open_connections_are_told_that_the_node_stops(rpc: Any) -> None:
    template = await rpc.template()
    params = {"miner": "00" * 32, "payout": rpc.address(ASKER), "timeout": 60}
    raw = sockets.create_connection(("127.0.0.1", rpc.node.rpc_port))
    raw.sendall(HELLO)  # and never reads
    async with connected(rpc) as line:
        await line.ask("subscribe", topic="heads")
        await line.ask("subscribe", topic="transactions")
        await line.send(
            {
                "jsonrpc": "2.0",
                "id": "poll",
                "method": "gettemplate",
                "params": params | {"longpoll": template["longpoll"]},
            }
        )
        await line.ask("getinfo")
        stopping = asyncio.create_task(rpc.node.stop())
        assert (await line.receive())["id"] == "poll", "a long poll is answered before the end"
        assert await line.closed() == aiohttp.WSCloseCode.GOING_AWAY
        await asyncio.wait_for(stopping, 20)
    raw.close()


async def test_stop_is_answered(rpc: Any) -> None:
    async with connected(rpc) as line:
        assert await line.ask("stop") == {"stopping": True}
        await asyncio.wait_for(rpc.node.wait(), 20)
