"""The messages of the wire: one binary WebSocket frame each, in the canonical encoding.

A frame is the MessagePack array [kind, fields…], so its first two bytes tell the kind, and with it
the largest size, before anything is decoded.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

from ..core.block import SealedHeader
from ..core.codec import U16, U32, U63, Bytes8, Bytes32, Value, decode, encode
from ..core.errors import DecodeError
from ..core.hashing import read_u256, u256
from ..core.transaction import Bundle
from .errors import Misbehaviour
from .ledger import Tip
from .limits import (
    FRAME_LIMITS,
    MAX_ADDRESS_CHARS,
    MAX_ADDRESSES,
    MAX_AGENT_CHARS,
    MAX_ANNOUNCED_HEADERS,
    MAX_BODIES,
    MAX_BODY_BYTES,
    MAX_HEADERS,
    MAX_INVENTORY,
    MAX_LOCATOR,
    MAX_TRANSACTIONS,
    Kind,
    Offence,
)

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
BodyIds = Annotated[tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=MAX_BODIES)]
TransactionIds = Annotated[
    tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=MAX_TRANSACTIONS)
]


class TipClaim(Value, frozen=True):
    """The sender's best validated block: a hint where to ask, never believed for itself."""

    id: Bytes32
    height: U63
    work: Bytes32
    """Cumulative difficulty, little-endian."""


class Hello(Value, frozen=True, tag=Kind.HELLO.value):
    """First message of both ends."""

    version: U16
    chain_id: U32
    genesis: Bytes32
    node: Bytes16
    """Random, drawn at start: recognises itself and a second connection to the same node."""
    port: U16
    """Where the sender listens, on the address it is seen under; 0 when it does not."""
    agent: Annotated[str, msgspec.Meta(max_length=MAX_AGENT_CHARS)]
    tip: TipClaim


class Ping(Value, frozen=True, tag=Kind.PING.value):
    """Asks for a Pong with the same nonce."""

    nonce: Bytes8


class Pong(Value, frozen=True, tag=Kind.PONG.value):
    """Answers a Ping."""

    nonce: Bytes8


class GetPeers(Value, frozen=True, tag=Kind.GET_PEERS.value):
    """Asks for addresses of nodes."""


class Peers(Value, frozen=True, tag=Kind.PEERS.value):
    """Answers GetPeers with "ip:port" texts."""

    addresses: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS)], ...],
        msgspec.Meta(max_length=MAX_ADDRESSES),
    ]


class Announcement(Value, frozen=True, tag=Kind.ANNOUNCEMENT.value):
    """The sender's new tip with the last headers that lead to it (after BIP-130)."""

    tip: TipClaim
    headers: Annotated[
        tuple[SealedHeader, ...], msgspec.Meta(min_length=1, max_length=MAX_ANNOUNCED_HEADERS)
    ]
    """Linked, ascending, the tip's own last."""


class GetHeaders(Value, frozen=True, tag=Kind.GET_HEADERS.value):
    """Asks for the headers after the first id that the receiver has on its chain."""

    locator: Annotated[tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=MAX_LOCATOR)]


class Headers(Value, frozen=True, tag=Kind.HEADERS.value):
    """Answers GetHeaders; fewer than MAX_HEADERS means that the sender has no more."""

    headers: Annotated[tuple[SealedHeader, ...], msgspec.Meta(max_length=MAX_HEADERS)]


class GetBodies(Value, frozen=True, tag=Kind.GET_BODIES.value):
    """Asks for block bodies; each is answered by a Body or listed in BodiesMissing."""

    ids: BodyIds


class Body(Value, frozen=True, tag=Kind.BODY.value):
    """One block body."""

    id: Bytes32
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_BODY_BYTES)]
    """Canonical bytes of a BlockBody, judged by the chain."""


class BodiesMissing(Value, frozen=True, tag=Kind.BODIES_MISSING.value):
    """Asked-for bodies that the sender does not have."""

    ids: BodyIds


class Inventory(Value, frozen=True, tag=Kind.INVENTORY.value):
    """Transactions that the sender has validated and holds."""

    ids: Annotated[tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=MAX_INVENTORY)]


class GetTransactions(Value, frozen=True, tag=Kind.GET_TRANSACTIONS.value):
    """Asks for transactions; each is answered or listed in TransactionsMissing."""

    ids: TransactionIds


class TransactionReply(Value, frozen=True, tag=Kind.TRANSACTION.value):
    """One transaction with its chunks."""

    bundle: Bundle


class TransactionsMissing(Value, frozen=True, tag=Kind.TRANSACTIONS_MISSING.value):
    """Asked-for transactions that the sender no longer has."""

    ids: TransactionIds


Message: TypeAlias = (
    Hello
    | Ping
    | Pong
    | GetPeers
    | Peers
    | Announcement
    | GetHeaders
    | Headers
    | GetBodies
    | Body
    | BodiesMissing
    | Inventory
    | GetTransactions
    | TransactionReply
    | TransactionsMissing
)

_TYPES: Final[dict[Kind, type[Message]]] = {
    Kind.HELLO: Hello,
    Kind.PING: Ping,
    Kind.PONG: Pong,
    Kind.GET_PEERS: GetPeers,
    Kind.PEERS: Peers,
    Kind.ANNOUNCEMENT: Announcement,
    Kind.GET_HEADERS: GetHeaders,
    Kind.HEADERS: Headers,
    Kind.GET_BODIES: GetBodies,
    Kind.BODY: Body,
    Kind.BODIES_MISSING: BodiesMissing,
    Kind.INVENTORY: Inventory,
    Kind.GET_TRANSACTIONS: GetTransactions,
    Kind.TRANSACTION: TransactionReply,
    Kind.TRANSACTIONS_MISSING: TransactionsMissing,
}

_FIXARRAY: Final = 0x90  # MessagePack: up to fifteen elements; the low four bits count them
_MAX_FIXINT: Final = 0x7F


def claim(tip: Tip) -> TipClaim:
    """Return a tip as it travels."""
    return TipClaim(tip.id, tip.height, u256(tip.work))


def claimed_tip(claim: TipClaim) -> Tip:
    """Return a received claim as a tip."""
    return Tip(claim.id, claim.height, read_u256(claim.work))


def encode_message(message: Message) -> bytes:
    """Return the frame of a message."""
    return encode(message)


def frame_kind(frame: bytes) -> Kind:
    """Read the kind from a frame's first two bytes. Raises Misbehaviour."""
    if len(frame) < 2 or frame[0] & 0xF0 != _FIXARRAY or frame[1] > _MAX_FIXINT:
        raise Misbehaviour(Offence.MALFORMED, "not a message")
    try:
        return Kind(frame[1])
    except ValueError:
        raise Misbehaviour(Offence.MALFORMED, f"unknown kind {frame[1]}") from None


def decode_message(kind: Kind, frame: bytes) -> Message:
    """Read a frame of a known kind, its size checked first. Raises Misbehaviour."""
    limit = FRAME_LIMITS[kind].max_bytes
    if len(frame) > limit:
        raise Misbehaviour(
            Offence.OVERSIZED, f"{kind.name} of {len(frame)} bytes, at most {limit} are allowed"
        )
    try:
        return decode(_TYPES[kind], frame, limit)
    except DecodeError as error:
        raise Misbehaviour(Offence.MALFORMED, f"{kind.name}: {error.detail}") from None
