"""Blocks: a header fixed before mining, the head of its proof, a signature, and a body.

σ = H("header", header) seeds the noise; id = H("block", header ‖ head). Header, head and signature
(a few hundred bytes) travel apart from bodies. The signature is by the header's miner over the id,
made after winning: without it anybody could mine a block in a worker's name that lies about the
worker's job. It is not part of the id, and Ed25519 as libsodium checks it cannot be altered by
others.
"""

from typing import Annotated, Final

import msgspec

from .blob import Chunk
from .codec import U32, U63, Bytes32, Bytes64, Value, encode
from .commitment import list_root
from .hashing import ZERO_HASH, Hash, digest, read_u256
from .keys import PrivateKey, address_of, verify_signature
from .ticket import Head, Opening
from .transaction import Transaction

MAX_BLOCK_TRANSACTIONS: Final = 65_536
MAX_BLOCK_CHUNKS: Final = 4_096
MAX_SEALED_HEADER_BYTES: Final = 1_024


class Header(Value, frozen=True):
    """Everything that is decided before a block is mined."""

    version: U32
    parent: Bytes32
    """Id of the parent block."""
    height: U63
    time: U63
    """UTC seconds."""
    difficulty: Bytes32
    """Expected multiply-accumulates to find this block, 32-byte little-endian."""
    miner: Bytes32
    """Public key that signs the block; a worker's hot key."""
    payout: Bytes32
    """Address that receives subsidy and fees."""
    transactions_root: Bytes32
    state_root: Bytes32
    """Root of the state after this block's transactions."""

    @property
    def sigma(self) -> Hash:
        """σ, the seed of all noise under this header."""
        return digest("header", encode(self))

    @property
    def work(self) -> int:
        """The difficulty as an integer: MACs this block adds to its chain."""
        return read_u256(self.difficulty)

    @property
    def miner_address(self) -> bytes:
        """Address of the key that signs."""
        return address_of(self.miner)


class SealedHeader(Value, frozen=True):
    """Header, head of the proof and the miner's signature: what headers-first sync moves."""

    header: Header
    head: Head
    signature: Bytes64

    @property
    def id(self) -> Hash:
        """H("block", header ‖ head)."""
        return block_id(self.header, self.head)

    def signature_is_valid(self) -> bool:
        """Check the miner's signature over the id."""
        return verify_signature(self.header.miner, self.id, self.signature)


class BlockBody(Value, frozen=True):
    """What the sealed header commits to: the proof's opening, the transactions and their chunks."""

    opening: Opening
    transactions: Annotated[
        tuple[Transaction, ...], msgspec.Meta(max_length=MAX_BLOCK_TRANSACTIONS)
    ]
    chunks: Annotated[tuple[Chunk, ...], msgspec.Meta(max_length=MAX_BLOCK_CHUNKS)]
    """Chunks of the block's uploads, in the order of the uploads."""


class Block(Value, frozen=True):
    """A whole block."""

    sealed: SealedHeader
    body: BlockBody

    @property
    def header(self) -> Header:
        """The header inside."""
        return self.sealed.header

    @property
    def id(self) -> Hash:
        """The sealed header's id."""
        return self.sealed.id


def block_id(header: Header, head: Head) -> Hash:
    """Return H("block", canonical header ‖ canonical head)."""
    return digest("block", encode(header), encode(head))


def transactions_root(transactions: tuple[Transaction, ...]) -> Hash:
    """Return the root over the canonical bytes of a block's transactions; zero when empty."""
    if not transactions:
        return ZERO_HASH
    return list_root([encode(transaction) for transaction in transactions])


def seal(key: PrivateKey, header: Header, head: Head) -> SealedHeader:
    """Sign a found block with the header's miner key."""
    return SealedHeader(header, head, key.sign(block_id(header, head)))
