"""The ledger as peers see it: who is to blame, and reading while a block is being validated."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pouw.core.codec import encode
from pouw.core.errors import BodyMismatch, MissingParent, PolicyRejection, RuleViolation
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Bundle, Output, Transaction, Transfer, UploadBlob
from pouw.node.ledger import NodeLedger

MINER = PrivateKey(b"the key of the miner in the test")
RECEIVER = PrivateKey(b"a person who is paid in the test")


@pytest.fixture
def ledger(rpc: Any) -> NodeLedger:
    return rpc.node._rpc._context.ledger


def transfer(rpc: Any, key: PrivateKey, **changes: Any) -> Bundle:
    return rpc.sign(key, Transfer((Output(RECEIVER.address, 5),)), **changes)


async def test_reading_does_not_wait_for_a_validation(rpc: Any, ledger: NodeLedger) -> None:
    tip = bytes.fromhex(await rpc.mine(3))
    chain = rpc.node._rpc._context.chain
    release, held = threading.Event(), threading.Event()

    def validate() -> None:
        with chain.lock:
            held.set()
            release.wait(20)

    thread = threading.Thread(target=validate)
    thread.start()
    held.wait(5)

    def read_everything() -> None:
        assert ledger.tip().id == ledger.best_header().id == tip
        locator = ledger.locator()
        assert (locator[0], locator[-1]) == (tip, ledger.genesis_id)
        headers = ledger.headers_after([ledger.genesis_id], 10)
        assert [sealed.header.height for sealed in headers] == [1, 2, 3]
        assert ledger.header(tip) == headers[-1]
        assert ledger.header(ledger.genesis_id) is None
        assert ledger.knows_header(tip) and ledger.has_body(tip)
        assert ledger.body(tip) is not None
        assert ledger.wanted_bodies(5) == []
        assert not ledger.has_transaction(bytes(32))
        assert ledger.bundle(bytes(32)) is None and ledger.mempool_ids(5) == []

    try:
        await asyncio.wait_for(asyncio.to_thread(read_everything), 5)
    finally:
        release.set()
        thread.join()


async def test_a_peers_transaction_is_taken_once(
    rpc: Any, ledger: NodeLedger, faucet: PrivateKey
) -> None:
    bundle = transfer(rpc, faucet)
    assert await ledger.accept_bundle(bundle)
    assert not await ledger.accept_bundle(bundle)
    identity = bundle.transaction.id
    assert ledger.has_transaction(identity) and ledger.bundle(identity) == bundle
    assert ledger.mempool_ids(5) == [identity]
    await rpc.mine()
    assert ledger.has_transaction(identity) and ledger.bundle(identity) is None
    assert not await ledger.accept_bundle(bundle)


async def test_mempool_ids_keep_an_order_that_applies(
    rpc: Any, ledger: NodeLedger, faucet: PrivateKey
) -> None:
    sent = [await rpc.send(transfer(rpc, faucet)) for _ in range(4)]
    assert [identity.hex() for identity in ledger.mempool_ids(3)] == sent[:3]


async def test_what_a_later_state_may_allow_is_nobodys_fault(
    rpc: Any, ledger: NodeLedger, faucet: PrivateKey
) -> None:
    for reason, bundle in (
        ("tx-nonce", transfer(rpc, faucet, nonce=7)),
        ("tx-expired", transfer(rpc, faucet, expiry=0)),
        ("balance", transfer(rpc, RECEIVER)),
        ("fee", transfer(rpc, faucet, fee=1)),
    ):
        with pytest.raises(PolicyRejection) as caught:
            await ledger.accept_bundle(bundle)
        assert caught.value.reason == reason


async def test_what_no_state_allows_is_the_senders_fault(
    rpc: Any, ledger: NodeLedger, faucet: PrivateKey
) -> None:
    good = transfer(rpc, faucet)
    forged = Bundle(Transaction(good.transaction.payload, bytes(64)), ())
    stray = rpc.sign(faucet, UploadBlob(bytes(32), 100, 0, 1))
    for rule, bundle in (
        ("tx-signature", forged),
        ("tx-chain", transfer(rpc, faucet, chain_id=1)),
        ("tx-chunks", stray),
    ):
        with pytest.raises(RuleViolation) as caught:
            await ledger.accept_bundle(bundle)
        assert caught.value.rule == rule


async def test_blocks_travel_between_ledgers(
    rpc: Any, ledger: NodeLedger, start_node: Callable[..., Any]
) -> None:
    await rpc.mine(3)
    other = await start_node("other")
    theirs: NodeLedger = other.node._rpc._context.ledger
    headers = ledger.headers_after(theirs.locator(), 100)
    assert await theirs.accept_headers(headers) == 3
    assert await theirs.accept_headers(headers) == 0
    wanted = theirs.wanted_bodies(100)
    assert wanted == [sealed.id for sealed in headers]
    assert theirs.tip().height == 0 and theirs.best_header().height == 3
    for block in wanted:
        body = ledger.body(block)
        assert body is not None and not theirs.has_body(block)
        await theirs.accept_body(block, body)
    assert theirs.tip() == ledger.tip()
    with pytest.raises(MissingParent):
        await theirs.accept_body(b"x" * 32, ledger.body(wanted[0]) or b"")


async def test_only_bodies_of_the_validated_chain_are_passed_on(
    rpc: Any, ledger: NodeLedger
) -> None:
    """A stored side block may be invalid for reasons only its state tells; its server is banned."""
    payout = rpc.address(RECEIVER)
    fork = await rpc.call("gettemplate", miner=MINER.public.hex(), payout=payout)
    await rpc.mine()
    side = bytes.fromhex((await rpc.solve(fork))["block"])
    assert ledger.has_body(side) and side != ledger.tip().id
    assert ledger.body(side) is None
    assert ledger.body(ledger.tip().id) is not None
    assert ledger.body(bytes(32)) is None


async def test_bodies_towards_a_block_off_the_best_header(
    rpc: Any, ledger: NodeLedger, start_node: Callable[..., Any]
) -> None:
    await rpc.mine(2)
    light = ledger.headers_after([], 10)
    other = await start_node("other")
    await other.mine(4)
    theirs: NodeLedger = other.node._rpc._context.ledger
    heavy = theirs.headers_after([], 10)
    third = await start_node("third")
    victim: NodeLedger = third.node._rpc._context.ledger
    await victim.accept_headers(heavy)
    await victim.accept_headers(light)
    assert victim.wanted_bodies(10) == [sealed.id for sealed in heavy]
    ids = [sealed.id for sealed in light]
    assert victim.bodies_towards(ids[-1], 10) == ids
    assert victim.bodies_towards(ids[-1], 1) == ids[:1]
    await victim.accept_body(ids[0], ledger.body(ids[0]) or b"")
    assert victim.bodies_towards(ids[-1], 10) == ids[1:]
    assert victim.bodies_towards(ids[0], 10) == []
    assert victim.bodies_towards(b"x" * 32, 10) == []


async def test_bytes_that_are_no_body_do_not_condemn_the_block(
    rpc: Any, ledger: NodeLedger, start_node: Callable[..., Any]
) -> None:
    await rpc.mine()
    other = await start_node("other")
    theirs: NodeLedger = other.node._rpc._context.ledger
    (sealed,) = ledger.headers_after(theirs.locator(), 1)
    await theirs.accept_headers([sealed])
    good = ledger.body(sealed.id) or b""
    for bad in (b"", b"\xc0", good + b"\x00", good[:-1], encode(sealed)):
        with pytest.raises(BodyMismatch):
            await theirs.accept_body(sealed.id, bad)
    await theirs.accept_body(sealed.id, good)
    assert theirs.tip().id == sealed.id
