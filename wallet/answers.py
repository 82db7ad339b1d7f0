"""What a node answers, checked on arrival: one struct per RPC method that the wallet relies on.

Fields beyond these are allowed and ignored, so that a newer node still serves an older wallet.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from ..core.codec import U32, U63
from ..core.errors import UserError
from ..core.transaction import MAX_OUTPUT_BYTES
from .client import RpcClient

T = TypeVar("T")

HexHash: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""Thirty-two bytes."""

FINAL_STATUSES: Final = ("settled", "expired", "cancelled")
"""A job's last states; nothing happens to it afterwards."""


class Info(msgspec.Struct, frozen=True):
    """`getinfo`: the network and the tip."""

    network: str
    chain_id: U32
    height: U63


class AccountState(msgspec.Struct, frozen=True):
    """`getaccount`: money on the chain and the nonce that the next transaction takes."""

    balance: U63
    """Base units, as of the tip."""
    nonce: U63
    pending_nonce: U63
    """Counts the transactions that wait in the node's mempool, too."""


class SentTransaction(msgspec.Struct, frozen=True):
    """`sendtransaction`: accepted into the mempool."""

    id: HexHash


class FeeEstimate(msgspec.Struct, frozen=True):
    """`estimatefee`: what brings a transaction into the chain soon."""

    fee_per_kib: U63
    """Base units."""


class TransactionStatus(msgspec.Struct, frozen=True):
    """`gettransaction`: where a transaction stands."""

    status: Literal["pending", "included", "unknown"]
    height: U63 | None = None
    block: HexHash | None = None
    confirmations: U63 | None = None


class BlobState(msgspec.Struct, frozen=True):
    """`getblob`: how much of a blob is on the chain; the answer is null where none is."""

    size: U63
    chunks: U32
    next_chunk: U32
    complete: bool


class BlobData(msgspec.Struct, frozen=True):
    """`getblobdata`: bytes of a complete blob."""

    data: str
    """Hex."""


class Quote(msgspec.Struct, frozen=True):
    """`quotejob`: what a job takes, at the present difficulty."""

    macs: U63
    bytes: U63
    """Working set that a node touches to check the result."""
    burn: U63
    """Base units destroyed."""
    check_fee: U63
    """Base units to the block whose nodes check the result."""
    window: U63
    """Blocks a worker gets."""
    min_bounty: U63 = 0
    """Base units below which no worker is expected to take it."""


class JobState(msgspec.Struct, frozen=True):
    """`getjob`: where a job stands."""

    status: Literal["submitted", "claimed", "committed", "settled", "expired", "cancelled"]
    owner: str
    """Address."""
    bounty: U63
    deadline: U63
    """Height from which it is refunded."""
    worker: str | None = None
    """Address of who claimed it."""

    @property
    def ended(self) -> bool:
        """Whether this is the job's last state."""
        return self.status in FINAL_STATUSES


class ResultAnswer(msgspec.Struct, frozen=True):
    """`getjobresult`: the output that every node checked."""

    output: Annotated[str, msgspec.Meta(max_length=2 * MAX_OUTPUT_BYTES)]
    """Hex."""
    dtype: str
    shape: tuple[U63, ...]
    block: HexHash
    """Block that settled the job."""
    height: U63
    worker: str


def ask(client: RpcClient, kind: type[T], method: str, /, **params: Any) -> T:
    """Call a method and read its answer as `kind`.

    Raises UserError as RpcClient.call does, or when the answer does not have that form.
    """
    return _read(client, kind, method, client.call(method, **params))


def ask_optional(client: RpcClient, kind: type[T], method: str, /, **params: Any) -> T | None:
    """Do as `ask` for a method that answers null where the thing asked for does not exist."""
    answer = client.call(method, **params)
    return None if answer is None else _read(client, kind, method, answer)


def unhex(client: RpcClient, text: str) -> bytes:
    """Read the hex of an answer. Raises UserError."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UserError(f"{client.url} answers with bytes that are not hexadecimal") from None


def _read(client: RpcClient, kind: type[T], method: str, answer: Any) -> T:
    try:
        return msgspec.convert(answer, kind)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise UserError(
            f"{client.url} answers '{method}' in a form unknown here: {error}"
        ) from None
