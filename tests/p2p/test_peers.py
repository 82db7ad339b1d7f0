"""One connection per pair, whichever end looks first and in whatever order they appear."""

from itertools import permutations, product

import pytest
from aiohttp import web
from pouw.core.hashing import ZERO_HASH
from pouw.p2p.address import Address
from pouw.p2p.connection import Connection, Direction
from pouw.p2p.errors import DuplicateConnection
from pouw.p2p.ledger import Tip
from pouw.p2p.limits import BAN_SCORE, DEFAULT_LIMITS, PRICES, Offence
from pouw.p2p.messages import Hello, claim
from pouw.p2p.peers import Peer, PeerTable

SMALL, LARGE = bytes(16), bytes([1]) * 16
IN, OUT = Direction.INBOUND, Direction.OUTBOUND
PUNISHED: list[Address] = []


def new_peer(node: bytes, direction: Direction, port: int = 0, host: str = "9.9.9.9") -> Peer:
    remote = Address(host, 5000)
    connection = Connection(web.WebSocketResponse(), remote, direction, DEFAULT_LIMITS, lambda: 0.0)
    hello = Hello(1, 1, ZERO_HASH, node, port, "", claim(Tip(ZERO_HASH, 0, 0)))
    return Peer(
        connection, hello, ZERO_HASH, DEFAULT_LIMITS, lambda: 0.0, lambda a, _: PUNISHED.append(a)
    )


def kept(own: bytes, other: bytes, order: tuple[Direction, ...]) -> list[Direction]:
    """Which connections live at the node `own` after they were made in this order."""
    table = PeerTable(own)
    for direction in order:
        try:
            table.admit(new_peer(other, direction))
        except DuplicateConnection:
            continue
    return [peer.direction for peer in table]


async def test_crossing_connections_both_ends_keep_the_same() -> None:
    """The connection that the larger nonce dialled, in every order at either end."""
    for mine, theirs in product(permutations((IN, OUT)), repeat=2):
        assert kept(LARGE, SMALL, mine) == [OUT]
        assert kept(SMALL, LARGE, theirs) == [IN]


async def test_the_dialling_end_drops_its_second_connection() -> None:
    assert kept(SMALL, LARGE, (OUT, OUT)) == [OUT]
    assert kept(LARGE, SMALL, (OUT, OUT)) == [OUT]
    assert kept(SMALL, LARGE, (IN, IN)) == [IN, IN]  # the other end will drop one


async def test_a_borrowed_nonce_pushes_nobody_out() -> None:
    """Nonces are no secret: every hello tells them."""
    table = PeerTable(SMALL)
    honest = new_peer(LARGE, OUT)
    table.admit(honest)
    table.admit(new_peer(LARGE, IN, host="8.8.8.8"))
    assert honest.is_live and honest in list(table)
    with pytest.raises(DuplicateConnection):
        table.admit(new_peer(LARGE, OUT, host="8.8.8.8"))  # one node under two addresses


async def test_ended_connections_do_not_count() -> None:
    table = PeerTable(SMALL)
    first = new_peer(LARGE, OUT)
    table.admit(first)
    with pytest.raises(DuplicateConnection):
        table.admit(new_peer(LARGE, OUT))
    first.charge(Offence.MALFORMED, "test")
    table.admit(new_peer(LARGE, OUT))


async def test_dialable_addresses() -> None:
    assert new_peer(LARGE, OUT, port=7).address == Address("9.9.9.9", 5000)
    assert new_peer(LARGE, IN, port=7).address == Address("9.9.9.9", 7)
    assert new_peer(LARGE, IN, port=0).address is None
    assert new_peer(LARGE, IN, port=7, host="::ffff:9.9.9.9").address == Address("9.9.9.9", 7)


async def test_offences_add_up_to_a_ban() -> None:
    PUNISHED.clear()
    peer = new_peer(LARGE, IN)
    price = PRICES[Offence.DETACHED_HEADERS]
    for count in range(1, BAN_SCORE // price + 1):
        assert peer.is_live
        assert not PUNISHED
        peer.charge(Offence.DETACHED_HEADERS, "test")
        assert peer.info().score == count * price
    assert not peer.is_live
    assert [Address("9.9.9.9", 5000)] == PUNISHED
