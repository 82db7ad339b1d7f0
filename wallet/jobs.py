"""A person's way through a job: register a model, submit, wait, read the result.

Everything sent here is public for good: input, output, program and weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..core.errors import UserError
from ..core.hashing import ZERO_HASH, Hash
from ..core.units import format_amount
from . import bodies
from .answers import BlobData, JobState, Quote, ResultAnswer, ask, ask_optional, unhex
from .builder import split
from .client import RpcClient
from .session import Session

DEADLINE_OPENINGS: Final = 3
"""Claims, one after another, that a job's default deadline leaves room for."""
DEADLINE_SLACK: Final = 20
"""Blocks for the submission to be included and for a worker to notice the job."""
PIECE_BYTES: Final = 16 << 20
"""Of a blob in one question; a node sends no more than 28 MiB."""
MAX_BLOB_BYTES: Final = 1 << 30
"""What no job can touch more of: a node that sends on and on is left here."""
_STAGES: Final = {"submitted": 0, "claimed": 1, "committed": 2, "settled": 3}


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """A model that somebody publishes."""

    name: str
    program: bytes
    """The canonical program."""
    weights: bytes
    """The constants' raw bytes, in declared order."""
    licence: str = ""
    royalties: Sequence[tuple[bytes, int]] = ()
    """(address, basis points of every bounty)."""
    card: str = ""
    """A JSON document: description, how numbers are encoded, class names, source, metrics."""
    previous: Hash = ZERO_HASH
    """The sender's model that this one replaces."""


@dataclass(frozen=True, slots=True)
class Result:
    """The output of a settled job."""

    job: Hash
    output: bytes
    """Raw little-endian values, row-major."""
    dtype: str
    shape: tuple[int, ...]
    block: Hash
    """Block that settled the job."""
    height: int
    worker: str
    """Address."""


def register_model(session: Session, model: ModelOffer, timeout: float) -> Hash:
    """Upload program and weights, register them and return the model's id.

    Blobs that are on the chain already are not uploaded again. Waits at most `timeout` seconds.
    Raises UserError; after one, the same call goes on where it was left.
    """
    if not model.program or not model.weights:
        raise UserError("a model has a program and weights: one of the files is empty")
    body = bodies.register_model(
        session.params,
        model.name,
        split(model.program)[0],
        split(model.weights)[0],
        model.licence,
        model.royalties,
        model.card,
        model.previous,
    )
    session.info()
    patience = session.patience(timeout)
    session.publish_blob(model.program, "the program", patience)
    session.publish_blob(model.weights, "the weights", patience)
    stage = f"registering {model.name}"
    session.progress(stage, 0, 1)
    sent = session.send(body)
    session.wait_included(sent, stage, patience)
    session.progress(stage, 1, 1)
    return sent.id


def quote_job(client: RpcClient, model: Hash, input_size: int) -> Quote:
    """Ask what a job on an input of `input_size` bytes takes. Raises UserError."""
    return ask(client, Quote, "quotejob", model=model.hex(), input_size=input_size)


def submit_job(
    session: Session,
    model: Hash,
    data: bytes,
    timeout: float,
    bounty: int | None = None,
    deadline_blocks: int | None = None,
) -> Hash:
    """Upload an input, submit a job on it and return the job's id.

    `bounty` in base units defaults to the quoted minimum; `deadline_blocks`, counted from the tip,
    to room for DEADLINE_OPENINGS claims. The price is checked against the balance before anything
    is paid for. Waits at most `timeout` seconds. Raises UserError.
    """
    if not data:
        raise UserError("the input is empty")
    session.info()
    patience = session.patience(timeout)
    quote = quote_job(session.client, model, len(data))
    price = quote.min_bounty if bounty is None else bounty
    _require_balance(session, price + quote.burn + quote.check_fee)
    blocks = _default_deadline(session, quote) if deadline_blocks is None else deadline_blocks
    if not 1 <= blocks <= session.params.max_deadline_blocks:
        raise UserError(
            f"a deadline is 1 to {session.params.max_deadline_blocks} blocks away, not {blocks}"
        )
    root = session.publish_blob(data, "the input", patience)
    session.progress("submitting the job", 0, 1)
    deadline = session.info().height + blocks
    sent = session.send(bodies.submit_job(model, root, price, deadline))
    session.wait_included(sent, "the job's submission", patience)
    session.progress("submitting the job", 1, 1)
    return sent.id


def cancel_job(session: Session, job: Hash, timeout: float) -> None:
    """Take an unclaimed job back and wait for it, at most `timeout` seconds. Raises UserError."""
    patience = session.patience(timeout)
    sent = session.send(bodies.cancel_job(job))
    session.wait_included(sent, "the job's cancellation", patience)


def job_state(client: RpcClient, job: Hash) -> JobState:
    """Return where a job stands. Raises UserError when no such job is known."""
    state = ask_optional(client, JobState, "getjob", id=job.hex())
    if state is None:
        raise UserError(f"no job {job.hex()} on this chain: check its id")
    return state


def wait_for_job(session: Session, job: Hash, timeout: float) -> JobState:
    """Wait, at most `timeout` seconds, until a job is settled, expired or cancelled.

    Raises UserError at the deadline or when no such job is known.
    """
    patience = session.patience(timeout)
    told = ""
    while True:
        state = job_state(session.client, job)
        if state.status != told:
            told = state.status
            session.progress(f"job {told}", _STAGES.get(told, len(_STAGES) - 1), len(_STAGES) - 1)
        if state.ended:
            return state
        patience.pause(f"the job's result (it is {state.status})")


def read_result(client: RpcClient, job: Hash) -> Result:
    """Return the output of a settled job. Raises UserError when there is none."""
    state = job_state(client, job)
    if state.status != "settled":
        raise UserError(f"job {job.hex()} has no result: it is {state.status}")
    answer = ask(client, ResultAnswer, "getjobresult", id=job.hex())
    return Result(
        job,
        unhex(client, answer.output),
        answer.dtype,
        answer.shape,
        bytes.fromhex(answer.block),
        answer.height,
        answer.worker,
    )


def read_blob(client: RpcClient, root: Hash) -> bytes:
    """Fetch a complete blob, piece by piece, and check it against its root. Raises UserError."""
    other = UserError(f"the node at {client.url} sent other data than blob {root.hex()}")
    content = bytearray()
    while True:
        answer = ask(
            client,
            BlobData,
            "getblobdata",
            root=root.hex(),
            offset=len(content),
            length=PIECE_BYTES,
        )
        piece = unhex(client, answer.data)
        content += piece
        if len(piece) > PIECE_BYTES or len(content) > MAX_BLOB_BYTES:
            raise other
        if len(piece) < PIECE_BYTES:
            break
    whole = bytes(content)
    if not whole or split(whole)[0] != root:
        raise other
    return whole


def _default_deadline(session: Session, quote: Quote) -> int:
    params = session.params
    one = quote.window + params.settle_window + 2
    return min(params.max_deadline_blocks, DEADLINE_OPENINGS * one + DEADLINE_SLACK)


def _require_balance(session: Session, escrow: int) -> None:
    balance = session.account().balance
    if balance < escrow:
        raise UserError(
            f"the job takes {format_amount(escrow)} POUW besides fees, "
            f"the account has {format_amount(balance)}"
        )
