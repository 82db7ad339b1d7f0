"""The RPC client against a real HTTP server that answers badly in every way."""

import json
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.wallet import client as module
from pouw.wallet.client import RpcClient, RpcError

Reply = Callable[[BaseHTTPRequestHandler, bytes], None]


@contextmanager
def serving(reply: Reply) -> Generator[str]:
    """Serve one handler over HTTP in a thread; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reply(self, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def answering(body: bytes, status: int = 200) -> Reply:
    return lambda handler, request: send(handler, body, status)


@contextmanager
def raw_serving(answer: bytes) -> Generator[str]:
    """Accept one connection, read the request's start, write bytes, close."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            received = b""
            while b'"params"' not in received:
                received += connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join(5)
        listener.close()


def response(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1} | fields).encode()


def test_request_and_result() -> None:
    seen: list[tuple[Any, str | None, str]] = []

    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        request = json.loads(body)
        seen.append((request, handler.headers["Authorization"], handler.path))
        send(handler, response(result={"echo": request["params"], "big": 2**255}))

    with serving(reply) as url:
        client = RpcClient(url + "/rpc", token="abc123")
        assert client.call("getblob", root="00ff", n=1) == {
            "echo": {"root": "00ff", "n": 1},
            "big": 2**255,
        }
        assert RpcClient(url).call("getinfo")["echo"] == {}
    first, second = seen
    assert first[0]["jsonrpc"] == "2.0" and first[0]["method"] == "getblob"
    assert first[1:] == ("Bearer abc123", "/rpc")
    assert second[1:] == (None, "/")


def test_null_is_a_result() -> None:
    with serving(answering(response(result=None))) as url:
        assert RpcClient(url).call("getblob") is None


def test_parameters_may_have_any_name() -> None:
    with serving(answering(response(result=1))) as url:
        assert RpcClient(url).call("m", method="x", self="y") == 1


@pytest.mark.parametrize("status", [200, 400, 500])
def test_rpc_error(status: int) -> None:
    error = {"code": -32000, "message": "tx-nonce:\n is 3,\x1b[2J not 4", "data": {"nonce": 3}}
    with serving(answering(response(error=error), status)) as url:
        with pytest.raises(RpcError) as caught:
            RpcClient(url).call("sendtransaction")
        assert caught.value.code == -32000
        assert str(caught.value) == caught.value.message == "tx-nonce: is 3,?[2J not 4"
        assert caught.value.data == {"nonce": 3}
        assert isinstance(caught.value, UserError)


def test_error_before_the_id_was_read() -> None:
    with (
        serving(answering(response(id=None, error={"code": -32700, "message": "parse"}))) as url,
        pytest.raises(RpcError, match="parse"),
    ):
        RpcClient(url).call("m")


def test_long_error_message_is_cut() -> None:
    with serving(answering(response(error={"code": 1, "message": "x" * 10_000}))) as url:
        with pytest.raises(RpcError) as caught:
            RpcClient(url).call("m")
        assert len(str(caught.value)) == 500


MALFORMED = [
    b"",
    b"hello",
    b"\xff\xfe",
    b"<html>",
    b"null",
    b"[]",
    b"1",
    b"{}",
    b"[" * 200_000,
    b"9" * 10_000,
    response(),
    response(result=1, error={"code": 1, "message": "x"}),
    response(jsonrpc="1.0", result=1),
    response(id=2, result=1),
    response(id="1", result=1),
    response(error="x"),
    response(error=None),
    response(error={"code": "1", "message": "x"}),
    response(error={"code": 1, "message": 2}),
    response(result=1)[:-1],
]


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_answers(body: bytes) -> None:
    with serving(answering(body)) as url:
        with pytest.raises(UserError, match="is not a node") as caught:
            RpcClient(url).call("m")
        assert not isinstance(caught.value, RpcError)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [204, 301, 404, 500, 502])
def test_other_servers(status: int) -> None:
    with (
        serving(answering(b"<html>nginx</html>", status)) as url,
        pytest.raises(UserError, match=f"HTTP {status}"),
    ):
        RpcClient(url).call("m")


