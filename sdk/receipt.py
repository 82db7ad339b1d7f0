"""A receipt: what was computed, by whom, for how much, and the proof that the chain says so.

The proof has two parts, each with a sealed header. The settlement transaction, with the output in
it, leads by its Merkle path to the transactions root of the block that settled the job. A wrong
result would be in a block, too: it costs its sender the bond. So the job's record, which says that
this very output was accepted, is proven against the state root of that block or a later one.

`Receipt.verify` needs no network. What it cannot see is whether those headers are on the best
chain; `Receipt.confirm` asks a node that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..consensus import records
from ..consensus.header_rules import HEADER_VERSION
from ..consensus.ticket import check_head
from ..core.blob import blob_root
from ..core.block import MAX_SEALED_HEADER_BYTES, SealedHeader
from ..core.codec import U32, U63, decode
from ..core.commitment import verify_item
from ..core.errors import RuleViolation, UserError
from ..core.keys import format_address
from ..core.stateproof import StateProof, verify_state_proof
from ..core.transaction import MAX_OUTPUT_BYTES, MAX_TRANSACTION_BYTES, SettleJob, Transaction
from ..genesis import Params
from ..genesis import network as find_network
from ..vm.limits import MAX_DIM, MAX_DIMS, MAX_ITEMS
from ..vm.types import DType
from ..wallet.answers import HexHash

T = TypeVar("T")

MAX_STATE_PROOF_BYTES: Final = 1 << 20
"""A job's record and 256 siblings take far less."""
MAX_JSON_BYTES: Final = 4 * (MAX_TRANSACTION_BYTES + MAX_STATE_PROOF_BYTES)
"""Bounds a receipt before it is read."""
_MAX_PATH: Final = 32

HexBytes: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^([0-9a-f]{2})+\Z", max_length=2 * MAX_STATE_PROOF_BYTES)
]
"""Canonical bytes."""

TRUSTED: Final = (
    "that both headers are on the best chain: ask a node with confirm()",
    "that miners and nodes followed the rules: the headers' tickets meet their difficulty, but "
    "neither the product behind a ticket nor the answer is computed again",
    "the model's version, the shape of the output and the fees, which are the node's word",
)
"""What `verify` cannot show."""


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was paid, in base units."""

    bounty: U63
    burn: U63
    check_fee: U63
    fees: U63
    """Of the submission, and of the uploads made for it by the client that wrote the receipt."""

    @property
    def total(self) -> int:
        """All together."""
        return self.bounty + self.burn + self.check_fee + self.fees


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of inclusion and of acceptance. Hex throughout."""

    header: HexBytes
    """Sealed header of the block that settled the job."""
    transaction: HexBytes
    """The settlement, with the output."""
    transactions: U32
    """Number in the block."""
    index: U32
    siblings: Annotated[tuple[HexHash, ...], msgspec.Meta(max_length=_MAX_PATH)]
    """From the transaction up to the header's transactions root."""
    state_header: HexBytes
    """Sealed header of that block or a later one."""
    state: HexBytes
    """StateProof of the job's record against the state root in `state_header`."""


