"""Sending and uploading through a node that loses, refuses and delays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pouw.core.blob import CHUNK_BYTES, blob_root, split_blob
from pouw.core.errors import UserError
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Bundle, Transfer, UploadBlob
from pouw.genesis import DEVNET, TINY
from pouw.wallet.bodies import transfer
from pouw.wallet.builder import DEFAULT_FEE_MULTIPLE, pack_chunks, size_in_kib
from pouw.wallet.client import RpcClient, RpcError
from pouw.wallet.session import DEAREST, EXPIRY_BLOCKS, Pace, Session, TransactionDropped

if TYPE_CHECKING:
    from .conftest import FakeNode

PAYMENT = transfer([(b"a" * 32, 5)])
DATA = bytes(range(256)) * 1024  # four chunks, one upload each on the tiny network


def uploads_on(node: FakeNode) -> list[UploadBlob]:
    return [body for body in node.bodies if isinstance(body, UploadBlob)]


def test_send_and_wait(node: FakeNode, session: Session) -> None:
    sent = session.send(PAYMENT)
    assert sent.expiry == node.height + EXPIRY_BLOCKS
    status = session.wait_included(sent, "the payment", session.patience(10))
    assert status.status == "included" and status.height == 11
    assert node.bodies == [PAYMENT]


def fee_rate(bundle: Bundle) -> int:
    return bundle.transaction.payload.fee // size_in_kib(bundle)


def test_fee_is_what_the_node_estimates(node: FakeNode, session: Session) -> None:
    node.fee_per_kib = 7 * TINY.min_fee_per_kib
    session.send(PAYMENT)
    assert fee_rate(node.mempool[0]) == node.fee_per_kib


@pytest.mark.parametrize(
    ("estimate", "paid"), [(0, DEFAULT_FEE_MULTIPLE), (1, DEFAULT_FEE_MULTIPLE), (10**9, DEAREST)]
)
def test_fee_stays_within_bounds_whatever_the_node_says(
    node: FakeNode, session: Session, estimate: int, paid: int
) -> None:
    node.fee_per_kib = estimate * TINY.min_fee_per_kib
    session.send(PAYMENT)
    assert fee_rate(node.mempool[0]) == paid * TINY.min_fee_per_kib


def test_fee_at_a_node_that_estimates_none(node: FakeNode, session: Session) -> None:
    node.lacking.add("estimatefee")
    session.send(PAYMENT)
    assert fee_rate(node.mempool[0]) == DEFAULT_FEE_MULTIPLE * TINY.min_fee_per_kib


def test_fee_of_the_sender_s_own_asks_nobody(node: FakeNode, session: Session) -> None:
    session.send(PAYMENT, fee=123_456)
    assert node.mempool[0].transaction.payload.fee == 123_456
    assert "estimatefee" not in node.calls


def test_nonces_count_what_is_pending(node: FakeNode, session: Session) -> None:
    for _ in range(3):
        session.send(PAYMENT)
    assert [b.transaction.payload.nonce for b in node.mempool] == [0, 1, 2]
    node.mine()
    session.send(PAYMENT)
    assert node.mempool[0].transaction.payload.nonce == 3


def test_node_of_another_network(node: FakeNode) -> None:
    session = Session(RpcClient(node.url), DEVNET, PrivateKey(bytes(32)))
    with pytest.raises(UserError, match="serves 'tiny', this wallet is for devnet"):
        session.send(PAYMENT)
    assert "sendtransaction" not in node.calls


def test_refusal_is_passed_on(node: FakeNode, session: Session) -> None:
    node.refuse_next = 1
    with pytest.raises(RpcError, match="mempool: full"):
        session.send(PAYMENT)


def test_token_is_needed(node: FakeNode) -> None:
    session = Session(RpcClient(node.url, "another"), TINY, PrivateKey(bytes(32)))
    with pytest.raises(RpcError, match="token"):
        session.send(PAYMENT)


def test_node_that_answers_with_another_id(node: FakeNode, session: Session) -> None:
    node.answers["sendtransaction"] = {"id": "ab" * 32}
    with pytest.raises(UserError, match="another transaction than sent"):
        session.send(PAYMENT)


def test_dropped_transaction(node: FakeNode, session: Session) -> None:
    sent = session.send(PAYMENT)
    node.drop_next = 1
    with pytest.raises(TransactionDropped, match=f"{sent.id.hex()} was dropped by the node"):
        session.wait_included(sent, "the payment", session.patience(100))
    assert node.bodies == []


def test_expired_transaction(node: FakeNode, session: Session) -> None:
    sent = session.send(PAYMENT)
    node.mempool.clear()
    node.height = sent.expiry + 1
    with pytest.raises(TransactionDropped, match=f"expired at height {sent.expiry}"):
        session.wait_included(sent, "the payment", session.patience(100))


def test_transaction_between_mempool_and_block(node: FakeNode, session: Session) -> None:
    """A single poll that does not find it is no verdict."""
    sent = session.send(PAYMENT)
    held = list(node.mempool)
    node.mempool.clear()
    ticks = 0

    def sleep(seconds: float) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 2:
            node.mempool.extend(held)
        node.sleep(seconds)

    session.pace = Pace(node.now, sleep)
    status = session.wait_included(sent, "the payment", session.patience(100))
    assert status.status == "included"


def test_deadline(node: FakeNode, session: Session) -> None:
    node.mining = False
    sent = session.send(PAYMENT)
    with pytest.raises(UserError, match=r"gave up after 7\.5 seconds waiting for the payment"):
        session.wait_included(sent, "the payment", session.patience(7.5))
    assert node.clock == 7.5


def test_publish(node: FakeNode, session: Session, steps: list[tuple[str, int, int]]) -> None:
    root = session.publish_blob(DATA, "the input", session.patience(100))
    assert root == blob_root(DATA)
    assert b"".join(node.blobs[root.hex()].chunks) == DATA
    assert steps == [("uploading the input", 0, 4), ("uploading the input", 4, 4)]
    assert [body.first_chunk for body in uploads_on(node)] == [0, 1, 2, 3]


def test_large_blob_goes_in_waves(
    node: FakeNode, session: Session, steps: list[tuple[str, int, int]]
) -> None:
    data = bytes(20 * CHUNK_BYTES)
    session.publish_blob(data, "weights", session.patience(100))
    assert [done for _, done, _ in steps] == [0, 8, 16, 20]
    assert len(uploads_on(node)) == 20


def test_blob_that_is_there_costs_nothing(node: FakeNode, session: Session) -> None:
    session.publish_blob(DATA, "the input", session.patience(100))
    before = len(node.bodies)
    node.calls.clear()
    session.publish_blob(DATA, "the input", session.patience(100))
    assert len(node.bodies) == before
    assert node.calls == ["getblob"]


def test_upload_goes_on_where_it_was_left(node: FakeNode, session: Session) -> None:
    root, chunks = split_blob(DATA)
    first = pack_chunks(TINY, root, len(DATA), chunks, 0)[:2]
    for upload in first:
        session.send(upload.body, upload.chunks)
    session.publish_blob(DATA, "the input", session.patience(100))
    assert [body.first_chunk for body in uploads_on(node)] == [0, 1, 2, 3]


def test_dropped_uploads_are_sent_again(node: FakeNode, session: Session) -> None:
    node.drop_next = 1
    root = session.publish_blob(DATA, "the input", session.patience(500))
    assert node.blobs[root.hex()].complete


def test_full_mempool_only_shortens_the_wave(node: FakeNode, session: Session) -> None:
    node.mempool_limit = 3
    root = session.publish_blob(bytes(8 * CHUNK_BYTES), "weights", session.patience(100))
    assert node.blobs[root.hex()].complete
    assert len(uploads_on(node)) == 8


def test_passing_refusal_ends_the_upload_when_nothing_moved(
    node: FakeNode, session: Session
) -> None:
    node.refuse_next = 1
    with pytest.raises(RpcError, match="mempool: full"):
        session.publish_blob(DATA, "the input", session.patience(100))


def test_somebody_else_uploads_the_same_blob(node: FakeNode, session: Session) -> None:
    """Between looking and sending, another's upload arrives: ours is refused, then goes on."""
    other = Session(
        RpcClient(node.url, "token-of-the-node"),
        TINY,
        PrivateKey(b"o" * 32),
        pace=Pace(node.now, node.sleep),
    )
    root, chunks = split_blob(DATA)
    theirs = pack_chunks(TINY, root, len(DATA), chunks, 0)[0]

    def overtake(stage: str, done: int, total: int) -> None:
        if done == 0:
            other.send(theirs.body, theirs.chunks)
            node.mine()

    session.progress = overtake
    session.publish_blob(DATA, "the input", session.patience(100))
    assert [body.first_chunk for body in uploads_on(node)] == [0, 1, 2, 3]


def test_unrelated_transactions_go_first(node: FakeNode, session: Session) -> None:
    session.send(PAYMENT)
    session.publish_blob(DATA, "the input", session.patience(100))
    assert isinstance(node.bodies[0], Transfer)
    assert len(node.bodies) == 5


def test_upload_deadline(node: FakeNode, session: Session) -> None:
    node.mining = False
    with pytest.raises(UserError, match="gave up after 5 seconds waiting for the upload of"):
        session.publish_blob(DATA, "the input", session.patience(5))


def test_empty_blob(node: FakeNode, session: Session) -> None:
    with pytest.raises(UserError, match="cannot be uploaded"):
        session.publish_blob(b"", "the input", session.patience(5))
    assert node.calls == []
