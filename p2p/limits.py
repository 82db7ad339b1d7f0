"""Every bound of the network in one place: frames, rates, queues, timeouts, slots, prices.

What two nodes must agree on (kinds of messages, sizes, counts) is constant; what a node may choose
for itself is a field of `Limits`. Rates are messages per minute and connection; a burst may spend
a whole minute's allowance at once. Replies have no rate of their own: each must have been asked
for, and what we ask for is bounded. (After chia `server/rate_limit_numbers.py`.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, unique
from types import MappingProxyType
from typing import Final

from ..core.block import MAX_SEALED_HEADER_BYTES
from ..core.transaction import MAX_BUNDLE_BYTES

PROTOCOL_VERSION: Final = 1

MAX_HEADERS: Final = (
    512  # per reply: half a MiB, and a batch one thread checks in well under a second
)
MAX_ANNOUNCED_HEADERS: Final = 8  # a short reorganisation; anything longer is asked for
MAX_LOCATOR: Final = 64  # exponential spacing reaches genesis from any height long before
MAX_BODIES: Final = 16
MAX_BODY_BYTES: Final = 9 << 20  # the largest network's max_block_bytes (8 MiB) and its framing
MAX_INVENTORY: Final = 1_000
MAX_TRANSACTIONS: Final = 64
MAX_ADDRESSES: Final = 64
MAX_ADDRESS_CHARS: Final = 64
MAX_AGENT_CHARS: Final = 64

_HASH_BYTES: Final = 34  # with its MessagePack header
_OVERHEAD_BYTES: Final = 64  # tag, array headers, small integers


@unique
class Kind(IntEnum):
    """The tag of a message: its first array element. Numbers are never reused."""

    HELLO = 1
    PING = 2
    PONG = 3
    GET_PEERS = 4
    PEERS = 5
    ANNOUNCEMENT = 6
    GET_HEADERS = 7
    HEADERS = 8
    GET_BODIES = 9
    BODY = 10
    BODIES_MISSING = 11
    INVENTORY = 12
    GET_TRANSACTIONS = 13
    TRANSACTION = 14
    TRANSACTIONS_MISSING = 15


@dataclass(frozen=True, slots=True)
class FrameLimit:
    """What one kind of message may cost us."""

    max_bytes: int
    per_minute: int | None
    """None for replies: never more than what we asked for."""


def _hashes(count: int) -> int:
    return _OVERHEAD_BYTES + count * _HASH_BYTES


FRAME_LIMITS: Final[Mapping[Kind, FrameLimit]] = MappingProxyType(
    {
        Kind.HELLO: FrameLimit(512, 1),
        Kind.PING: FrameLimit(32, 60),
        Kind.PONG: FrameLimit(32, None),
        Kind.GET_PEERS: FrameLimit(16, 30),
        Kind.PEERS: FrameLimit(_OVERHEAD_BYTES + MAX_ADDRESSES * (MAX_ADDRESS_CHARS + 2), None),
        Kind.ANNOUNCEMENT: FrameLimit(512 + MAX_ANNOUNCED_HEADERS * MAX_SEALED_HEADER_BYTES, 1_200),
        Kind.GET_HEADERS: FrameLimit(_hashes(MAX_LOCATOR), 1_200),
        Kind.HEADERS: FrameLimit(_OVERHEAD_BYTES + MAX_HEADERS * MAX_SEALED_HEADER_BYTES, None),
        Kind.GET_BODIES: FrameLimit(_hashes(MAX_BODIES), 30_000),
        Kind.BODY: FrameLimit(_OVERHEAD_BYTES + MAX_BODY_BYTES, None),
        Kind.BODIES_MISSING: FrameLimit(_hashes(MAX_BODIES), None),
        Kind.INVENTORY: FrameLimit(_hashes(MAX_INVENTORY), 1_200),
        Kind.GET_TRANSACTIONS: FrameLimit(_hashes(MAX_TRANSACTIONS), 12_000),
        Kind.TRANSACTION: FrameLimit(_OVERHEAD_BYTES + MAX_BUNDLE_BYTES, None),
        Kind.TRANSACTIONS_MISSING: FrameLimit(_hashes(MAX_TRANSACTIONS), None),
    }
)

MAX_FRAME_BYTES: Final = max(limit.max_bytes for limit in FRAME_LIMITS.values())


@unique
class Offence(Enum):
    """What a peer can do wrong. At BAN_SCORE points it is cut off and its address banned."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    OUT_OF_ORDER = "out-of-order"
    UNREQUESTED = "unrequested"
    FLOOD = "flood"
    INVALID_HEADER = "invalid-header"
    INVALID_BLOCK = "invalid-block"
    INVALID_TRANSACTION = "invalid-transaction"
    BODY_MISMATCH = "body-mismatch"
    DETACHED_HEADERS = "detached-headers"


