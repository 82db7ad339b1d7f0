"""The WebSocket client against a server that keeps to the protocol, or does not."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pouw.wallet import stream as module
from pouw.wallet.client import RpcError
from pouw.wallet.stream import StreamLost, open_stream

Behaviour = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]


@asynccontextmanager
async def serving(behaviour: Behaviour, seen: list[Any] | None = None) -> AsyncGenerator[str]:
    """Serve WebSockets that read one request and then behave; yields the HTTP URL."""

    async def accept(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/node/ws":
            return web.Response(status=404)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked = await socket.receive_json()
        if seen is not None:
            seen.append((asked, request.headers.get("Authorization")))
        await behaviour(socket, asked)
        await socket.close()
        return socket

    runner = web.ServerRunner(web.Server(accept))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/node"
    finally:
        await runner.cleanup()


def answering(*texts: str) -> Behaviour:
    async def behave(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.send_json({"jsonrpc": "2.0", "id": asked["id"], "result": "7"})
        for text in texts:
            await socket.send_str(text)
        await socket.receive()

    return behave


def notification(result: Any, subscription: Any = "7") -> str:
    params = {"subscription": subscription, "result": result}
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})


async def test_news_come_in_order() -> None:
    seen: list[Any] = []
    behaviour = answering(notification({"height": 2**70}), notification([]))
    async with (
        serving(behaviour, seen) as url,
        await open_stream(url, "secret", topic="jobs", job="ab") as stream,
    ):
        assert await stream.next(20) == {"height": 2**70}
        assert await stream.next(20) == []
        assert await stream.next(0) is None
    request = {"jsonrpc": "2.0", "id": 1, "method": "subscribe"}
    assert seen == [(request | {"params": {"topic": "jobs", "job": "ab"}}, "Bearer secret")]


async def test_a_refusal_carries_code_and_message() -> None:
    async def refuse(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        error = {"code": -32001, "message": "no\ntoken\x1b[0m", "data": {"x": 1}}
        await socket.send_json({"jsonrpc": "2.0", "id": asked["id"], "error": error})

    async with serving(refuse) as url:
        with pytest.raises(RpcError) as caught:
            await open_stream(url, None, topic="heads")
    assert (caught.value.code, caught.value.message) == (-32001, "no token?[0m")
    assert caught.value.data == {"x": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "1" * 5_000,
        "[" * 100_000,
        '{"jsonrpc": "2.0", "id": 2, "result": "7"}',
        '{"jsonrpc": "2.0", "id": 1, "result": 7}',
        '{"jsonrpc": "2.0", "id": 1}',
        '{"jsonrpc": "2.0", "id": 1, "error": 5}',
        '{"jsonrpc": "2.0", "id": 1, "error": {"code": "x", "message": ""}}',
        notification({}),
        " " * (module.MAX_MESSAGE_BYTES + 1),
    ],
)
async def test_what_is_no_answer_to_a_subscription_ends_it(text: str) -> None:
    async def behave(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.send_str(text)
        await socket.receive()

    async with serving(behave) as url:
        with pytest.raises(StreamLost, match=f"no news from {url}"):
            await open_stream(url, None, topic="heads")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"jsonrpc": "2.0", "id": 1, "result": "7"}',
        notification({}, "8"),
        notification({}, 7),
        '{"params": {"subscription": "7"}}',
        " " * (module.MAX_MESSAGE_BYTES + 1),
    ],
)
async def test_what_is_no_notification_ends_the_stream(text: str) -> None:
    async with (
        serving(answering(text)) as url,
        await open_stream(url, None, topic="heads") as stream,
    ):
        with pytest.raises(StreamLost):
            await stream.next(20)


async def test_the_end_of_the_connection_is_noticed() -> None:
    async def leave(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.send_json({"jsonrpc": "2.0", "id": asked["id"], "result": "7"})

    async with serving(leave) as url, await open_stream(url, None, topic="heads") as stream:
        for _ in range(2):
            with pytest.raises(StreamLost):
                await stream.next(20)


async def test_a_server_that_answers_no_ping_counts_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.2)
    behave = answering()

    async def deaf(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        socket._autoping = False
        await behave(socket, asked)  # reads one frame: the first ping
        await socket.receive()

    async with serving(deaf) as url, await open_stream(url, None, topic="heads") as stream:
        with pytest.raises(StreamLost):
            await stream.next(20)


async def test_where_no_node_is_there_is_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering()) as url:
        with pytest.raises(StreamLost, match="404"):
            await open_stream(f"{url}/other", None, topic="heads")
    with pytest.raises(StreamLost):
        await open_stream(url, None, topic="heads")

    async def silent(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.receive()

    monkeypatch.setattr(module, "OPEN_SECONDS", 0.2)
    async with serving(silent) as url:
        with pytest.raises(StreamLost, match=r"no answer in 0\.2 seconds"):
            await open_stream(url, None, topic="heads")
