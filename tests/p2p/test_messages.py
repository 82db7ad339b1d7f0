"""Frames: every message survives the trip, nothing else is ever accepted, sizes come first."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.block import Header, SealedHeader
from pouw.core.hashing import ZERO_HASH
from pouw.core.ticket import Head
from pouw.core.transaction import Bundle, Output, Payload, Transaction, Transfer
from pouw.p2p.errors import Misbehaviour
from pouw.p2p.ledger import Tip
from pouw.p2p.limits import (
    BAN_SCORE,
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
    PRICES,
    Kind,
    Offence,
)
from pouw.p2p.messages import (
    Announcement,
    BodiesMissing,
    Body,
    GetBodies,
    GetHeaders,
    GetPeers,
    GetTransactions,
    Headers,
    Hello,
    Inventory,
    Message,
    Peers,
    Ping,
    Pong,
    TransactionReply,
    TransactionsMissing,
    claim,
    claimed_tip,
    decode_message,
    encode_message,
    frame_kind,
)

ID = bytes([255]) * 32
U32, U63 = 2**32 - 1, 2**63 - 1
TIP = Tip(ID, U63, 2**256 - 1)
SEALED = SealedHeader(
    Header(U32, ID, U63, U63, ID, ID, ID, ID, ID),
    Head(U32, U32, U32, bytes(8), ID, U32, U32, U32, ID, ID, bytes(128)),
    bytes(64),
)
BUNDLE = Bundle(
    Transaction(Payload(U32, ID, U63, U63, U63, Transfer((Output(ID, U63),))), bytes(64)), ()
)

LARGEST: dict[Kind, Message] = {
    Kind.HELLO: Hello(2**16 - 1, U32, ID, bytes(16), 2**16 - 1, "é" * MAX_AGENT_CHARS, claim(TIP)),
    Kind.PING: Ping(bytes(8)),
    Kind.PONG: Pong(bytes(8)),
    Kind.GET_PEERS: GetPeers(),
    Kind.PEERS: Peers(("a" * MAX_ADDRESS_CHARS,) * MAX_ADDRESSES),
    Kind.ANNOUNCEMENT: Announcement(claim(TIP), (SEALED,) * MAX_ANNOUNCED_HEADERS),
    Kind.GET_HEADERS: GetHeaders((ID,) * MAX_LOCATOR),
    Kind.HEADERS: Headers((SEALED,) * MAX_HEADERS),
    Kind.GET_BODIES: GetBodies((ID,) * MAX_BODIES),
    Kind.BODY: Body(ID, bytes(MAX_BODY_BYTES)),
    Kind.BODIES_MISSING: BodiesMissing((ID,) * MAX_BODIES),
    Kind.INVENTORY: Inventory((ID,) * MAX_INVENTORY),
    Kind.GET_TRANSACTIONS: GetTransactions((ID,) * MAX_TRANSACTIONS),
    Kind.TRANSACTION: TransactionReply(BUNDLE),
    Kind.TRANSACTIONS_MISSING: TransactionsMissing((ID,) * MAX_TRANSACTIONS),
}
SMALL = [message for kind, message in LARGEST.items() if kind is not Kind.BODY]


def read(frame: bytes) -> Message:
    return decode_message(frame_kind(frame), frame)


def test_the_tables_are_complete() -> None:
    assert LARGEST.keys() == FRAME_LIMITS.keys() == set(Kind)
    assert PRICES.keys() == set(Offence)
    assert all(0 < price <= BAN_SCORE for price in PRICES.values())


@pytest.mark.parametrize("kind", Kind)
def test_largest_message_of_each_kind_fits_and_survives(kind: Kind) -> None:
    message = LARGEST[kind]
    frame = encode_message(message)
    assert frame_kind(frame) is kind
    assert len(frame) <= FRAME_LIMITS[kind].max_bytes
    assert read(frame) == message


@pytest.mark.parametrize("kind", Kind)
def test_frames_are_plain_messagepack_arrays_led_by_the_kind(kind: Kind) -> None:
    fields = msgpack.unpackb(encode_message(LARGEST[kind]))
    assert fields[0] == kind.value
    assert len(fields) == 1 + len(LARGEST[kind].__struct_fields__)


@pytest.mark.parametrize(
    "message",
    [
        Peers(("a",) * (MAX_ADDRESSES + 1)),
        Announcement(claim(TIP), ()),
        Announcement(claim(TIP), (SEALED,) * (MAX_ANNOUNCED_HEADERS + 1)),
        GetHeaders(()),
        Headers((SEALED,) * (MAX_HEADERS + 1)),
        GetBodies(()),
        GetBodies((ID,) * (MAX_BODIES + 1)),
        GetBodies((bytes(31),)),
        Inventory(()),
        Inventory((ID,) * (MAX_INVENTORY + 1)),
        GetTransactions((ID,) * (MAX_TRANSACTIONS + 1)),
        Ping(bytes(9)),
        Hello(1, -1, ID, bytes(16), 1, "", claim(TIP)),
        Hello(1, 1, ID, bytes(16), 2**16, "", claim(TIP)),
    ],
)
def test_counts_and_ranges_are_bounded(message: Message) -> None:
    with pytest.raises(Misbehaviour) as caught:
        read(encode_message(message))
    assert caught.value.offence in (Offence.MALFORMED, Offence.OVERSIZED)


@pytest.mark.parametrize("kind", Kind)
def test_size_is_checked_before_decoding(kind: Kind) -> None:
    frame = bytes([0x9F, kind.value]).ljust(FRAME_LIMITS[kind].max_bytes + 1, b"\xc1")
    with pytest.raises(Misbehaviour) as caught:
        read(frame)
    assert caught.value.offence is Offence.OVERSIZED


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_canonical(frame: bytes) -> None:
    try:
        message = read(frame)
    except Misbehaviour as error:
        assert error.offence is Offence.MALFORMED or len(frame) > 16
    else:
        assert encode_message(message) == frame


@given(st.sampled_from(Kind), st.binary(max_size=200))
def test_random_fields_under_a_known_kind_are_refused_or_canonical(kind: Kind, tail: bytes) -> None:
    frame = bytes([0x90 | (1 + len(LARGEST[kind].__struct_fields__)), kind.value]) + tail
    try:
        message = read(frame)
    except Misbehaviour:
        return
    assert encode_message(message) == frame


@settings(max_examples=300)
@given(st.sampled_from(SMALL), st.data())
def test_damaged_frames_are_refused_or_another_canonical_message(
    message: Message, data: st.DataObject
) -> None:
    frame = bytearray(encode_message(message))
    if len(frame) > 4_000:
        return
    position = data.draw(st.integers(0, len(frame) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "insert"])):
        case "flip":
            frame[position] ^= data.draw(st.integers(1, 255))
        case "cut":
            del frame[position:]
        case _:
            frame.insert(position, data.draw(st.integers(0, 255)))
    try:
        reread = read(bytes(frame))
    except Misbehaviour:
        return
    assert encode_message(reread) == bytes(frame)


def test_nested_bombs_are_refused() -> None:
    with pytest.raises(Misbehaviour):
        read(b"\x92\x04" + b"\x91" * 10)
    with pytest.raises(Misbehaviour):
        read(bytes([0x92, Kind.HEADERS]) + b"\x91" * 100_000)
    with pytest.raises(Misbehaviour):
        read(bytes([0x92, Kind.HEADERS]) + b"\xdd\xff\xff\xff\xff")


@given(st.binary(min_size=32, max_size=32), st.integers(0, U63), st.integers(0, 2**256 - 1))
def test_tips_survive_the_trip(block: bytes, height: int, work: int) -> None:
    assert claimed_tip(claim(Tip(block, height, work))) == Tip(block, height, work)


def test_zero_hash_is_an_id_like_any_other() -> None:
    assert read(encode_message(GetBodies((ZERO_HASH,)))) == GetBodies((ZERO_HASH,))
