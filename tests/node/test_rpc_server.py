"""Tokens, framing and bounds of the RPC of a real node: whatever strangers may send."""

import asyncio
import json
import random
from typing import Any

import pytest
from pouw.node.rpc.dispatch import MAX_BATCH
from pouw.node.rpc.methods import ALL_METHODS
from pouw.node.rpc.sockets import MAX_OPEN_REQUEST_BYTES
from structlog.testing import capture_logs


def request(method: Any, params: Any = None, **fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **fields}


async def ask(rpc: Any, document: Any) -> Any:
    return (await rpc.post(json.dumps(document).encode()))[1]


# Who may ----------------------------------------------------------------------------------------


async def test_only_what_changes_asks_for_the_token(rpc: Any) -> None:
    guarded = {method.name for method in ALL_METHODS if method.needs_token}
    assert guarded == {"gettemplate", "sendtransaction", "submitsolution", "addpeer", "stop"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": rpc.token}):
        for name in guarded:
            status, answer = await rpc.post(json.dumps(request(name)).encode(), headers)
            assert status == 401
            assert answer["error"]["code"] == -32001
        status, answer = await rpc.post(json.dumps(request("getinfo")).encode(), headers)
        assert status == 200 and answer["result"]["height"] == 0


async def test_the_token_file_is_for_the_owner_only(rpc: Any) -> None:
    path = rpc.node.config.data / "rpc.token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().strip()) == 64


async def test_large_requests_need_the_token(rpc: Any) -> None:
    padded = json.dumps(request("getinfo")).encode() + b" " * MAX_OPEN_REQUEST_BYTES
    status, answer = await rpc.post(padded, {})
    assert (status, answer["error"]["code"]) == (401, -32001)
    status, answer = await rpc.post(padded)
    assert status == 200 and "result" in answer


async def test_too_large_requests_are_refused(rpc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pouw.node.rpc.server.MAX_REQUEST_BYTES", 1_000)
    status, answer = await rpc.post(b" " * 1_001)
    assert (status, answer["error"]["code"]) == (413, -32000)

    async def pieces() -> Any:  # without a Content-Length
        for _ in range(20):
            yield b" " * 100

    status, answer = await rpc.post(pieces())
    assert (status, answer["error"]["code"]) == (413, -32000)


# The protocol ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "getinfo"}', -32700),
        (b'{"id": ' + b"9" * 5_000 + b"}", -32700),
        (b"1", -32600),
        (b"[]", -32600),
        (b"null", -32600),
        (b'{"id": 1, "method": "getinfo"}', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "getinfo"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', -32600),
        (b'{"jsonrpc": "2.0", "id": [], "method": "getinfo"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1e999, "method": "getinfo"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "getinfo"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "__init__"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getblockhash"}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getinfo", "params": 5}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getinfo", "params": [5]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getinfo", "params": {"node": 1}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getblockhash", "params": [-1]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getblockhash", "params": ["1"]}', -32602),
    ],
)
async def test_malformed_requests_get_the_code_of_the_specification(
    rpc: Any, body: bytes, code: int
) -> None:
    status, answer = await rpc.post(body)
    assert status == 200
    assert answer["error"]["code"] == code
    assert set(answer) == {"jsonrpc", "id", "error"}


async def test_ids_come_back_as_they_were(rpc: Any) -> None:
    for identity in (0, -5, 1.5, "abc", "\ud800", None, 2**70):
        answer = await ask(rpc, request("getinfo", id=identity))
        assert answer["id"] == identity and "result" in answer


async def test_notifications_get_no_answer(rpc: Any) -> None:
    quiet = {"jsonrpc": "2.0", "method": "getinfo"}
    unknown = {"jsonrpc": "2.0", "method": "nothing"}
    for document in (quiet, unknown, [quiet, unknown]):
        assert await rpc.post(json.dumps(document).encode()) == (204, None)


async def test_batches_answer_each_and_keep_the_order(rpc: Any) -> None:
    batch = [
        request("getblockhash", [0], id="a"),
        {"jsonrpc": "2.0", "method": "getinfo"},
        5,
        request("nothing", id="b"),
        request("getinfo", id="c"),
    ]
    answers = await ask(rpc, batch)
    assert [answer["id"] for answer in answers] == ["a", None, "b", "c"]
    assert [answer.get("error", {}).get("code") for answer in answers] == [
        None,
        -32600,
        -32601,
        None,
    ]
    answer = await ask(rpc, [request("getinfo")] * (MAX_BATCH + 1))
    assert answer["error"]["code"] == -32600
    assert len(await ask(rpc, [request("getinfo")] * MAX_BATCH)) == MAX_BATCH


async def test_the_answers_of_a_batch_are_bounded_together(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.dispatch.MAX_ANSWER_BYTES", 1_000)
    answers = await ask(rpc, [request("getinfo", id=i) for i in range(3)])
    assert "result" in answers[0]
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32000, -32000]
    assert [answer["id"] for answer in answers] == [0, 1, 2]


async def test_a_crowd_is_turned_away(rpc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pouw.node.rpc.admission.MAX_CONCURRENT", 1)
    template = await rpc.template()
    waiting = asyncio.create_task(rpc.template(longpoll=template["longpoll"], timeout=1))
    await asyncio.sleep(0.2)
    status, answer = await rpc.post(json.dumps(request("getinfo")).encode())
    assert (status, answer["error"]["code"]) == (503, -32000)
    await waiting
    assert (await rpc.call("getinfo"))["height"] == 0


async def test_strangers_cannot_keep_the_owner_out(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.admission.MAX_OPEN_CONCURRENT", 2)
    writers: list[asyncio.StreamWriter] = []
    for _ in range(2):  # requests that never end
        _, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        await writer.drain()
        writers.append(writer)
    await asyncio.sleep(0.1)
    body = json.dumps(request("getinfo")).encode()
    assert (await rpc.post(body, {}))[0] == 503
    assert (await rpc.post(body))[0] == 200
    for writer in writers:
        writer.close()
    await asyncio.sleep(0.1)
    assert (await rpc.post(body, {}))[0] == 200


async def test_answers_that_nobody_reads_are_bounded(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.admission.MAX_SENDING_BYTES", 16 << 20)
    monkeypatch.setattr("pouw.node.rpc.server._WRITE_SECONDS", 1.0)
    monkeypatch.setattr("pouw.node.rpc.chain.__version__", "v" * (12 << 20))
    _, writer = await asyncio.open_connection("127.0.0.1", rpc.node.rpc_port, limit=1024)
    body = json.dumps(request("getinfo")).encode()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await asyncio.sleep(0.3)
    status, answer = await rpc.post(body)
    assert (status, answer["error"]["code"]) == (503, -32000)
    await asyncio.sleep(1.2)  # the one that does not read has been dropped
    assert (await rpc.post(body))[0] == 200
    writer.close()


async def test_other_paths_and_verbs_are_refused(rpc: Any) -> None:
    async with rpc.session.get(rpc.url) as response:
        assert response.status == 405
    async with rpc.session.post(rpc.url + "/other", data=b"") as response:
        assert response.status == 404
    packed = {"Content-Encoding": "gzip"}
    async with rpc.session.post(rpc.url, data=b"abcde", headers=packed) as response:
        assert response.status == 415


async def test_a_bug_is_an_internal_error_without_its_traceback(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(type(rpc.node._rpc._context.chain), "totals_at", broken)
    with capture_logs() as logs:
        answer = await ask(rpc, request("getusefulness"))
    assert answer["error"]["code"] == -32603
    assert "secret" not in json.dumps(answer)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["rpc.failed"]


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**256, 1.5, 1e300, "", "0", "00"),
    *("00" * 32, "ff" * 32, "zz" * 32, "ab" * 33, "00" * 64, "0" * 10_000, "\x00", "\ud800", "é"),
    *("xpouw1qqqq", "127.0.0.1:1", "[::1]:0", "submitted", "90", "c0", "93a0a0a0"),
    *([], [[]], {}, {"id": 1}, [None] * 100),
]


async def test_no_parameters_make_a_method_fail_on_our_side(rpc: Any) -> None:
    """Seeded fuzzing over every method that does not stop the node."""
    rng = random.Random(2027)
    methods = [method for method in ALL_METHODS if method.name not in ("stop", "gettemplate")]
    await rpc.mine()
    for method in methods:
        names = method.parameters.__struct_fields__
        for _ in range(60):
            known = rng.sample(names, rng.randint(0, len(names)))
            params: Any = {name: rng.choice(VALUES) for name in known}
            if rng.random() < 0.2:
                params[rng.choice(["node", "self", "id", ""])] = rng.choice(VALUES)
            if rng.random() < 0.2:
                params = [rng.choice(VALUES) for _ in range(rng.randint(0, len(names) + 1))]
            answer = await ask(rpc, request(method.name, params))
            code = answer.get("error", {}).get("code")
            assert code != -32603, (method.name, params, answer)
    assert (await rpc.call("getinfo"))["height"] == 1


async def test_mutated_requests_are_always_answered(rpc: Any) -> None:
    rng = random.Random(7)
    seeds = [
        json.dumps(request("getblock", {"height": 0})).encode(),
        json.dumps([request("getinfo"), request("getmempool", [3])]).encode(),
        json.dumps(request("gettransaction", {"id": "ab" * 32})).encode(),
    ]
    for _ in range(400):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            position = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[position] = rng.randrange(256)
                case 1:
                    del data[position : position + rng.randint(1, 9)]
                case _:
                    data[position:position] = data[: rng.randint(1, 9)]
            data = data or bytearray(b" ")
        status, answer = await rpc.post(bytes(data))
        assert status in (200, 204), (bytes(data), status)
        for each in answer if isinstance(answer, list) else [answer] if answer else []:
            assert each.get("error", {}).get("code") != -32603, (bytes(data), each)
