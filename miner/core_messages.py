"""What a miner and the processes of its CPU cores say to each other over pipes.

Frames of an 8-byte length and MessagePack. Both ends are this program on this machine: matrices
travel as raw bytes, row-major, and nothing is checked twice.
"""

from typing import IO, Final, TypeAlias

import msgspec

from ..core.hashing import Hash

_LENGTH_BYTES: Final = 8


class Noise(msgspec.Struct, frozen=True, tag=True):
    """Noise a right operand and remember it as `name`; no reply."""

    name: int
    sigma: Hash
    b: bytes | None
    """n×k int8, transposed; None for the zero operand."""
    root: Hash
    n: int
    k: int


class Start(msgspec.Struct, frozen=True, tag=True):
    """Begin a pass over the noised operand `noised` and remember it as `name`; no reply."""

    name: int
    noised: int
    m: int
    root_a: Hash
    nonce: bytes
    job: Hash
    op: int
    difficulty: Hash
    """As 32 bytes, little-endian."""


class Mine(msgspec.Struct, frozen=True, tag=True):
    """Mine rows of a pass; Mined comes back."""

    name: int
    a: bytes | None
    row0: int
    row1: int


class Multiply(msgspec.Struct, frozen=True, tag=True):
    """Multiply plainly; Mined comes back."""

    a: bytes
    b: bytes
    k: int


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Forget these names; no reply."""

    names: list[int]


class Mined(msgspec.Struct, frozen=True, tag=True):
    """Rows that were multiplied."""

    product: bytes | None = None
    """int32."""
    winners: list[tuple[int, int, bytes]] = []
    """Tile row, tile column, lanes."""
    tiles: int = 0


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process is up and multiplies exactly."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Instead of any other reply; the process ends."""

    why: str


Request: TypeAlias = Noise | Start | Mine | Multiply | Drop
Reply: TypeAlias = Ready | Mined | Failed

_REQUESTS: Final = msgspec.msgpack.Decoder(Request)
_REPLIES: Final = msgspec.msgpack.Decoder(Reply)


def send(pipe: IO[bytes], message: Request | Reply) -> None:
    """Write one frame. Raises OSError when the other end has gone."""
    data = msgspec.msgpack.encode(message)
    pipe.write(len(data).to_bytes(_LENGTH_BYTES, "little"))
    pipe.write(data)
    pipe.flush()


def receive_request(pipe: IO[bytes]) -> Request:
    """Read one frame. Raises EOFError when the other end has gone."""
    return _REQUESTS.decode(_frame(pipe))


def receive_reply(pipe: IO[bytes]) -> Reply:
    """Read one frame. Raises EOFError when the other end has gone."""
    return _REPLIES.decode(_frame(pipe))


def _frame(pipe: IO[bytes]) -> bytes:
    return _exactly(pipe, int.from_bytes(_exactly(pipe, _LENGTH_BYTES), "little"))


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError("the pipe was closed")
    return data
