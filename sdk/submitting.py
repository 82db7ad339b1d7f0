"""From an input to jobs on the chain: divided, priced, held against limits, uploaded, submitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.hashing import Hash
from ..genesis import Params
from ..vm.limits import MAX_TENSOR_BYTES
from ..wallet import bodies
from ..wallet.client import RpcClient
from ..wallet.session import Patience, Sent
from .amounts import pouw
from .encoding import Input, encode_items
from .handle import Submitted, resume_advice
from .models import Model
from .quote import Pricer, Quote
from .spending import SpendingSession

NOT_SUBMITTED: Final = "no job was submitted; what was uploaded is not paid for again"


@dataclass(frozen=True, slots=True)
class Order:
    """A run that is ready to be paid for."""

    model: Model
    inputs: tuple[bytes, ...]
    """Input blob of each job."""
    quote: Quote
    single: bool
    """Whether one item was given rather than a batch."""


def prepare(rpc: RpcClient, params: Params, model: Model, x: Input, bounty: int | None) -> Order:
    """Encode an input, divide it into jobs and price them; nothing is signed. Raises UserError."""
    items, single = encode_items(x, model.input.declaration, model.encodings)
    if items.nbytes > MAX_TENSOR_BYTES:
        raise UserError(
            f"the input takes {items.nbytes} bytes, a run at most {MAX_TENSOR_BYTES}: "
            "send it in parts"
        )
    pricer = Pricer(rpc, params, model)
    sizes = pricer.divide(len(items))
    inputs = cut(items, sizes)
    return Order(model, inputs, pricer.quote(sizes, inputs, bounty), single)


def cut(items: NDArray[np.signedinteger], sizes: Sequence[int]) -> tuple[bytes, ...]:
    """Return the blobs of consecutive parts of these sizes, which add up to all items."""
    bounds = [0, *np.cumsum(sizes)]
    return tuple(items[start:stop].tobytes() for start, stop in pairwise(bounds))


def gather(
    model: Model, inputs: Sequence[Input]
) -> tuple[NDArray[np.signedinteger], list[tuple[int, int, bool]]]:
    """Put inputs one behind the other as integers; return where each lies: (start, stop, single).

    Raises UserError where there is none, or naming the first that does not fit.
    """
    if not len(inputs):
        raise UserError("give at least one input")
    parts: list[NDArray[np.signedinteger]] = []
    spans: list[tuple[int, int, bool]] = []
    start = 0
    for number, each in enumerate(inputs):
        try:
            items, single = encode_items(each, model.input.declaration, model.encodings)
        except UserError as error:
            raise UserError(f"input {number}: {error}") from None
        parts.append(items)
        spans.append((start, start + len(items), single))
        start += len(items)
    return np.concatenate(parts), spans


def submit(session: SpendingSession, order: Order, patience: Patience) -> tuple[Submitted, ...]:
    """Pay for an order: upload its inputs, submit its jobs, wait until they are in blocks.

    Raises UserError: before anything is signed where the balance does not reach; later naming the
    jobs that are under way all the same.
    """
    _require_balance(session, order.quote)
    sent: list[Sent] = []
    submitted: list[Submitted] = []
    try:
        uploaded = [_upload(session, data, patience) for data in order.inputs]
        for (root, fees), price in zip(uploaded, order.quote.jobs, strict=True):
            deadline = session.info().height + price.deadline
            body = bodies.submit_job(bytes.fromhex(order.model.id), root, price.bounty, deadline)
            before = session.allowance.spent
            sent.append(session.send_job(body, price.escrow))
            fees += session.allowance.spent - before - price.escrow
            submitted.append(Submitted(sent[-1].id.hex(), order.model.id, root.hex(), fees))
        for done, each in enumerate(sent):
            session.progress("submitting", done, len(sent))
            session.wait_included(each, "the job's submission", patience)
        session.progress("submitting", len(sent), len(sent))
    except UserError as error:
        raise UserError(f"{error}; {_advice(submitted)}") from error
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(_advice(submitted))
        raise
    return tuple(submitted)


def _upload(session: SpendingSession, data: bytes, patience: Patience) -> tuple[Hash, int]:
    """Return the blob's root and what was paid for it."""
    before = session.allowance.spent
    root = session.publish_blob(data, "the input", patience)
    return root, session.allowance.spent - before


def _require_balance(session: SpendingSession, quote: Quote) -> None:
    balance = session.account().balance
    if balance < quote.total:
        raise UserError(
            f"this costs {pouw(quote.total)}, the account has {pouw(balance)}: nothing was signed"
        )


def _advice(submitted: Sequence[Submitted]) -> str:
    return resume_advice([job.id for job in submitted]) if submitted else NOT_SUBMITTED
