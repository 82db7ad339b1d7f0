"""Vectors of canonical encodings and ids, for `ticket/vectors.py` and files of that format.

* `values`: a kind, its MessagePack structure as `fields`, and what follows: `bytes`, and `id` or
  `sigma` or `address` where the kind has one. In `fields` arrays are lists, and byte strings are
  objects {"hex": "…"}; integers and text stand for themselves.
* `refuse_values`: a kind and bytes that are no canonical encoding of it.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, TypeAlias, cast

import msgspec

from ..core.blob import Chunk
from ..core.block import Header, SealedHeader
from ..core.codec import decode, encode
from ..core.errors import RuleViolation
from ..core.hashing import Hash
from ..core.keys import address_of
from ..core.ticket import Head, Opening
from ..core.transaction import MAX_TRANSACTION_BYTES, Transaction
from ..vm.program import Program
from .records import Account, BlobRecord, Job, Model, ModelHistory, Totals, WorkRecord

Hex: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{2})*\Z")]
Hex32: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Checks: TypeAlias = Iterator[tuple[str, Any, Any]]
"""(field, expected, actual) of one vector."""

KINDS: Final[dict[str, type[Any]]] = {
    "transaction": Transaction,
    "header": Header,
    "head": Head,
    "opening": Opening,
    "sealed-header": SealedHeader,
    "chunk": Chunk,
    "program": Program,
    "account": Account,
    "blob-record": BlobRecord,
    "model": Model,
    "model-history": ModelHistory,
    "job": Job,
    "work-record": WorkRecord,
    "totals": Totals,
}
_DERIVED: Final[dict[str, dict[str, Callable[[Any], Hash]]]] = {
    "transaction": {
        "id": lambda transaction: transaction.id,
        "address": lambda transaction: address_of(transaction.payload.sender),
    },
    "header": {"sigma": lambda header: header.sigma},
    "sealed-header": {"id": lambda sealed: sealed.id},
}
_SIGNED: Final = ("transaction", "sealed-header")
_LIMIT: Final = MAX_TRANSACTION_BYTES
_MAX_NESTING: Final = 32


class ValueVector(msgspec.Struct, forbid_unknown_fields=True):
    """A value and its one encoding."""

    name: str
    kind: str
    fields: list[Any]
    bytes: Hex
    id: Hex32 | None = None
    sigma: Hex32 | None = None
    address: Hex32 | None = None
    signature_valid: bool | None = None


class RefusedValue(msgspec.Struct, forbid_unknown_fields=True):
    """Bytes that no decoder may accept."""

    name: str
    kind: str
    bytes: Hex


def value_checks(vector: ValueVector) -> Checks:
    """Yield (field, expected, actual). Raises ValueError on an unusable vector."""
    kind = _kind(vector.kind)
    data = bytes.fromhex(vector.bytes)
    yield "bytes", vector.bytes, encode(plain(vector.fields)).hex()
    value = decode(kind, data, _LIMIT)
    yield "fields", vector.bytes, encode(value).hex()
    for name, derive in _DERIVED.get(vector.kind, {}).items():
        yield name, getattr(vector, name), derive(value).hex()
    if vector.kind in _SIGNED:
        yield "signature_valid", vector.signature_valid, value.signature_is_valid()


def refusal_checks(vector: RefusedValue) -> Checks:
    """Yield whether the bytes were refused. Raises ValueError on an unusable vector."""
    try:
        decode(_kind(vector.kind), bytes.fromhex(vector.bytes), _LIMIT)
    except RuleViolation as violation:
        yield f"rule of '{vector.name}'", "encoding", violation.rule
    else:
        yield f"rule of '{vector.name}'", "encoding", "accepted"


def plain(fields: Any, depth: int = 0) -> Any:
    """Return the MessagePack structure that JSON `fields` stand for. Raises ValueError."""
    if depth > _MAX_NESTING:
        raise ValueError("fields are nested too deeply")
    match fields:
        case bool() | int() | str():
            return fields
        case list():
            return [plain(item, depth + 1) for item in cast(list[Any], fields)]
        case {"hex": str() as text} if len(cast(dict[str, Any], fields)) == 1:
            return bytes.fromhex(text)
        case _:
            raise ValueError(f"fields hold {fields!r:.80}, which stands for nothing")


def _kind(name: str) -> type[Any]:
    if name not in KINDS:
        raise ValueError(f"no kind '{name}': the kinds are {', '.join(KINDS)}")
    return KINDS[name]
