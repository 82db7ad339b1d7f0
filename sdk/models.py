"""Registered models as a node describes them; the node is believed only as to what is well formed.

Fields beyond these are allowed and ignored, so that a newer node still serves an older client.
"""

from functools import cached_property
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from ..core.codec import U32, U63
from ..core.errors import UserError
from ..core.hashing import HASH_BYTES
from ..core.transaction import MAX_CARD_CHARS, MAX_LICENCE_CHARS, MAX_NAME_CHARS
from ..vm.limits import MAX_DIM, MAX_DIMS, MAX_ITEMS
from ..vm.types import Declaration, DType, Int32, Interval, TensorType
from ..wallet.answers import HexHash, ask
from ..wallet.client import RpcClient
from .encoding import Encodings, read_card

MAX_PAGE: Final = 1_000
"""Models in one answer."""
_MAX_PAGES: Final = 1_000
"""A node looks at a thousand models for each; one that always promises more is not believed."""

_Length: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_DIM)]


class Tensor(msgspec.Struct, frozen=True):
    """One item of a value."""

    dtype: Literal["int8", "int32"]
    shape: Annotated[tuple[_Length, ...], msgspec.Meta(max_length=MAX_DIMS)]

    @property
    def type(self) -> TensorType:
        """Element type and shape as the tensor machine has them."""
        return TensorType(DType[self.dtype.upper()], self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


class InputTensor(Tensor, frozen=True):
    """One item of an input."""

    lo: Int32
    """Least value that the model takes."""
    hi: Int32

    @property
    def declaration(self) -> Declaration:
        """Type and range as the tensor machine has them."""
        return Declaration(self.type, Interval(self.lo, self.hi))


class ModelSummary(msgspec.Struct, frozen=True):
    """A registered model as lists have it."""

    id: HexHash
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    """Chosen by the owner; not unique."""
    owner: Annotated[str, msgspec.Meta(max_length=128)]
    """Address."""
    version: U32
    input: InputTensor
    output: Tensor
    max_items: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]
    """Most items in one job, by the program's own bounds."""
    macs_per_item: U63
    jobs: U63
    """Settled jobs that used it."""
    successor: HexHash | None = None
    """The version that replaced it."""


class Model(ModelSummary, frozen=True, dict=True):
    """A registered model."""

    licence: Annotated[str, msgspec.Meta(max_length=MAX_LICENCE_CHARS)] = ""
    card: Annotated[str, msgspec.Meta(max_length=MAX_CARD_CHARS)] = ""
    """The owner's JSON document on how to use it."""

    @cached_property
    def encodings(self) -> Encodings:
        """What the integers of input and output stand for, as far as the card tells."""
        return read_card(self.card, self.input.type, self.output.type)


class _Page(msgspec.Struct, frozen=True):
    models: Annotated[list[ModelSummary], msgspec.Meta(max_length=MAX_PAGE)]
    next: HexHash | None = None


def fetch_model(rpc: RpcClient, identity: str) -> Model:
    """Return a registered model. Raises UserError where there is none, or another is answered."""
    wanted = require_id(identity, "a model")
    found = ask(rpc, Model, "getmodel", id=wanted)
    if found.id != wanted:
        raise UserError(f"the node at {rpc.url} answers with another model than was asked for")
    return found


def fetch_models(
    rpc: RpcClient, name: str = "", owner: str | None = None, limit: int = 100
) -> list[ModelSummary]:
    """Return models, those registered last first: with `name` in their name, of `owner`.

    Raises UserError.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise UserError(f"limit is 1 to {MAX_PAGE}, not {limit}")
    found: list[ModelSummary] = []
    after: str | None = None
    for _ in range(_MAX_PAGES):
        room = limit - len(found)
        page = ask(rpc, _Page, "listmodels", limit=room, after=after, owner=owner, name=name)
        found += page.models[:room]
        if page.next is None or page.next == after or len(found) >= limit:
            break
        after = page.next
    return found


def require_id(identity: str, what: str) -> str:
    """Return an id in lowercase. Raises UserError unless it is 64 hexadecimal digits."""
    lowered = identity.strip().lower() if isinstance(identity, str) else ""
    if len(lowered) != 2 * HASH_BYTES or any(c not in "0123456789abcdef" for c in lowered):
        raise UserError(f"{str(identity)[:80]!r} is not the id of {what}: 64 hexadecimal digits")
    return lowered
