"""What travels: a fault of a posted trace and the openings that show it.

Positions are never spelled out where they follow from something else: a judge says which leaves of
which tensors it reads, so an opening is bytes and hashes only, and there is one proof of one fault.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

from ...core.blob import Chunk
from ...core.codec import U32, U63, Bytes32, Value, decode, encode
from ...vm.judge.bounds import MAX_PROOF_BYTES
from ...vm.limits import MAX_PARTS

MAX_SIBLINGS: Final = MAX_PROOF_BYTES // 34
_MAX_ROOTS: Final = MAX_PARTS + 1
_MAX_READS: Final = 6
"""A Blend's cell and its five operands."""

Siblings: TypeAlias = Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_SIBLINGS)]


class Opening(Value, frozen=True):
    """Some leaves of one tensor, joined, and the hashes that prove them (`vm.multiproof`)."""

    leaves: Annotated[bytes, msgspec.Meta(max_length=MAX_PROOF_BYTES)]
    siblings: Siblings


class Roots(Value, frozen=True):
    """Roots of some tensors, ascending by number, and the hashes that prove them."""

    roots: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=_MAX_ROOTS)]
    siblings: Siblings


class CellOpening(Value, frozen=True, tag=1):
    """One cell of an op's result, and all that decides it.

    As a fault: the cell is not what the op gives. As an answer to an audit: it is.
    """

    op: U32
    cell: U63
    """Number of the cell in C order, items first."""
    trace: Roots
    """Of the op's computed operands and its result."""
    constants: Roots
    """Of its constants."""
    openings: Annotated[tuple[Opening, ...], msgspec.Meta(max_length=_MAX_READS)]
    """The cell's leaf, then those of each box that the judge reads, in its order."""


class InputFault(Value, frozen=True, tag=2):
    """A cell of the trace's first value is not what the input blob holds there."""

    cell: U63
    trace: Roots
    opening: Opening
    chunk: Chunk


class OutputFault(Value, frozen=True, tag=3):
    """A cell of the trace's last value is not what the posted output holds there."""

    cell: U63
    trace: Roots
    opening: Opening
    chunk: Chunk


class LeafFault(Value, frozen=True, tag=4):
    """A leaf of the trace has padding that is not zero, or a cell outside its value's interval."""

    tensor: U32
    leaf: U32
    trace: Roots
    opening: Opening


class PaddingFault(Value, frozen=True, tag=5):
    """Where a tensor's tree has no leaf any more, something else than 32 zero bytes stands."""

    tensor: U32
    leaf: U32
    """Beyond the last leaf, within the next power of two."""
    found: Bytes32
    trace: Roots
    siblings: Siblings


class RootFault(Value, frozen=True, tag=6):
    """Where the trace has no tensor any more, something else than 32 zero bytes stands."""

    tensor: U32
    found: Bytes32
    siblings: Siblings


Fault: TypeAlias = CellOpening | InputFault | OutputFault | LeafFault | PaddingFault | RootFault


class FraudProof(Value, frozen=True):
    """A fault in the trace posted for a job."""

    job: Bytes32
    fault: Fault


def encode_proof(proof: FraudProof) -> bytes:
    """Return the canonical bytes of a proof."""
    return encode(proof)


def decode_proof(data: bytes) -> FraudProof:
    """Read a proof from at most 256 kB of canonical bytes. Raises DecodeError."""
    return decode(FraudProof, data, MAX_PROOF_BYTES)
