"""Transactions and tips go round once, validated first, whoever fails to deliver."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import WSMsgType
from pouw.core.blob import split_blob
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Bundle, Payload, UploadBlob, sign_transaction
from pouw.p2p.limits import DEFAULT_LIMITS, MAX_ANNOUNCED_HEADERS
from pouw.p2p.messages import (
    Announcement,
    GetTransactions,
    Hello,
    Inventory,
    Ping,
    Pong,
    TransactionReply,
    TransactionsMissing,
    claim,
    decode_message,
    frame_kind,
)

if TYPE_CHECKING:
    from .conftest import Cluster, Node, Stranger

IMPATIENT = replace(
    DEFAULT_LIMITS, tick=0.02, gossip_interval=0.01, transaction_timeout=0.2, close_timeout=0.3
)


async def greet(cluster: "Cluster", node: "Node") -> "Stranger":
    stranger = await cluster.stranger(node)
    await stranger.expect(Hello)
    return stranger


def upload(key_seed: int, size: int) -> Bundle:
    """A transaction with `size` bytes of chunks beside it."""
    key = PrivateKey(bytes([key_seed]) * 32)
    root, chunks = split_blob(bytes([key_seed]) * size)
    body = UploadBlob(root, size, 0, len(chunks))
    return Bundle(sign_transaction(key, Payload(77, key.public, 0, 10, 100, body)), tuple(chunks))


async def test_large_bundles_cross_in_both_directions_at_once(cluster: "Cluster") -> None:
    """More bytes than queues and sockets hold, both ways: serving must not block reading."""
    tight = replace(IMPATIENT, serve_water_mark=1, transaction_timeout=20.0)
    first, second = await cluster.node(limits=tight), await cluster.node(limits=tight)
    for seed in range(10):
        first.ledger.take(upload(seed, 1 << 20))
        second.ledger.take(upload(100 + seed, 1 << 20))
    first.network.add_peer(second.address)
    await cluster.until(
        lambda: len(first.ledger.mempool_ids(50)) == len(second.ledger.mempool_ids(50)) == 20
    )
    for transaction in first.ledger.mempool_ids(50):
        assert first.ledger.bundle(transaction) == second.ledger.bundle(transaction)


async def test_newcomer_gets_the_mempool(cluster: "Cluster") -> None:
    first = await cluster.node()
    known = [first.ledger.take(cluster.bundle(nonce)) for nonce in range(50)]
    second = await cluster.node(peers=[first])
    await cluster.until(lambda: set(second.ledger.mempool_ids(100)) == set(known))


async def test_nothing_is_passed_on_before_it_is_valid_nor_back_to_its_source(
    cluster: "Cluster",
) -> None:
    node = await cluster.node()
    source, other = await greet(cluster, node), await greet(cluster, node)
    cheap, good = cluster.bundle(0, fee=1), cluster.bundle(1)
    await source.send(Inventory((cheap.transaction.id, good.transaction.id)))
    asked = (await source.expect(GetTransactions)).ids
    assert set(asked) == {cheap.transaction.id, good.transaction.id}
    await source.send(TransactionReply(cheap), TransactionReply(good))
    assert (await other.expect(Inventory)).ids == (good.transaction.id,)
    await source.send(Ping(bytes(8)))
    while True:
        arrived = await source.socket.receive()
        assert arrived.type is WSMsgType.BINARY
        message = decode_message(frame_kind(arrived.data), arrived.data)
        assert not isinstance(message, Inventory)
        if isinstance(message, Pong):
            break


async def test_declined_transaction_is_no_offence_and_not_asked_again(cluster: "Cluster") -> None:
    node = await cluster.node()
    first, second = await greet(cluster, node), await greet(cluster, node)
    cheap = cluster.bundle(0, fee=1)
    await first.send(Inventory((cheap.transaction.id,)))
    await first.expect(GetTransactions)
    await first.send(TransactionReply(cheap), Ping(bytes(8)))
    await first.expect(Pong)
    await second.send(Inventory((cheap.transaction.id,)))
    with pytest.raises(TimeoutError):
        await second.expect(GetTransactions, seconds=0.15)
    assert all(peer.score == 0 for peer in node.network.peers())


async def test_new_tip_gives_declined_transactions_another_chance(cluster: "Cluster") -> None:
    node = await cluster.node()
    stranger = await greet(cluster, node)
    cheap = cluster.bundle(0, fee=1)
    for _ in range(2):
        await stranger.send(Inventory((cheap.transaction.id,)))
        await stranger.expect(GetTransactions)
        await stranger.send(TransactionReply(cheap), Ping(bytes(8)))
        await stranger.expect(Pong)
        node.mine()


@pytest.mark.parametrize("failure", ["missing", "silence", "vanish", "false chunks"])
async def test_another_holder_is_asked(cluster: "Cluster", failure: str) -> None:
    node = await cluster.node(limits=IMPATIENT)
    first, second = await greet(cluster, node), await greet(cluster, node)
    bundle = cluster.bundle(0)
    transaction = bundle.transaction.id
    await first.send(Inventory((transaction,)))
    await first.expect(GetTransactions)
    await second.send(Inventory((transaction,)), Ping(bytes(8)))
    await second.expect(Pong)
    match failure:
        case "missing":
            await first.send(TransactionsMissing((transaction,)))
        case "vanish":
            await first.socket.close()
        case "false chunks":
            _, chunks = split_blob(b"not announced")
            await first.send(TransactionReply(Bundle(bundle.transaction, tuple(chunks))))
        case _:
            pass
    assert (await second.expect(GetTransactions)).ids == (transaction,)
    await second.send(TransactionReply(bundle))
    await cluster.until(lambda: node.ledger.has_transaction(transaction))


async def test_late_transaction_is_still_welcome(cluster: "Cluster") -> None:
    node = await cluster.node(limits=IMPATIENT)
    stranger = await greet(cluster, node)
    bundle = cluster.bundle(0)
    await stranger.send(Inventory((bundle.transaction.id,)))
    await stranger.expect(GetTransactions)
    await asyncio.sleep(0.3)
    await stranger.send(TransactionReply(bundle))
    await cluster.until(lambda: node.ledger.has_transaction(bundle.transaction.id))


async def test_requests_to_one_peer_are_bounded(cluster: "Cluster") -> None:
    node = await cluster.node(limits=replace(IMPATIENT, transactions_per_peer=5))
    stranger = await greet(cluster, node)
    bundles = [cluster.bundle(nonce) for nonce in range(20)]
    await stranger.send(Inventory(tuple(bundle.transaction.id for bundle in bundles)))
    received = 0
    while received < 20:
        asked = (await stranger.expect(GetTransactions)).ids
        assert len(asked) <= 5
        received += len(asked)
        for bundle in bundles:
            if bundle.transaction.id in asked:
                await stranger.send(TransactionReply(bundle))
    await cluster.until(lambda: len(node.ledger.mempool_ids(100)) == 20)


async def test_one_peer_cannot_fill_the_request_table(cluster: "Cluster") -> None:
    limits = replace(IMPATIENT, max_requests_per_announcer=10, transaction_timeout=20.0)
    node = await cluster.node(limits=limits)
    flooder, honest = await greet(cluster, node), await greet(cluster, node)
    await flooder.send(Inventory(tuple(n.to_bytes(32, "big") for n in range(500))))
    asked = (await flooder.expect(GetTransactions)).ids
    assert len(asked) == 10
    bundle = cluster.bundle(0)
    await honest.send(Inventory((bundle.transaction.id,)))
    await honest.expect(GetTransactions)


async def test_transactions_wait_while_far_behind(cluster: "Cluster") -> None:
    # The announced bodies are asked of the stranger first, which sends none.
    node = await cluster.node(limits=replace(IMPATIENT, body_timeout=0.2, max_stalls=1_000))
    source = cluster.ledger(20)
    stranger = await greet(cluster, node)
    headers = source.headers_after([], 20)
    for start in range(0, 20, MAX_ANNOUNCED_HEADERS):
        batch = tuple(headers[start : start + MAX_ANNOUNCED_HEADERS])
        tip = claim(replace(source.tip(), id=batch[-1].id))
        await stranger.send(Announcement(tip, batch))
    await stranger.send(Inventory((cluster.bundle(0).transaction.id,)))
    await cluster.until(lambda: node.network.status().syncing)
    with pytest.raises(TimeoutError):
        await stranger.expect(GetTransactions, seconds=0.15)
    helper = await cluster.node(source, limits=IMPATIENT)
    node.network.add_peer(helper.address)
    await stranger.expect(GetTransactions)
    assert node.ledger.tip().height >= 12


async def test_new_tip_is_announced_by_its_headers_from_what_the_peer_knows(
    cluster: "Cluster",
) -> None:
    node = await cluster.node(cluster.ledger(2))
    stranger = await greet(cluster, node)
    await stranger.send(Ping(bytes(8)))
    await stranger.expect(Pong)
    node.ledger.mine(2)
    node.mine()
    announcement = await stranger.expect(Announcement)
    assert [sealed.header.height for sealed in announcement.headers] == [3, 4, 5]
    assert announcement.tip == claim(node.ledger.tip())
    node.ledger.mine(19)
    node.mine()
    announcement = await stranger.expect(Announcement)
    heights = [sealed.header.height for sealed in announcement.headers]
    assert heights == list(range(25 - MAX_ANNOUNCED_HEADERS + 1, 26))


async def test_peers_ahead_are_not_told_old_tips(cluster: "Cluster") -> None:
    node = await cluster.node()
    ahead = cluster.ledger()
    ahead.mine(work=10)
    stranger = await cluster.stranger(node, tip=claim(ahead.tip()))
    await stranger.expect(Hello)
    node.mine()
    with pytest.raises(TimeoutError):
        await stranger.expect(Announcement, seconds=0.1)
