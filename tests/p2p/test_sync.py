"""Sync over real sockets: late joiners, branches, peers that lie, stall or vanish."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pouw.core.codec import encode
from pouw.core.hashing import Hash
from pouw.p2p.connection import CloseCode
from pouw.p2p.ledger import Tip
from pouw.p2p.limits import DEFAULT_LIMITS, MAX_HEADERS
from pouw.p2p.messages import (
    Announcement,
    BodiesMissing,
    Body,
    GetBodies,
    GetHeaders,
    Headers,
    Hello,
    claim,
)

if TYPE_CHECKING:
    from .conftest import Cluster, MemoryLedger, Node, Stranger

IMPATIENT = replace(
    DEFAULT_LIMITS,
    tick=0.02,
    body_timeout=0.3,
    headers_timeout=0.3,
    retry_after=0.1,
    close_timeout=0.3,
)


async def claiming_stranger(cluster: "Cluster", node: "Node", source: "MemoryLedger") -> "Stranger":
    """A stranger that claims the chain of `source` and has delivered its headers."""
    stranger = await cluster.stranger(node, tip=claim(source.tip()))
    await stranger.expect(Hello)
    request = await stranger.expect(GetHeaders)
    await stranger.send(Headers(tuple(source.headers_after(request.locator, MAX_HEADERS))))
    return stranger


async def test_late_joiner_syncs_three_hundred_blocks(cluster: "Cluster") -> None:
    first = await cluster.node(cluster.ledger(300))
    second = await cluster.node(peers=[first])
    await cluster.level()
    late = await cluster.node(peers=[first, second])
    await cluster.level()
    assert late.ledger.tip().height == 300
    assert late.ledger.body_calls == 300  # each body was checked once


async def test_bodies_are_asked_of_several_peers_and_delivered_in_order(
    cluster: "Cluster",
) -> None:
    source = cluster.ledger(40)
    node = await cluster.node()
    first = await claiming_stranger(cluster, node, source)
    asked_first = (await first.expect(GetBodies)).ids
    second = await cluster.stranger(node, tip=claim(source.tip()))
    asked_second = (await second.expect(GetBodies)).ids
    order = [sealed.id for sealed in source.headers_after([], 40)]
    assert [*asked_first, *asked_second] == order[: len(asked_first) + len(asked_second)]
    await second.send(*(Body(block, source.body(block) or b"") for block in asked_second))
    await cluster.until(lambda: f"{len(asked_second)} waiting" in node.network.waiting_for())
    assert node.ledger.tip().height == 0
    await first.send(*(Body(block, source.body(block) or b"") for block in asked_first))
    await cluster.until(lambda: node.ledger.tip().height == len(asked_first) + len(asked_second))


async def test_more_headers_than_one_batch(cluster: "Cluster") -> None:
    first = await cluster.node(cluster.ledger(2 * MAX_HEADERS + 10))
    late = await cluster.node(peers=[first])
    await cluster.level()
    assert late.ledger.tip().height == 2 * MAX_HEADERS + 10


async def test_long_heavy_branch_replaces_ours(cluster: "Cluster") -> None:
    """The other branch gets heavier only after more headers than one batch holds."""
    ours, theirs = cluster.ledger(), cluster.ledger()
    ours.mine(10, work=100)
    theirs.mine(MAX_HEADERS + 600)
    first = await cluster.node(ours)
    second = await cluster.node(theirs, peers=[first])
    await cluster.level()
    assert first.ledger.tip() == second.ledger.tip() == theirs.tip()
    assert first.ledger.tip().work == MAX_HEADERS + 600


async def test_partition_heals_to_the_heavier_branch(cluster: "Cluster") -> None:
    left = await cluster.node(cluster.ledger(5))
    right = await cluster.node(peers=[left])
    await cluster.level()
    await cluster.stop(right)
    left.mine(4)
    right.ledger.mine(2, work=3)  # fewer blocks, more work
    back = await cluster.node(right.ledger, peers=[left])
    await cluster.level()
    assert left.ledger.tip().height == 7
    assert left.ledger.tip().work == 11
    back.mine()
    await cluster.level()


async def test_equal_work_keeps_the_first_seen(cluster: "Cluster") -> None:
    left, right = await cluster.node(), await cluster.node()
    left.ledger.mine()
    right.ledger.mine()
    left.network.add_peer(right.address)
    await cluster.until(lambda: left.peers == 1)
    await asyncio.sleep(0.1)
    assert left.ledger.tip().id != right.ledger.tip().id
    right.mine()
    await cluster.level()
    assert left.ledger.tip().height == 2


async def test_body_mismatch_is_charged_to_the_sender_and_refetched(cluster: "Cluster") -> None:
    honest = await cluster.node(cluster.ledger(10))
    victim = await cluster.node(limits=IMPATIENT)
    liar = await claiming_stranger(cluster, victim, honest.ledger)
    asked = (await liar.expect(GetBodies)).ids
    wrong = honest.ledger.draft(transactions=(cluster.bundle(0).transaction,))
    await liar.send(*(Body(block, encode(wrong.body)) for block in asked))
    code, reason = await liar.expect_close()
    assert code == CloseCode.MISBEHAVED
    assert reason.startswith("body-mismatch")
    assert victim.ledger.tip().height == 0
    victim.network.add_peer(honest.address)
    await cluster.level()  # the blocks themselves were not condemned


async def test_peer_that_vanishes_is_replaced(cluster: "Cluster") -> None:
    honest = await cluster.node(cluster.ledger(40))
    victim = await cluster.node(limits=replace(IMPATIENT, body_timeout=30.0))
    stranger = await claiming_stranger(cluster, victim, honest.ledger)
    asked = (await stranger.expect(GetBodies)).ids
    body = honest.ledger.body(asked[0])
    await stranger.send(Body(asked[0], body or b""))
    await cluster.until(lambda: victim.ledger.tip().height == 1)
    victim.network.add_peer(honest.address)
    await cluster.until(lambda: victim.peers == 2)
    await asyncio.sleep(0.05)
    assert victim.ledger.tip().height == 1  # still trusting the one that was asked
    await stranger.socket.close()
    await cluster.level()


async def test_peer_that_stalls_is_replaced_and_let_go_without_a_ban(cluster: "Cluster") -> None:
    honest = await cluster.node(cluster.ledger(40))
    victim = await cluster.node(limits=replace(IMPATIENT, max_stalls=1))
    stranger = await claiming_stranger(cluster, victim, honest.ledger)
    await stranger.expect(GetBodies)
    assert "body of" in victim.network.waiting_for()
    assert "from 127.0.0.1" in victim.network.waiting_for()
    victim.network.add_peer(honest.address)
    await cluster.level()
    assert (await stranger.expect_close())[0] == CloseCode.SLOW
    assert victim.network.status().banned == 0


async def test_late_answer_after_a_timeout_is_no_offence(cluster: "Cluster") -> None:
    honest = await cluster.node(cluster.ledger(10))
    victim = await cluster.node(limits=IMPATIENT)
    stranger = await claiming_stranger(cluster, victim, honest.ledger)
    asked = (await stranger.expect(GetBodies)).ids
    victim.network.add_peer(honest.address)
    await cluster.level()
    await stranger.send(*(Body(block, honest.ledger.body(block) or b"") for block in asked))
    await asyncio.sleep(0.05)
    assert victim.peers == 2


async def test_silent_header_peer_is_replaced(cluster: "Cluster") -> None:
    honest = await cluster.node(cluster.ledger(10))
    victim = await cluster.node(limits=IMPATIENT)
    boaster = await cluster.stranger(victim, tip=claim(Tip(bytes(32), 10**6, 10**12)))
    await boaster.expect(GetHeaders)
    assert "headers after height 0" in victim.network.waiting_for()
    assert "claims height 1000000" in victim.network.waiting_for()
    victim.network.add_peer(honest.address)
    await cluster.level()
    assert (await boaster.expect_close())[0] == CloseCode.SLOW


async def test_boaster_with_nothing_to_show_is_forgotten(cluster: "Cluster") -> None:
    victim = await cluster.node(limits=IMPATIENT)
    boaster = await cluster.stranger(victim, tip=claim(Tip(bytes(32), 10**6, 10**12)))
    await boaster.expect(GetHeaders)
    await boaster.send(Headers(()))
    await cluster.until(lambda: victim.network.waiting_for().startswith("the next block"))


async def test_missing_bodies_are_asked_elsewhere(cluster: "Cluster") -> None:
    honest = await cluster.node(cluster.ledger(10))
    victim = await cluster.node(limits=IMPATIENT)
    stranger = await claiming_stranger(cluster, victim, honest.ledger)
    asked = (await stranger.expect(GetBodies)).ids
    await stranger.send(BodiesMissing(asked))
    await cluster.until(lambda: "no connected peer has it" in victim.network.waiting_for())
    victim.network.add_peer(honest.address)
    await cluster.level()
    assert victim.network.status().banned == 0


async def test_withheld_body_does_not_hide_other_blocks(cluster: "Cluster") -> None:
    """A header with much work whose body never comes; honest blocks go round nevertheless."""
    first = await cluster.node(cluster.ledger(3), limits=IMPATIENT)
    second = await cluster.node(peers=[first], limits=IMPATIENT)
    await cluster.level()
    heavy = first.ledger.draft(work=1_000)
    tip = Tip(heavy.id, 4, 1_003)
    for node in (first, second):
        stranger = await cluster.stranger(node)
        await stranger.expect(Hello)
        await stranger.send(Announcement(claim(tip), (heavy.sealed,)))
        await stranger.expect(GetBodies)
    assert second.ledger.best_header() == tip
    first.mine(2)
    await cluster.until(lambda: second.ledger.tip().height == 5)
    second.mine()
    await cluster.until(lambda: first.ledger.tip().height == 6)


async def test_repeated_batches_are_charged_and_not_followed(cluster: "Cluster") -> None:
    """Else a peer could feed one full batch of known headers for ever."""
    source = cluster.ledger(MAX_HEADERS)
    victim = await cluster.node(limits=IMPATIENT)
    stranger = await cluster.stranger(victim, tip=claim(Tip(bytes(32), 10**6, 10**12)))
    batch = Headers(tuple(source.headers_after([], MAX_HEADERS)))
    await stranger.expect(GetHeaders)
    await stranger.send(batch)
    await stranger.expect(GetHeaders)
    await stranger.send(batch)
    await cluster.until(lambda: victim.network.peers()[0].score > 0)
    assert victim.network.peers()[0].height == 10**6


async def test_stale_tip_asks_somebody(cluster: "Cluster") -> None:
    """A peer that moved on without a word is asked in the end."""
    first = await cluster.node(cluster.ledger(3), limits=replace(IMPATIENT, stale_tip=0.2))
    second = await cluster.node(peers=[first], limits=replace(IMPATIENT, stale_tip=0.2))
    await cluster.level()
    first.ledger.mine()  # not announced
    await cluster.level()
    assert second.ledger.tip().height == 4


async def test_ledger_that_keeps_wanting_a_refused_block_does_not_loop(
    cluster: "Cluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cluster.ledger()
    bad = source.draft(state_root=bytes([255]) * 32)
    source.store(bad)
    first = await cluster.node(source)
    victim = await cluster.node(limits=IMPATIENT)
    wanted: list[Hash] = [source.tip().id]

    def insist(limit: int) -> list[Hash]:
        return wanted

    monkeypatch.setattr(victim.ledger, "wanted_bodies", insist)
    victim.network.add_peer(first.address)
    await cluster.until(lambda: victim.network.status().banned == 1)
    assert victim.ledger.body_calls <= 2
