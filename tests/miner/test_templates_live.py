"""Following a real node over real sockets: pushes, restarts, and nodes without WebSockets."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pouw.core.keys import PrivateKey, format_address
from pouw.genesis import TINY
from pouw.miner.node_link import NodeAway, NodeLink
from pouw.miner.templates import Template, TemplateSource
from pouw.node.rpc.topics import TemplateFeed
from pouw.node.token import TOKEN_FILE
from pouw.tests.node.conftest import rpc, start_node

__all__ = ["rpc", "start_node"]  # fixtures

MINER = PrivateKey(b"a miner that follows a real node")
PAYOUT = format_address(MINER.address, TINY.address_prefix)
PATIENCE = 20.0


class CountingLink(NodeLink):
    """Remembers which methods were called by HTTP."""

    def __init__(self, url: str, folder: Path) -> None:
        self.called: list[str] = []
        super().__init__(url, lambda: _read(folder / TOKEN_FILE))

    def call(self, method: str, /, **params: Any) -> Any:
        self.called.append(method)
        return super().call(method, **params)


def _read(path: Path) -> str | None:
    return path.read_text().strip() if path.exists() else None


def source_of(rpc: Any) -> tuple[TemplateSource, CountingLink]:
    link = CountingLink(rpc.url, rpc.node.config.data)
    return TemplateSource(link, MINER.public, PAYOUT), link


@asynccontextmanager
async def following(source: TemplateSource) -> AsyncGenerator[None]:
    """Let a thread follow the node, and see that it ends when it is told to."""
    stop = threading.Event()
    thread = threading.Thread(target=source.follow, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()


async def beyond(source: TemplateSource, parent: bytes) -> Template:
    template = await asyncio.to_thread(source.wait_beyond, parent, PATIENCE)
    assert template is not None
    assert template.header.parent != parent
    return template


async def test_templates_are_pushed_and_nothing_is_polled(rpc: Any) -> None:
    source, link = source_of(rpc)
    async with following(source):
        template = await beyond(source, bytes(32))
        for height in range(2, 5):
            block = await rpc.mine()
            template = await beyond(source, template.header.parent)
            assert template.header.parent.hex() == block
            assert template.header.height == height
        assert link.called == []
        fresh = await asyncio.to_thread(source.refresh)
        assert fresh.header.parent == template.header.parent
    assert link.called == ["gettemplate"]


async def test_a_restarted_node_is_followed_with_its_new_token(
    rpc: Any, start_node: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source, link = source_of(rpc)
    async with following(source):
        template = await beyond(source, bytes(32))
        port = rpc.node.rpc_port
        await rpc.node.stop()
        async with asyncio.timeout(PATIENCE):
            while not link.away:
                await asyncio.sleep(0.05)
        again = await start_node(rpc_port=port)
        assert again.token != rpc.token
        block = await again.mine()
        template = await beyond(source, template.header.parent)
        assert template.header.parent.hex() == block
        assert not link.away
        link.called.clear()
        async with asyncio.timeout(PATIENCE):
            while not again.node._rpc._sockets.connections:
                await asyncio.sleep(0.05)
        await again.mine()
        await beyond(source, template.header.parent)
    told = capsys.readouterr().out
    assert told.count("node.away") == 1
    assert told.count("node.back") == 1
    assert "template.refused" not in told


async def test_a_node_without_websockets_is_polled(
    rpc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.sockets.MAX_SOCKETS", 0)
    source, link = source_of(rpc)
    async with following(source):
        template = await beyond(source, bytes(32))
        for _ in range(2):
            await rpc.mine()
            template = await beyond(source, template.header.parent)
        assert "gettemplate" in link.called
        monkeypatch.undo()
        await rpc.mine()
        template = await beyond(source, template.header.parent)
        async with asyncio.timeout(PATIENCE):
            while not rpc.node._rpc._sockets.connections:
                await asyncio.sleep(0.05)


async def test_a_call_that_failed_in_passing_does_not_stop_a_listener(rpc: Any) -> None:
    source, link = source_of(rpc)
    async with following(source):
        await beyond(source, bytes(32))
        link._failed("a cable was moved")
        async with asyncio.timeout(PATIENCE):
            while link.away:
                await asyncio.sleep(0.05)


async def test_a_template_for_another_miner_is_refused(
    rpc: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, _ = source_of(rpc)
    honest = TemplateFeed.next
    sent: list[Any] = []

    async def dishonest(feed: TemplateFeed) -> Any:
        sent.append(await honest(feed))
        return sent[-1] | ({"header": "00"} if len(sent) == 1 else {"id": 5})

    monkeypatch.setattr(TemplateFeed, "next", dishonest)
    async with following(source):
        async with asyncio.timeout(PATIENCE):
            while len(sent) < 3:
                await asyncio.sleep(0.05)
        assert source.latest is None
    told = capsys.readouterr().out
    assert "unreadable header" in told
    assert "form unknown" in told


async def test_a_node_that_is_not_there_is_told_once(
    rpc: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source, link = source_of(rpc)
    await rpc.node.stop()
    async with following(source):
        async with asyncio.timeout(PATIENCE):
            while link.called.count("gettemplate") < 3:
                await asyncio.sleep(0.05)
        with pytest.raises(NodeAway):
            await asyncio.to_thread(source.refresh)
    assert capsys.readouterr().out.count("node.away") == 1