BAN_SCORE: Final = 100

PRICES: Final[Mapping[Offence, int]] = MappingProxyType(
    {
        Offence.MALFORMED: 100,
        Offence.OVERSIZED: 100,
        Offence.OUT_OF_ORDER: 100,
        Offence.UNREQUESTED: 100,
        Offence.FLOOD: 100,
        Offence.INVALID_HEADER: 100,
        Offence.INVALID_BLOCK: 100,
        Offence.INVALID_TRANSACTION: 100,
        Offence.BODY_MISMATCH: 100,
        Offence.DETACHED_HEADERS: 20,  # an honest peer may reorganise between two of our requests
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node chooses for itself. Times in seconds."""

    max_inbound: int = 32
    """Also bounds memory: each peer may have one frame of MAX_FRAME_BYTES under way."""
    max_handshakes: int = 16
    """Inbound connections that have not said hello yet."""
    target_outbound: int = 8

    connect_timeout: float = 5.0
    hello_timeout: float = 5.0
    close_timeout: float = 1.0
    """How long a closing connection waits for the other end to agree."""
    ping_interval: float = 20.0
    ping_timeout: float = 60.0
    send_stall: float = 60.0
    """A frame that takes longer to leave marks a peer that does not read."""

    max_send_bytes: int = 24 << 20
    max_send_frames: int = 4_096
    serve_water_mark: int = 1 << 20
    """Replies wait while more bytes than this are queued for the peer."""
    max_serve_queue: int = 64
    """Requests of one peer waiting for their answer; more is a flood."""

    headers_timeout: float = 20.0
    headers_patience: float = 2.0
    """Until another peer is asked for headers as well."""
    body_timeout: float = 30.0
    """Without one body from a peer that owes some; each body received starts it anew."""
    max_stalls: int = 3
    """Timeouts in a row after which a peer is let go, without a ban."""
    retry_after: float = 5.0
    """Until a peer that lacked something is asked for it again."""
    body_patience: float = 3.0
    """Until a body that the next step waits for is asked of another peer as well."""
    body_window: int = 64
    """Bodies asked for or waiting for their turn, over all peers."""
    bodies_per_peer: int = 16
    max_buffered_bytes: int = 64 << 20
    """Beyond it only the next body in order is asked for."""
    body_plan: int = 256
    """Ids of missing bodies taken from the ledger at a time."""
    max_announced: int = 64
    """Announced blocks that are fetched even when off the heaviest known header chain; also how far
    below the tip they may lie: a late block there is cheap to make and would be stored for ever."""
    stale_tip: float = 60.0
    """Without a new header for so long, ask somebody: sync must never be stuck on silence."""

    transaction_timeout: float = 20.0
    max_transaction_requests: int = 5_000
    max_requests_per_announcer: int = 1_000
    """Of those, ids that one peer may be the first to name."""
    transactions_per_peer: int = 64
    """Asked of one peer at a time."""
    gossip_interval: float = 0.1
    """Announcements are gathered for so long and leave together."""
    mempool_on_connect: int = 5_000
    max_seen: int = 10_000
    """Ids remembered per set: rejected transactions, and what each peer is known to have."""
    syncing_gap: int = 8
    """Further behind than this, transactions wait: their state is not known yet."""
    syncing_patience: float = 10.0
    """Until they wait no longer, because the bodies of those headers do not come."""

    max_known_addresses: int = 2_048
    peer_exchange: float = 15.0
    """Between two requests for addresses while outbound slots are free."""
    backoff_first: float = 1.0
    backoff_cap: float = 30.0
    stable_after: float = 10.0
    """A conversation this long resets the backoff of its address."""
    forget_after_failures: int = 12
    """For learned addresses that never answered; seeds are kept."""
    save_interval: float = 60.0
    ban_seconds: float = 600.0
    max_bans: int = 4_096

    tick: float = 0.2
    """Period of the checks for timeouts and free slots."""


DEFAULT_LIMITS: Final = Limits()
