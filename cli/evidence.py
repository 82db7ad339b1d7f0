"""All data that a settled job is checked with: fetched from a node, or read from a folder.

    manifest.json       format, network and job
    headers.bin         every sealed header from block 1 to the one whose state is proven
    job.proof           the job's record in that state; model.proof, the model's
    registration.tx     the model's transaction with its path to its block's root;
    submission.tx       the job's; settlement.tx, that which revealed the result
    program.bin, weights.bin, input.bin, product-N.bin
    opening-H.bin       operands' rows of block H, which the job mined

Nothing here is believed: see `audit`. Binary files are canonical encodings or blobs as they are.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec

from ..consensus import records as r
from ..core.block import MAX_SEALED_HEADER_BYTES, SealedHeader
from ..core.codec import U32, U63, Bytes32, Value, decode, encode
from ..core.errors import DecodeError, RuleViolation, UserError
from ..core.hashing import Hash
from ..core.stateproof import StateProof
from ..core.ticket import MAX_OPENING_BYTES, Opening
from ..core.transaction import MAX_TRANSACTION_BYTES, SettleJob, Transaction
from ..wallet.answers import HexHash, ask, unhex
from ..wallet.client import RpcClient
from ..wallet.jobs import read_blob
from ..wallet.session import Progress

T = TypeVar("T")

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_MAX_MANIFEST_BYTES: Final = 1 << 20
_MAX_HEADERS_BYTES: Final = 1 << 31
_MAX_PROOF_BYTES: Final = r.RECORD_LIMIT + (1 << 14)
_MAX_TRANSACTION_PROOF_BYTES: Final = MAX_TRANSACTION_BYTES + (1 << 11)
_MAX_BLOB_BYTES: Final = 1 << 32


class Headers(Value, frozen=True):
    """Blocks 1, 2, … as headers."""

    headers: tuple[SealedHeader, ...]


class IncludedTransaction(Value, frozen=True):
    """A transaction and its place under the transactions root of the block at `height`."""

    height: U63
    transaction: Transaction
    count: U32
    index: U32
    siblings: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=32)]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What somebody says about a settled job."""

    network: str
    job: Hash
    headers: tuple[SealedHeader, ...]
    job_proof: StateProof
    model_proof: StateProof
    registration: IncludedTransaction
    submission: IncludedTransaction
    settlement: IncludedTransaction
    program: bytes
    weights: bytes
    input: bytes
    products: tuple[bytes, ...]
    """Posted results, in the order in which the settlement names them."""
    openings: dict[int, Opening]
    """By height: those of blocks that the job's products mined."""


class _Proof(msgspec.Struct):
    block: HexHash
    height: U63
    proof: str


class _TransactionProof(msgspec.Struct):
    height: U63
    transaction: str
    transactions: U32
    index: U32
    siblings: tuple[HexHash, ...]


class _HeadersAnswer(msgspec.Struct):
    headers: list[str]


class _OpeningAnswer(msgspec.Struct):
    opening: str


class _Settlement(msgspec.Struct):
    settlement: HexHash


def read_record(kind: type[T], proof: StateProof, what: str) -> T:
    """Decode the record that a proof shows. Raises RuleViolation."""
    if proof.value is None:
        raise RuleViolation("state-proof", f"{what} is shown to be absent")
    return decode(kind, proof.value, r.RECORD_LIMIT)


def heights_mined_by(job: Hash, record: r.Job, headers: Iterable[SealedHeader]) -> Iterator[int]:
    """Yield the heights of the blocks that name a job while its last claimant held it."""
    for sealed in headers:
        if sealed.head.job_id == job and record.claimed < sealed.header.height < record.ended:
            yield sealed.header.height


# From a node ----------------------------------------------------------------------------------


def fetch_evidence(client: RpcClient, network: str, job: Hash, progress: Progress) -> Evidence:
    """Ask a node for all of it. Raises UserError where there is no such job, or no result yet."""
    settled = ask(client, _Settlement, "getjobresult", id=job.hex()).settlement
    node = _Node(client, progress)
    shown = node.state_proof(r.job_key(job))
    job_proof = node.read(StateProof, shown.proof, _MAX_PROOF_BYTES)
    record = _checked(client, lambda: read_record(r.Job, job_proof, "the job"))
    model = node.state_proof(r.model_key(record.model))
    model_proof = node.read(StateProof, model.proof, _MAX_PROOF_BYTES)
    model_record = _checked(client, lambda: read_record(r.Model, model_proof, "the model"))
    headers = node.headers(shown.height)
    if model.block != shown.block or not headers or headers[-1].id.hex() != shown.block:
        raise UserError("the chain has moved meanwhile: ask once more")
    settlement = node.transaction(settled)
    body = settlement.transaction.payload.body
    roots = body.products if isinstance(body, SettleJob) else ()
    return Evidence(
        network=network,
        job=job,
        headers=headers,
        job_proof=job_proof,
        model_proof=model_proof,
        registration=node.transaction(record.model.hex()),
        submission=node.transaction(job.hex()),
        settlement=settlement,
        program=read_blob(client, model_record.program),
        weights=read_blob(client, model_record.weights),
        input=read_blob(client, record.input),
        products=tuple(read_blob(client, root) for root in roots),
        openings={
            height: node.opening(height) for height in heights_mined_by(job, record, headers)
        },
    )