@pytest.mark.parametrize("status", [401, 403])
def test_missing_token(status: int) -> None:
    with (
        serving(answering(b"", status)) as url,
        pytest.raises(UserError, match="refuses 'stop' without its token"),
    ):
        RpcClient(url).call("stop")


def test_node_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UserError, match=f"no node answers at .*:{port}: start one with `pouw node"):
        RpcClient(f"http://127.0.0.1:{port}").call("m")


@pytest.mark.parametrize("host", ["x" * 64, "a..b"])
def test_host_that_no_resolver_takes(host: str) -> None:
    with pytest.raises(UserError, match="no node answers"):
        RpcClient(f"http://{host}:1").call("m")


def test_silent_node() -> None:
    release = threading.Event()

    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        release.wait(5)

    with serving(reply) as url:
        try:
            with pytest.raises(UserError, match=r"did not answer within 0\.1 seconds"):
                RpcClient(url, timeout=0.1).call("m")
        finally:
            release.set()


def test_a_lone_surrogate_is_not_json() -> None:
    """It could be neither printed nor sent on."""
    body = b'{"jsonrpc": "2.0", "id": 1, "result": "\\ud800"}'
    with serving(answering(body)) as url, pytest.raises(UserError, match="not JSON"):
        RpcClient(url).call("m")


def test_a_node_that_drips_bytes_does_not_hold_a_call() -> None:
    release = threading.Event()

    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not release.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    with serving(reply) as url:
        try:
            with pytest.raises(UserError, match=r"did not answer within 0\.3 seconds"):
                RpcClient(url, timeout=0.3).call("m")
        finally:
            release.set()


def test_https_to_a_plain_server() -> None:
    with serving(answering(b"")) as url, pytest.raises(UserError, match="no secure connection"):
        RpcClient(url.replace("http:", "https:")).call("m")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n{}",
    ],
)
def test_broken_http(answer: bytes) -> None:
    with raw_serving(answer) as url, pytest.raises(UserError) as caught:
        RpcClient(url, timeout=5).call("m")
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_for_an_answer(body: bytes) -> None:
    with raw_serving(b"HTTP/1.1 200 OK\r\n\r\n" + body) as url, pytest.raises(UserError):
        RpcClient(url, timeout=5).call("m")


@pytest.mark.parametrize("announced", [True, False])
def test_answer_size_is_bounded(announced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESPONSE_BYTES", 1000)

    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b" " * 100)
        except OSError:
            pass  # the client has hung up

    with serving(reply) as url, pytest.raises(UserError, match="more than 1000 bytes"):
        RpcClient(url).call("m")


def test_largest_answer_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    body = response(result="x" * 5_000_000)
    monkeypatch.setattr(module, "MAX_RESPONSE_BYTES", len(body))
    with serving(answering(body)) as url:
        assert RpcClient(url).call("m") == "x" * 5_000_000


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9332",
        "localhost",
        "ftp://127.0.0.1",
        "http://",
        "http://:80",
        "http://host:notaport",
        "http://host:0",
        "http://host:99999",
        "http://user:secret@host",
        "http://host/?x=1",
        "http://host/#x",
        "http://ho st",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://[::1",
        "http://höst",
    ],
)
def test_bad_urls(url: str) -> None:
    with pytest.raises(UserError, match="is not a node's address") as caught:
        RpcClient(url)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_for_a_url(text: str) -> None:
    for url in (text, "http://" + text, "http://host:" + text):
        try:
            RpcClient(url)
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "é", "\x00"])
def test_bad_tokens(token: str) -> None:
    with pytest.raises(UserError, match="token"):
        RpcClient("http://127.0.0.1:1", token=token)


def test_one_client_in_many_threads() -> None:
    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        send(handler, response(result=json.loads(body)["params"]["n"]))

    with serving(reply) as url:
        client = RpcClient(url)
        results: dict[int, Any] = {}

        def work(n: int) -> None:
            results[n] = client.call("echo", n=n)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {n: n for n in range(4)}