class Chain(Protocol):
    """What `confirm` asks of a client."""

    def block_at(self, height: int) -> str:
        """Return the id of the active block at a height. Raises UserError."""
        ...

    def height(self) -> int:
        """Return the height of the tip. Raises UserError."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receipt has shown."""

    difficulty: int
    """Least of its headers', in expected MACs: what a forger would have had to hash against."""
    trusted: tuple[str, ...] = TRUSTED
    """What remains to be believed."""


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of one settled job. Hashes in hex."""

    version: Literal[1] = 1
    """Of this format."""
    network: Annotated[str, msgspec.Meta(max_length=32)]
    job: HexHash
    model: HexHash
    model_version: U32
    input: HexHash
    """Blob root of the input."""
    output: HexHash
    """Blob root of the output."""
    dtype: Literal["int8", "int32"]
    shape: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1, le=max(MAX_DIM, MAX_ITEMS))], ...],
        msgspec.Meta(min_length=1, max_length=MAX_DIMS + 1),
    ]
    """Of the output, the items first."""
    worker: Annotated[str, msgspec.Meta(max_length=128)]
    """Address."""
    block: HexHash
    height: U63
    settlement: HexHash
    """Id of the settlement transaction."""
    cost: Cost
    proof: Proof

    def to_json(self) -> str:
        """Write the receipt as one JSON object."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """Read a receipt. Raises UserError for anything but one; nothing in it is verified yet."""
        if len(text) > MAX_JSON_BYTES:
            raise UserError(f"a receipt has at most {MAX_JSON_BYTES} bytes, this has {len(text)}")
        try:
            return msgspec.json.decode(text, type=cls, strict=True)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise UserError(f"not a receipt: {error}") from None

    def raw_output(self) -> NDArray[Any]:
        """Return the output's integers (items, *shape), read-only, from the settlement itself.

        Raises UserError when the receipt is damaged. Only `verify` tells whether it is true.
        """
        return self._array(self._settlement()[1].output)

    def verify(self, output: NDArray[Any] | bytes | None = None) -> Verdict:
        """Check everything that can be checked without a network.

        `output`, integers or their bytes, is compared with the settlement's where it is given.
        Raises UserError naming the first thing that is wrong.
        """
        params = find_network(self.network)
        transaction, settlement = self._settlement()
        self._array(settlement.output)
        self._check_settlement(params, transaction, settlement)
        if output is not None:
            _require(_raw_bytes(output) == settlement.output, "the output is another one")
        header = _read_header(self.proof.header, params)
        _require(header.id.hex() == self.block, "the header is not the block's")
        _require(header.header.height == self.height, "the block has another height")
        _broken_by(lambda: self._check_inclusion(header))
        later = _read_header(self.proof.state_header, params)
        _require(later.header.height >= self.height, "the state is older than the settlement")
        record = _broken_by(lambda: self._record(later))
        self._check_record(params, record)
        return Verdict(min(header.header.work, later.header.work))

    def confirm(self, client: Chain) -> int:
        """Verify, and ask a node whether the receipt's blocks are on its best chain.

        Returns the number of blocks on top, the settling one included. Raises UserError.
        """
        self.verify()
        later = _read_header(self.proof.state_header, find_network(self.network))
        tip = client.height()
        for height, block in ((self.height, self.block), (later.header.height, later.id.hex())):
            if height > tip or client.block_at(height) != block:
                raise UserError(
                    f"block {block} at height {height} is not on the node's best chain: "
                    "the job may be settled in another block by now; fetch its receipt again"
                )
        return tip - self.height + 1

    def _settlement(self) -> tuple[Transaction, SettleJob]:
        data = bytes.fromhex(self.proof.transaction)
        transaction = _broken_by(lambda: decode(Transaction, data, MAX_TRANSACTION_BYTES))
        body = transaction.payload.body
        if not isinstance(body, SettleJob):
            raise _broken("its transaction settles nothing")
        return transaction, body

    def _array(self, output: bytes) -> NDArray[Any]:
        kind = DType[self.dtype.upper()]
        size = kind.size
        for length in self.shape:
            size *= length
            _require(size <= MAX_OUTPUT_BYTES, "its shape is larger than any output")
        _require(size == len(output), "its output does not have its shape")
        array = np.frombuffer(output, kind.storage).reshape(self.shape)
        array.flags.writeable = False
        return array

    def _check_settlement(self, params: Params, transaction: Transaction, body: SettleJob) -> None:
        payload = transaction.payload
        _require(transaction.id.hex() == self.settlement, "its transaction has another id")
        _require(payload.chain_id == params.chain_id, "its transaction is another network's")
        _require(transaction.signature_is_valid(), "its transaction is not signed by its sender")
        _require(body.job.hex() == self.job, "its transaction settles another job")
        sender = format_address(payload.sender_address, params.address_prefix)
        _require(sender == self.worker, "its transaction is not the worker's")
        _require(blob_root(body.output).hex() == self.output, "its output has another root")

    def _check_inclusion(self, header: SealedHeader) -> None:
        proof = self.proof
        siblings = [bytes.fromhex(each) for each in proof.siblings]
        root, data = header.header.transactions_root, bytes.fromhex(proof.transaction)
        verify_item(root, proof.transactions, proof.index, data, siblings)

    def _record(self, later: SealedHeader) -> records.Job:
        data = bytes.fromhex(self.proof.state)
        proof = decode(StateProof, data, MAX_STATE_PROOF_BYTES)
        key = records.job_key(bytes.fromhex(self.job))
        value = verify_state_proof(later.header.state_root, key, proof)
        if value is None:
            raise _broken("its state has no such job")
        return decode(records.Job, value, records.RECORD_LIMIT)

    def _check_record(self, params: Params, job: records.Job) -> None:
        _require(job.status == records.JobStatus.SETTLED, "the job was not settled")
        _require(job.ended == self.height, "the job was settled at another height")
        _require(job.output.hex() == self.output, "the job was settled with another output")
        _require(job.model.hex() == self.model, "the job is one of another model")
        _require(job.input.hex() == self.input, "the job has another input")
        _require(job.items == self.shape[0], "the job has another number of items")
        worker = format_address(job.worker, params.address_prefix)
        _require(worker == self.worker, "the job was settled by another worker")
        paid = (job.bounty, job.burn, job.check_fee)
        claimed = (self.cost.bounty, self.cost.burn, self.cost.check_fee)
        _require(paid == claimed, "the job had another price")


def _read_header(data: str, params: Params) -> SealedHeader:
    """Return a sealed header whose ticket wins at its own difficulty. Raises UserError."""

    def read() -> SealedHeader:
        sealed = decode(SealedHeader, bytes.fromhex(data), MAX_SEALED_HEADER_BYTES)
        header = sealed.header
        if header.version != HEADER_VERSION or header.work < params.min_difficulty:
            raise _broken("a header is below the network's least difficulty, or of no version")
        check_head(header.sigma, sealed.head, header.work)
        if not sealed.signature_is_valid():
            raise _broken("a header is not signed by its miner")
        return sealed

    return _broken_by(read)


def _raw_bytes(output: NDArray[Any] | bytes) -> bytes:
    if isinstance(output, bytes):
        return output
    if output.dtype.kind != "i" or output.dtype.itemsize not in (1, 4):
        raise UserError("verify takes the output's integers: answer.raw, or the bytes")
    return output.astype(output.dtype.newbyteorder("<"), copy=False).tobytes()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise _broken(what)


def _broken_by(check: Callable[[], T]) -> T:
    """Return what a check returns; a violation of its rules is the receipt's fault."""
    try:
        return check()
    except RuleViolation as violation:
        raise _broken(violation.detail) from None


def _broken(what: str) -> UserError:
    return UserError(f"the receipt does not hold: {what}")
