"""Collecting a receipt: everything about a settled job that a node can tell and prove."""

from typing import Annotated, Literal

import msgspec

from ..consensus.records import job_key
from ..core.codec import U32, U63
from ..core.errors import UserError
from ..core.transaction import MAX_OUTPUT_BYTES
from ..genesis import Params
from ..vm.limits import MAX_DIMS, MAX_ITEMS
from ..wallet import answers
from ..wallet.answers import HexHash, ask, ask_optional
from ..wallet.client import RpcClient
from .models import Model
from .receipt import Cost, HexBytes, Proof, Receipt


class JobRecord(answers.JobState, frozen=True, kw_only=True):
    """`getjob`: a job as the node tells it. Amounts in base units."""

    model: HexHash
    input: HexHash
    check_fee: U63
    burn: U63
    items: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]
    output: HexHash | None = None
    """Blob root of a settled job's output."""


class _Result(msgspec.Struct, frozen=True):
    """`getjobresult`."""

    output: Annotated[str, msgspec.Meta(max_length=2 * MAX_OUTPUT_BYTES)]
    dtype: Literal["int8", "int32"]
    shape: Annotated[tuple[U63, ...], msgspec.Meta(min_length=1, max_length=MAX_DIMS + 1)]
    block: HexHash
    height: U63
    worker: str
    settlement: HexHash


class _Inclusion(msgspec.Struct, frozen=True):
    """`gettransactionproof`."""

    header: HexBytes
    transaction: HexBytes
    transactions: U32
    index: U32
    siblings: tuple[HexHash, ...]


class _StateProof(msgspec.Struct, frozen=True):
    """`getstateproof`."""

    header: HexBytes
    proof: HexBytes


class _Transaction(msgspec.Struct, frozen=True):
    fee: U63


class _Submission(msgspec.Struct, frozen=True):
    """`gettransaction`."""

    transaction: _Transaction | None = None


def fetch_job(rpc: RpcClient, job: str) -> JobRecord:
    """Return where a job stands. Raises UserError when the node knows no such job."""
    state = ask_optional(rpc, JobRecord, "getjob", id=job)
    if state is None:
        raise UserError(
            f"no job {job} on this chain: check its id, or wait until its submission is in a block"
        )
    return state


def fetch_receipt(
    rpc: RpcClient, params: Params, model: Model, job: str, fees: int | None = None
) -> Receipt:
    """Return the verified receipt of a settled job of `model`.

    `fees` are base units paid for it; without them, what its submission paid. Raises UserError
    when the job has no result, or the node's answers do not prove what they claim.
    """
    state = fetch_job(rpc, job)
    if state.status != "settled":
        raise UserError(f"job {job} has no result: it is {state.status}")
    if state.model != model.id:
        raise UserError(f"job {job} is one of model {state.model}, not {model.id}")
    result = ask(rpc, _Result, "getjobresult", id=job)
    expected = (state.items, *model.output.shape)
    if result.shape != expected or result.dtype != model.output.dtype:
        raise UserError(
            f"the node at {rpc.url} sent a result of {result.dtype}{list(result.shape)}, "
            f"the model gives {model.output.dtype}{list(expected)}"
        )
    receipt = Receipt(
        network=params.name,
        job=job,
        model=model.id,
        model_version=model.version,
        input=state.input,
        output=_output_root(rpc, state),
        dtype=result.dtype,
        shape=result.shape,
        worker=result.worker,
        block=result.block,
        height=result.height,
        settlement=result.settlement,
        cost=Cost(
            bounty=state.bounty,
            burn=state.burn,
            check_fee=state.check_fee,
            fees=_submission_fee(rpc, job) if fees is None else fees,
        ),
        proof=_proof(rpc, job, result.settlement),
    )
    receipt.verify(answers.unhex(rpc, result.output))
    return receipt


def _output_root(rpc: RpcClient, state: JobRecord) -> str:
    if state.output is None:
        raise UserError(f"the node at {rpc.url} calls a job settled that has no output")
    return state.output


def _proof(rpc: RpcClient, job: str, settlement: str) -> Proof:
    inclusion = ask(rpc, _Inclusion, "gettransactionproof", id=settlement)
    state = ask(rpc, _StateProof, "getstateproof", key=job_key(bytes.fromhex(job)).hex())
    return Proof(
        header=inclusion.header,
        transaction=inclusion.transaction,
        transactions=inclusion.transactions,
        index=inclusion.index,
        siblings=inclusion.siblings,
        state_header=state.header,
        state=state.proof,
    )


def _submission_fee(rpc: RpcClient, job: str) -> int:
    found = ask(rpc, _Submission, "gettransaction", id=job)
    return 0 if found.transaction is None else found.transaction.fee