class _Node:
    """What `fetch_evidence` asks a node, decoded."""

    def __init__(self, client: RpcClient, progress: Progress) -> None:
        self._client: Final = client
        self._progress: Final = progress

    def state_proof(self, key: bytes) -> _Proof:
        return ask(self._client, _Proof, "getstateproof", key=key.hex())

    def headers(self, last: int) -> tuple[SealedHeader, ...]:
        found: list[SealedHeader] = []
        while len(found) < last:
            start = len(found) + 1
            self._progress("headers", start, last)
            answer = ask(self._client, _HeadersAnswer, "getheaders", start=start)
            if not answer.headers:
                raise UserError(f"{self._client.url} has no header {start}")
            for text in answer.headers:
                found.append(self.read(SealedHeader, text, MAX_SEALED_HEADER_BYTES))
        return tuple(found[:last])

    def transaction(self, identity: str) -> IncludedTransaction:
        answer = ask(self._client, _TransactionProof, "gettransactionproof", id=identity)
        siblings = tuple(bytes.fromhex(sibling) for sibling in answer.siblings)
        transaction = self.read(Transaction, answer.transaction, MAX_TRANSACTION_BYTES)
        return IncludedTransaction(
            answer.height, transaction, answer.transactions, answer.index, siblings
        )

    def opening(self, height: int) -> Opening:
        answer = ask(self._client, _OpeningAnswer, "getopening", height=height)
        return self.read(Opening, answer.opening, MAX_OPENING_BYTES)

    def read(self, kind: type[T], text: str, limit: int) -> T:
        data = unhex(self._client, text)
        return _checked(self._client, lambda: decode(kind, data, limit))


def _checked(client: RpcClient, read: Any) -> Any:
    try:
        return read()
    except RuleViolation as violation:
        raise UserError(f"{client.url} answers what cannot be: {violation}") from None


# In a folder ----------------------------------------------------------------------------------


def save_evidence(evidence: Evidence, folder: Path) -> int:
    """Write a folder that must not exist yet; return how many bytes. Raises UserError."""
    files = dict(_files(evidence))
    try:
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except FileExistsError:
        raise UserError(f"{folder} exists already: name a new folder") from None
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from None
    return sum(map(len, files.values()))


def load_evidence(folder: Path) -> Evidence:
    """Read what `save_evidence` wrote. Raises UserError naming a file that is missing or wrong."""
    manifest = _read(folder, _MANIFEST, _MAX_MANIFEST_BYTES)
    try:
        known = json.loads(manifest)
        network, job, products = known["network"], bytes.fromhex(known["job"]), known["products"]
        openings = [int(height) for height in known["openings"]]
        right = manifest == _manifest(network, job, range(products), openings)
    except (ValueError, TypeError, KeyError, RecursionError):
        right = False
        network, job, products, openings = "", b"", 0, []
    if not right:
        raise UserError(f"{folder / _MANIFEST} is not as it was written")
    included = (
        _decoded(folder, IncludedTransaction, f"{name}.tx", _MAX_TRANSACTION_PROOF_BYTES)
        for name in ("registration", "submission", "settlement")
    )
    registration, submission, settlement = included
    return Evidence(
        network=network,
        job=job,
        headers=_decoded(folder, Headers, "headers.bin", _MAX_HEADERS_BYTES).headers,
        job_proof=_decoded(folder, StateProof, "job.proof", _MAX_PROOF_BYTES),
        model_proof=_decoded(folder, StateProof, "model.proof", _MAX_PROOF_BYTES),
        registration=registration,
        submission=submission,
        settlement=settlement,
        program=_read(folder, "program.bin", _MAX_BLOB_BYTES),
        weights=_read(folder, "weights.bin", _MAX_BLOB_BYTES),
        input=_read(folder, "input.bin", _MAX_BLOB_BYTES),
        products=tuple(_read(folder, f"product-{i}.bin", _MAX_BLOB_BYTES) for i in range(products)),
        openings={
            height: _decoded(folder, Opening, f"opening-{height}.bin", MAX_OPENING_BYTES)
            for height in openings
        },
    )


def _files(evidence: Evidence) -> Iterator[tuple[str, bytes]]:
    yield (
        _MANIFEST,
        _manifest(evidence.network, evidence.job, evidence.products, evidence.openings),
    )
    yield "headers.bin", encode(Headers(evidence.headers))
    yield "job.proof", encode(evidence.job_proof)
    yield "model.proof", encode(evidence.model_proof)
    yield "registration.tx", encode(evidence.registration)
    yield "submission.tx", encode(evidence.submission)
    yield "settlement.tx", encode(evidence.settlement)
    yield "program.bin", evidence.program
    yield "weights.bin", evidence.weights
    yield "input.bin", evidence.input
    for index, data in enumerate(evidence.products):
        yield f"product-{index}.bin", data
    for height, opening in evidence.openings.items():
        yield f"opening-{height}.bin", encode(opening)


def _manifest(network: str, job: Hash, products: Any, openings: Iterable[int]) -> bytes:
    known = {
        "format": FORMAT,
        "network": network,
        "job": job.hex(),
        "products": len(products),
        "openings": list(openings),
    }
    return f"{json.dumps(known, indent=2)}\n".encode()


def _decoded(folder: Path, kind: type[T], name: str, limit: int) -> T:
    try:
        return decode(kind, _read(folder, name, limit), limit)
    except DecodeError as error:
        raise UserError(f"{folder / name}: {error}") from None


def _read(folder: Path, name: str, limit: int) -> bytes:
    path = folder / name
    try:
        if path.stat().st_size > limit:
            raise UserError(f"{path} is longer than {limit} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
