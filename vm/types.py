"""What is known of a tensor before any data is seen: element type, shape and range.

Every item-wise value has the shape of *one item*; at run time a leading dimension counts the items
of the job. Constants have no such dimension. Ranges are closed integer intervals: constants and
the input declare theirs, each op derives its result's, and a program whose values could leave
their element type is refused at registration. No weights are needed for that, only declarations.
"""

import enum
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..core.codec import U32, Value
from .limits import OPERAND_MAX, OPERAND_MIN

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]

Shape: TypeAlias = tuple[U32, ...]

Array: TypeAlias = NDArray[np.signedinteger[Any]]
"""An int8 or int32 array; which of the two is fixed by the value's `TensorType`."""


class DType(enum.IntEnum):
    """Element types, numbered as in the roots of protocol §3."""

    INT8 = 1
    """An operand: stored in a byte, always within [−64, 63]."""
    INT32 = 2
    """An accumulator."""

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return _SIZES[self]

    @property
    def storage(self) -> np.dtype[np.signedinteger[Any]]:
        """The little-endian numpy type the elements are stored in."""
        return _STORAGE[self]

    @property
    def interval(self) -> "Interval":
        """The values an element may take."""
        return _INTERVALS[self]


class Interval(Value, frozen=True):
    """All integers from `lo` to `hi`, both included.

    Range analysis may produce one wider than int32; `check_program` refuses it at once.
    """

    lo: Int32
    hi: Int32

    def within(self, other: "Interval") -> bool:
        """Say whether every value of this interval lies in `other`."""
        return other.lo <= self.lo and self.hi <= other.hi

    def clamp(self, value: int) -> int:
        """Return the value of the interval nearest to `value`."""
        return max(self.lo, min(self.hi, value))

    def times(self, other: "Interval") -> "Interval":
        """Return the tightest interval that holds every product of a value from each."""
        corners = [a * b for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return Interval(min(corners), max(corners))

    def plus(self, other: "Interval") -> "Interval":
        """Return the tightest interval that holds every sum of a value from each."""
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def hull(self, other: "Interval") -> "Interval":
        """Return the tightest interval that holds both."""
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))

    def sum_of(self, count: int) -> "Interval":
        """Return the tightest interval that holds every sum of `count` values."""
        return Interval(self.lo * count, self.hi * count)

    def __str__(self) -> str:
        return f"[{self.lo}, {self.hi}]"


class TensorType(Value, frozen=True):
    """Element type and shape: of one item, or of a constant."""

    dtype: DType
    shape: Shape
    """Lengths, outermost first; () is one number."""

    @property
    def elements(self) -> int:
        """Elements of one item or constant."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of one item or constant."""
        return self.elements * self.dtype.size

    @property
    def rows(self) -> int:
        """Product of all dimensions but the last; 1 for a single number."""
        return prod(self.shape[:-1])

    def __str__(self) -> str:
        return f"{self.dtype.name.lower()}{list(self.shape)}"


class Declaration(Value, frozen=True):
    """What a program states about its input or a constant, before the data is there.

    The data are held to it: weights at registration, the input when a job is executed.
    """

    type: TensorType
    interval: Interval


@dataclass(frozen=True, slots=True)
class Operand:
    """A value as the checks of an op see it."""

    type: TensorType
    interval: Interval
    constant: bool
    """A registered constant; otherwise there is one such tensor per item."""


Operands: TypeAlias = tuple[Operand, ...]

_SIZES: Final = {DType.INT8: 1, DType.INT32: 4}
_STORAGE: Final[dict[DType, np.dtype[np.signedinteger[Any]]]] = {
    DType.INT8: np.dtype("<i1"),
    DType.INT32: np.dtype("<i4"),
}
_INTERVALS: Final = {
    DType.INT8: Interval(OPERAND_MIN, OPERAND_MAX),
    DType.INT32: Interval(-(2**31), 2**31 - 1),
}
