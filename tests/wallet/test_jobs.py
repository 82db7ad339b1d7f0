"""A person's whole way: model, job, waiting, result; and what ends it early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pouw.core.blob import blob_root
from pouw.core.errors import UserError
from pouw.core.transaction import RegisterModel, RoyaltyShare, SubmitJob, UploadBlob
from pouw.genesis import TINY
from pouw.wallet.client import RpcClient, RpcError
from pouw.wallet.jobs import (
    ModelOffer,
    cancel_job,
    job_state,
    quote_job,
    read_blob,
    read_result,
    register_model,
    submit_job,
    wait_for_job,
)
from pouw.wallet.session import Pace, Session, TransactionDropped

if TYPE_CHECKING:
    from .conftest import FakeNode

OFFER = ModelOffer(
    "digits", b"program", b"w" * 100_000, "MIT", [(b"a" * 32, 500)], '{"a":1}', b"p" * 32
)
Steps = list[tuple[str, int, int]]


@pytest.fixture
def model(session: Session, steps: Steps) -> bytes:
    """A registered model."""
    found = register_model(session, OFFER, 100)
    steps.clear()
    return found


def test_register(node: FakeNode, session: Session, steps: Steps) -> None:
    model = register_model(session, OFFER, 100)
    body = node.bodies[-1]
    assert body == RegisterModel(
        "digits",
        blob_root(OFFER.program),
        blob_root(OFFER.weights),
        "MIT",
        (RoyaltyShare(b"a" * 32, 500),),
        '{"a":1}',
        b"p" * 32,
    )
    assert node.included[model.hex()] == node.height
    assert steps == [
        ("uploading the program", 0, 1),
        ("uploading the program", 1, 1),
        ("uploading the weights", 0, 2),
        ("uploading the weights", 2, 2),
        ("registering digits", 0, 1),
        ("registering digits", 1, 1),
    ]


def test_same_blobs_are_not_uploaded_twice(node: FakeNode, session: Session, model: bytes) -> None:
    before = sum(isinstance(body, UploadBlob) for body in node.bodies)
    assert register_model(session, OFFER, 100) != model
    assert sum(isinstance(body, UploadBlob) for body in node.bodies) == before


@pytest.mark.parametrize(
    ("offer", "message"),
    [
        (ModelOffer("m", b"", b"w"), "empty"),
        (ModelOffer("m", b"p", b""), "empty"),
        (ModelOffer("", b"p", b"w"), "name"),
        (ModelOffer("m", b"p", b"w", "", [(b"a" * 32, 9000)]), "basis points"),
    ],
)
def test_mistakes_are_found_before_anything_is_paid(
    node: FakeNode, session: Session, offer: ModelOffer, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        register_model(session, offer, 100)
    assert node.calls == []


def test_submit(node: FakeNode, session: Session, model: bytes, steps: Steps) -> None:
    job = submit_job(session, model, b"input", 100)
    body = node.bodies[-1]
    assert isinstance(body, SubmitJob)
    assert (body.model, body.input, body.mode) == (model, blob_root(b"input"), 0)
    assert body.bounty == 1000
    sent_at = node.included[job.hex()] - 1
    assert body.deadline == sent_at + 3 * (5 + TINY.settle_window + 2) + 20
    assert [step[0] for step in steps] == ["uploading the input"] * 2 + ["submitting the job"] * 2
    assert job_state(session.client, job).status == "submitted"


def test_given_bounty_and_deadline(node: FakeNode, session: Session, model: bytes) -> None:
    job = submit_job(session, model, b"input", 100, bounty=7, deadline_blocks=50)
    body = node.bodies[-1]
    assert isinstance(body, SubmitJob)
    assert (body.bounty, body.deadline) == (7, node.included[job.hex()] - 1 + 50)


def test_default_deadline_stays_within_the_network(
    node: FakeNode, session: Session, model: bytes
) -> None:
    node.quote["window"] = 90
    job = submit_job(session, model, b"input", 100)
    body = node.bodies[-1]
    assert isinstance(body, SubmitJob)
    assert body.deadline == node.included[job.hex()] - 1 + TINY.max_deadline_blocks


@pytest.mark.parametrize("blocks", [0, -1, 101])
def test_impossible_deadline(node: FakeNode, session: Session, model: bytes, blocks: int) -> None:
    before = len(node.bodies)
    with pytest.raises(UserError, match="1 to 100 blocks"):
        submit_job(session, model, b"input", 100, deadline_blocks=blocks)
    assert len(node.bodies) == before


def test_price_is_checked_before_the_upload(node: FakeNode, session: Session, model: bytes) -> None:
    node.balance = 1099
    before = len(node.bodies)
    with pytest.raises(UserError, match=r"takes 0\.0000011 POUW besides fees, .* has 0\.000001099"):
        submit_job(session, model, b"input", 100)
    assert len(node.bodies) == before


def test_unknown_model(session: Session) -> None:
    with pytest.raises(RpcError, match="no model"):
        submit_job(session, b"m" * 32, b"input", 100)
    with pytest.raises(RpcError, match="no model"):
        quote_job(session.client, b"m" * 32, 10)


def test_empty_input(node: FakeNode, session: Session, model: bytes) -> None:
    with pytest.raises(UserError, match="input is empty"):
        submit_job(session, model, b"", 100)


def test_dropped_submission(node: FakeNode, session: Session, model: bytes) -> None:
    session.publish_blob(b"input", "the input", session.patience(100))
    node.drop_next = 1
    with pytest.raises(TransactionDropped, match="the job's submission"):
        submit_job(session, model, b"input", 100)


def settle(node: FakeNode, job: bytes) -> None:
    node.jobs[job.hex()].update(status="settled", worker="xpouw1worker")
    node.results[job.hex()] = {
        "id": job.hex(),
        "output": "0102ff",
        "dtype": "int8",
        "shape": [3],
        "block": "ab" * 32,
        "height": 40,
        "worker": "xpouw1worker",
    }


def test_wait_and_read(node: FakeNode, session: Session, model: bytes, steps: Steps) -> None:
    job = submit_job(session, model, b"input", 100)
    steps.clear()
    script = iter(["submitted", "claimed", "claimed", "committed", "settled"])

    def sleep(seconds: float) -> None:
        node.sleep(seconds)
        status = next(script)
        node.jobs[job.hex()]["status"] = status
        if status == "settled":
            settle(node, job)

    session.pace = Pace(node.now, sleep)
    state = wait_for_job(session, job, 100)
    assert state.status == "settled" and state.worker == "xpouw1worker"
    assert steps == [
        ("job submitted", 0, 3),
        ("job claimed", 1, 3),
        ("job committed", 2, 3),
        ("job settled", 3, 3),
    ]
    result = read_result(session.client, job)
    assert (result.output, result.dtype, result.shape) == (b"\x01\x02\xff", "int8", (3,))
    assert (result.block, result.height, result.worker) == (b"\xab" * 32, 40, "xpouw1worker")


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_other_ends(node: FakeNode, session: Session, model: bytes, status: str) -> None:
    job = submit_job(session, model, b"input", 100)
    node.jobs[job.hex()]["status"] = status
    assert wait_for_job(session, job, 100).status == status
    with pytest.raises(UserError, match=f"has no result: it is {status}"):
        read_result(session.client, job)


def test_waiting_has_an_end(node: FakeNode, session: Session, model: bytes) -> None:
    job = submit_job(session, model, b"input", 100)
    with pytest.raises(UserError, match=r"gave up after 30 seconds .* \(it is submitted\)"):
        wait_for_job(session, job, 30)


def test_one_deadline_for_the_whole_flow(node: FakeNode, session: Session) -> None:
    node.mining = False
    started = node.clock
    with pytest.raises(UserError, match="gave up after 12 seconds"):
        register_model(session, OFFER, 12)
    assert node.clock - started == 12


def test_unknown_job(session: Session) -> None:
    for look in (
        lambda: job_state(session.client, b"j" * 32),
        lambda: wait_for_job(session, b"j" * 32, 10),
        lambda: read_result(session.client, b"j" * 32),
    ):
        with pytest.raises(UserError, match="no job 6a6a"):
            look()


def test_cancel(node: FakeNode, session: Session, model: bytes) -> None:
    job = submit_job(session, model, b"input", 100)
    cancel_job(session, job, 100)
    assert job_state(session.client, job).status == "cancelled"


def test_read_blob_checks_the_root(node: FakeNode, session: Session) -> None:
    root = session.publish_blob(b"content", "it", session.patience(100))
    assert read_blob(session.client, root) == b"content"
    for answer in ("", "00", b"contenT".hex()):
        node.answers["getblobdata"] = {"data": answer}
        with pytest.raises(UserError, match="sent other data"):
            read_blob(session.client, root)


@pytest.mark.parametrize("size", [1, 9, 10, 11, 20, 35])
def test_a_blob_is_read_in_pieces(
    node: FakeNode, session: Session, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Weights of a real model are larger than one answer."""
    monkeypatch.setattr("pouw.wallet.jobs.PIECE_BYTES", 10)
    data = bytes(range(size))
    root = session.publish_blob(data, "it", session.patience(100))
    assert read_blob(session.client, root) == data


