"""What a node answers about models, checked on arrival as in `wallet/answers.py`."""

from typing import Annotated

import msgspec

from ..core.codec import U63
from ..vm.limits import MAX_DIM, MAX_DIMS, MAX_ITEMS
from ..vm.types import Declaration, DType, Int32, Interval, TensorType
from ..wallet.answers import HexHash
from .tensorfile import InputRule

_Length = Annotated[int, msgspec.Meta(ge=1, le=MAX_DIM)]
_Dtype = Annotated[str, msgspec.Meta(pattern=r"^int(8|32)\Z")]


class TensorAnswer(msgspec.Struct, frozen=True):
    """A value of one item in `getmodel`."""

    dtype: _Dtype
    shape: Annotated[tuple[_Length, ...], msgspec.Meta(max_length=MAX_DIMS)]

    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return TensorType(DType[self.dtype.upper()], self.shape)


class InputAnswer(TensorAnswer, frozen=True):
    """The input in `getmodel`."""

    lo: Int32
    hi: Int32


class RoyaltyAnswer(msgspec.Struct, frozen=True):
    """A contributor's part of every bounty in `getmodel`."""

    to: str
    basis_points: U63


class ModelSummary(msgspec.Struct, frozen=True):
    """Each of `listmodels`."""

    id: HexHash
    name: str
    owner: str
    version: U63
    previous: HexHash | None
    successor: HexHash | None
    height: U63
    jobs: U63
    royalties: tuple[RoyaltyAnswer, ...]
    program: HexHash
    weights: HexHash
    program_bytes: U63
    weights_bytes: U63
    input: InputAnswer
    output: TensorAnswer
    max_items: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]
    macs_per_item: U63
    ops: U63
    product_count: U63
    mineable_products: U63
    postable_products: U63

    @property
    def input_rule(self) -> InputRule:
        """What an input must satisfy."""
        interval = Interval(self.input.lo, self.input.hi)
        return InputRule(Declaration(self.input.type, interval), self.max_items)


class ModelAnswer(ModelSummary, frozen=True):
    """`getmodel`."""

    licence: str
    card: str


class ModelPage(msgspec.Struct, frozen=True):
    """`listmodels`."""

    models: list[ModelSummary]
    next: HexHash | None


class VersionAnswer(msgspec.Struct, frozen=True):
    """Each of `listversions`."""

    id: HexHash
    version: U63
    name: str
    height: U63
    jobs: U63


class PriceAnswer(msgspec.Struct, frozen=True):
    """`quotejob`."""

    min_bounty: U63
    burn: U63
    check_fee: U63
