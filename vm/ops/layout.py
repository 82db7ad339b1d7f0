"""Moving elements without changing them: another order, another shape, joined, cut out."""

import numpy as np

from ...core.codec import U32, Value
from ...core.errors import RuleViolation
from ..limits import MAX_DIMS, MAX_PARTS, MIN_PARTS
from ..metering import CONCAT, RESHAPE, SLICE, TRANSPOSE, TRANSPOSE_ROWS, Work, moves
from ..types import Array, Interval, Operands, Shape, TensorType
from .base import Multiply, require_axis, require_dims, require_dtype, require_items, require_shape


class Transpose(Value, frozen=True, tag=14):
    """x of shape s to shape (s[perm[0]], s[perm[1]], …): dimension i of the result is perm[i] of x.

    The items keep their order. x is int8 or int32, the result has its dtype.
    """

    x: U32
    perm: tuple[U32, ...]

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """Every dimension of x appears once."""
        (x,) = operands
        require_items(x, "x")
        shape = x.type.shape
        if len(self.perm) != len(shape) or sorted(self.perm) != list(range(len(shape))):
            raise RuleViolation("program-attribute", f"no permutation of {len(shape)} dimensions")
        return TensorType(x.type.dtype, tuple(shape[axis] for axis in self.perm))

    def result_interval(self, operands: Operands, /) -> Interval:
        """x's."""
        return operands[0].interval

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Reads in one order, writes in another; cheaper where rows stay in one piece."""
        (x,) = operands
        last = len(self.perm) - 1
        price = TRANSPOSE if self.perm and self.perm[last] != last else TRANSPOSE_ROWS
        return moves(price, x.type.bytes, result, 0)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Copy into the new order: products want contiguous operands."""
        (x,) = values
        return np.ascontiguousarray(x.transpose(0, *(axis + 1 for axis in self.perm)))


class Reshape(Value, frozen=True, tag=15):
    """x, int8 or int32, with its elements in the same order (C order) in another shape."""

    x: U32
    shape: Shape

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """As many elements as x has."""
        (x,) = operands
        require_items(x, "x")
        if len(self.shape) > MAX_DIMS:  # before they are multiplied
            raise RuleViolation("program-attribute", f"shape has more than {MAX_DIMS} dimensions")
        result = TensorType(x.type.dtype, self.shape)
        if result.elements != x.type.elements:
            raise RuleViolation(
                "program-attribute", f"{x.type} has not the elements of shape {list(self.shape)}"
            )
        return result

    def result_interval(self, operands: Operands, /) -> Interval:
        """x's."""
        return operands[0].interval

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Nothing moves."""
        return moves(RESHAPE, 0, result, 0)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Another view of the same elements."""
        (x,) = values
        return x.reshape(x.shape[0], *self.shape)


class Concat(Value, frozen=True, tag=16):
    """2 to 16 values of one dtype, int8 or int32, end to end along dimension `axis` of an item.

    They agree in all other dimensions. All but one may be constants, which every item gets.
    """

    values: tuple[U32, ...]
    axis: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """The values, in order; one may appear more than once."""
        return self.values

    def result_type(self, operands: Operands, /) -> TensorType:
        """The lengths along the axis add up."""
        if not MIN_PARTS <= len(operands) <= MAX_PARTS:
            raise RuleViolation(
                "program-attribute", f"{len(operands)} values, not {MIN_PARTS} to {MAX_PARTS}"
            )
        if all(operand.constant for operand in operands):
            raise RuleViolation("program-constant", "all values are constants")
        first, *others = operands
        length = require_axis(first, self.axis, "value 0")
        before, after = first.type.shape[: self.axis], first.type.shape[self.axis + 1 :]
        for i, operand in enumerate(others, start=1):
            name = f"value {i}"
            require_dtype(operand, first.type.dtype, name)
            added = require_dims(operand, len(first.type.shape), name)[self.axis]
            require_shape(operand, (*before, added, *after), name)
            length += added
        return TensorType(first.type.dtype, (*before, length, *after))

    def result_interval(self, operands: Operands, /) -> Interval:
        """The least that holds all of them."""
        first, *others = operands
        interval = first.interval
        for operand in others:
            interval = interval.hull(operand.interval)
        return interval

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """One copy, of constants for every item."""
        read = sum(operand.type.bytes for operand in operands)
        constants = sum(operand.type.bytes for operand in operands if operand.constant)
        return moves(CONCAT, read, result, constants)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Give constants the items of the others, without copying, and join."""
        dims = max(value.ndim for value in values)
        items = next(len(value) for value in values if value.ndim == dims)
        parts = [
            value if value.ndim == dims else np.broadcast_to(value, (items, *value.shape))
            for value in values
        ]
        shape = list(parts[0].shape)
        shape[self.axis + 1] = sum(part.shape[self.axis + 1] for part in parts)
        result = np.empty(shape, parts[0].dtype)  # else numpy might choose another memory order
        return np.concatenate(parts, axis=self.axis + 1, out=result)


class Slice(Value, frozen=True, tag=17):
    """Positions start, start + step, … below stop of dimension `axis` of x, int8 or int32.

    0 ≤ start < stop ≤ the dimension's length, step ≥ 1.
    """

    x: U32
    axis: U32
    start: U32
    stop: U32
    step: U32

    @property
    def reads(self) -> tuple[int, ...]:
        """x."""
        return (self.x,)

    def result_type(self, operands: Operands, /) -> TensorType:
        """At least one position is left."""
        (x,) = operands
        require_items(x, "x")
        length = require_axis(x, self.axis, "x")
        if not self.start < self.stop <= length or self.step < 1:
            raise RuleViolation(
                "program-attribute",
                f"{self.start}:{self.stop}:{self.step} is no slice of {length} positions",
            )
        count = -(-(self.stop - self.start) // self.step)
        shape = x.type.shape
        return TensorType(x.type.dtype, (*shape[: self.axis], count, *shape[self.axis + 1 :]))

    def result_interval(self, operands: Operands, /) -> Interval:
        """x's."""
        return operands[0].interval

    def work(self, operands: Operands, result: TensorType, /) -> Work:
        """Only what is kept is read."""
        return moves(SLICE, result.bytes, result, 0)

    def run(self, values: tuple[Array, ...], multiply: Multiply, /) -> Array:
        """Copy, so that x need not stay in memory."""
        (x,) = values
        every = (slice(None),) * (self.axis + 1)
        return x[(*every, slice(self.start, self.stop, self.step))].copy()