def test_a_node_that_sends_on_and_on_is_left(
    node: FakeNode, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.wallet.jobs.PIECE_BYTES", 10)
    monkeypatch.setattr("pouw.wallet.jobs.MAX_BLOB_BYTES", 1000)
    for piece in (bytes(10), bytes(11)):
        node.answers["getblobdata"] = {"data": piece.hex()}
        with pytest.raises(UserError, match="sent other data"):
            read_blob(session.client, bytes(32))


@pytest.mark.parametrize("method", ["getinfo", "getaccount", "getblob", "gettransaction", "getjob"])
@pytest.mark.parametrize("answer", [1, "x", [], {}, {"height": -1}])
def test_node_that_answers_nonsense(
    node: FakeNode, session: Session, method: str, answer: Any
) -> None:
    node.answers[method] = answer

    def flow() -> None:
        model = register_model(session, OFFER, 20)
        job = submit_job(session, model, b"input", 20)
        wait_for_job(session, job, 20)

    with pytest.raises(UserError, match=f"answers '{method}'"):
        flow()


def test_node_that_goes_away(session: Session, node: FakeNode) -> None:
    session.client = RpcClient("http://127.0.0.1:9")
    with pytest.raises(UserError, match="no node answers"):
        register_model(session, OFFER, 20)
