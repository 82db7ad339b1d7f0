"""Peers that promise much and deliver nothing must not stand between honest ones."""

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pouw.p2p.ledger import Tip
from pouw.p2p.limits import DEFAULT_LIMITS, MAX_ANNOUNCED_HEADERS, MAX_INVENTORY
from pouw.p2p.messages import (
    Announcement,
    GetBodies,
    GetHeaders,
    Headers,
    Hello,
    Inventory,
    Ping,
    Pong,
    claim,
)

if TYPE_CHECKING:
    from .conftest import Cluster, MemoryLedger, Stranger

PATIENT = replace(
    DEFAULT_LIMITS,
    tick=0.02,
    gossip_interval=0.01,
    retry_after=0.1,
    headers_patience=0.1,
    body_patience=0.1,
    close_timeout=0.3,
)
"""Timeouts longer than any test: nobody is let go for being silent."""

BOAST = claim(Tip(bytes([9]) * 32, 10**6, 1 << 200))


async def announce_branch(stranger: "Stranger", source: "MemoryLedger") -> None:
    """Announce a whole branch from genesis, as a validated chain."""
    headers = source.headers_after([], 1_000)
    for start in range(0, len(headers), MAX_ANNOUNCED_HEADERS):
        batch = tuple(headers[start : start + MAX_ANNOUNCED_HEADERS])
        tip = Tip(batch[-1].id, batch[-1].header.height, source.tip().work)
        await stranger.send(Announcement(claim(tip), batch))


async def test_silent_boaster_holds_up_neither_headers_nor_transactions(
    cluster: "Cluster",
) -> None:
    honest = await cluster.node(cluster.ledger(20), limits=PATIENT)
    victim = await cluster.node(limits=PATIENT)
    boasters = [await cluster.stranger(victim, tip=BOAST) for _ in range(3)]
    for boaster in boasters:
        await boaster.expect(GetHeaders)
    identity = honest.ledger.take(cluster.bundle(0))
    victim.network.add_peer(honest.address)
    await cluster.until(lambda: victim.ledger.tip().height == 20)
    await cluster.until(lambda: victim.ledger.has_transaction(identity))
    assert victim.peers == 4


async def test_heavier_headers_without_bodies_do_not_hide_a_long_branch(
    cluster: "Cluster",
) -> None:
    """Headers are cheap: whoever serves the blocks it vouches for is followed all the same."""
    honest = await cluster.node(cluster.ledger(40), limits=PATIENT)
    victim = await cluster.node(limits=PATIENT)
    stranger = await cluster.stranger(victim)
    await announce_branch(stranger, cluster.ledger(100))  # nobody will ever see its bodies
    await cluster.until(lambda: victim.ledger.best_header().height == 100)
    victim.network.add_peer(honest.address)
    await cluster.until(lambda: victim.ledger.tip() == honest.ledger.tip())
    assert victim.ledger.best_header().height == 100
    honest.mine()
    await cluster.until(lambda: victim.ledger.tip().height == 41)


async def test_silent_peers_that_hold_the_whole_window_do_not_stop_the_next_body(
    cluster: "Cluster",
) -> None:
    limits = replace(PATIENT, body_window=8, bodies_per_peer=8)
    source = cluster.ledger(30)
    victim = await cluster.node(limits=limits)
    mute = await cluster.stranger(victim, tip=claim(source.tip()))
    await mute.expect(GetHeaders)
    await mute.send(Headers(tuple(source.headers_after([], 1_000))))
    assert len((await mute.expect(GetBodies)).ids) == 8
    honest = await cluster.node(source, limits=PATIENT)
    victim.network.add_peer(honest.address)
    await cluster.until(lambda: victim.ledger.tip() == source.tip())
    assert victim.peers == 2


async def test_transactions_wait_for_headers_only_for_a_while(cluster: "Cluster") -> None:
    victim = await cluster.node(limits=replace(PATIENT, syncing_patience=0.5))
    stranger = await cluster.stranger(victim)
    await announce_branch(stranger, cluster.ledger(30))
    await cluster.until(lambda: victim.network.status().syncing)
    await cluster.until(lambda: not victim.network.status().syncing)
    honest = await cluster.node(limits=PATIENT)
    identity = honest.ledger.take(cluster.bundle(0))
    victim.network.add_peer(honest.address)
    await cluster.until(lambda: victim.ledger.has_transaction(identity))


async def test_late_side_blocks_are_not_fetched(cluster: "Cluster") -> None:
    """Far below the tip a block is cheap to make, and what is stored stays."""
    limits = replace(PATIENT, max_announced=4)
    victim = await cluster.node(cluster.ledger(20), limits=limits)
    stranger = await cluster.stranger(victim)
    await stranger.expect(Hello)
    path = victim.ledger.headers_after([], 1_000)
    for height, is_fetched in ((10, False), (18, True)):
        block = victim.ledger.draft(parent=path[height].id)
        await stranger.send(Announcement(claim(Tip(block.id, height, 1)), (block.sealed,)))
        await cluster.until(lambda b=block.id: victim.ledger.knows_header(b))
        if is_fetched:
            assert (await stranger.expect(GetBodies)).ids == (block.id,)
        else:
            with pytest.raises(TimeoutError):
                await stranger.expect(GetBodies, seconds=0.2)


async def test_many_small_inventories_cost_little_each(
    cluster: "Cluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is wanted already, and however often strangers name one transaction more."""
    victim = await cluster.node(limits=PATIENT)
    strangers = [await cluster.stranger(victim) for _ in range(3)]
    for stranger in strangers:
        ids = tuple(os.urandom(32) for _ in range(MAX_INVENTORY))
        await stranger.send(Inventory(ids))
    lookups = 0
    plain = victim.ledger.has_transaction

    def counted(transaction: bytes) -> bool:
        nonlocal lookups
        lookups += 1
        return plain(transaction)

    monkeypatch.setattr(victim.ledger, "has_transaction", counted)
    await settle(strangers[0])
    lookups = 0
    await strangers[0].send(*(Inventory((os.urandom(32),)) for _ in range(500)))
    await settle(strangers[0])
    assert lookups < 2_000


async def test_connections_without_a_request_are_bounded(cluster: "Cluster") -> None:
    limits = replace(PATIENT, max_inbound=2, max_handshakes=2)
    victim = await cluster.node(limits=limits)
    opened: list[Any] = []
    try:
        for _ in range(60):
            opened.append(await asyncio.open_connection("127.0.0.1", victim.network.port))
        await asyncio.sleep(0.2)
        ended = sum(reader.at_eof() or reader.exception() is not None for reader, _ in opened)
        assert 60 - ended == 36
    finally:
        for _, writer in opened:
            writer.close()
    await asyncio.sleep(0.1)
    stranger = await cluster.stranger(victim)
    await stranger.expect(Hello)


async def settle(stranger: "Stranger") -> None:
    """Return when the node has handled all that was sent to it."""
    await stranger.send(Ping(bytes(8)))
    await stranger.expect(Pong)
