"""Random programs of every op, mostly with attributes and ranges at the edges of what is allowed.

Each op reads the value before it, so that all are read; its other operands are constants or values
from further back. What the machine refuses is dropped and another op tried.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.check import check_op
from pouw.vm.ops import (
    Add,
    Affine,
    Argmax,
    BatchMatmul,
    Bias,
    Blend,
    Concat,
    Digit,
    Divide,
    Exp,
    Gather,
    Lookup,
    Matmul,
    MaxPool,
    Multiply,
    Normalise,
    Op,
    Patches,
    Relu,
    Requantise,
    Reshape,
    RowSum,
    Slice,
    SumPool,
    TopK,
    Transpose,
)
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Operand, Shape, TensorType

I8, I32 = DType.INT8, DType.INT32
_TRIES: Final = 12
_MAX_ELEMENTS: Final = 600
"""Of one item, so that reading a program literally stays quick."""


@dataclass(frozen=True)
class Case:
    """A program with weights and an input, all as they would arrive."""

    program: Program
    weights: bytes
    data: bytes


@dataclass(frozen=True)
class Ref:
    """A constant or a computed value, numbered apart until all constants are known."""

    index: int
    operand: Operand


@dataclass(frozen=True)
class Draft:
    """An op to be, and what it would read."""

    make: Callable[..., Op]
    reads: tuple[Ref, ...]

    def op(self, consts: int) -> Op:
        """Return the op in a program of so many constants."""
        indices = [
            ref.index + 1 if ref.operand.constant else ref.index + (consts if ref.index else 0)
            for ref in self.reads
        ]
        return self.make(*indices)


class Author:
    """Writes one program."""

    def __init__(self, rng: Random, length: int) -> None:
        self.rng = rng
        self.consts: list[Operand] = []
        self.drafts: list[Draft] = []
        self.computed = [self._source()]
        for _ in range(length):
            self._extend()

    def case(self) -> Case:
        """Return the program with weights and an input, all within what it declares."""
        first = self.computed[0].operand
        consts = tuple(Declaration(c.type, c.interval) for c in self.consts)
        ops = tuple(draft.op(len(consts)) for draft in self.drafts)
        program = Program(1, Declaration(first.type, first.interval), consts, ops)
        weights = b"".join(self._fill(const, 1) for const in self.consts)
        return Case(program, weights, self._fill(first, self.rng.randint(1, 3)))

    def _source(self) -> Ref:
        shape = self.shape(self.rng.choice([0, 1, 2, 3, 3, 4]))
        dtype = self.rng.choice([I8, I32])
        return Ref(0, Operand(TensorType(dtype, shape), self.span(dtype), constant=False))

    def _extend(self) -> None:
        """Append an op that is accepted; a rectifier always is."""
        x = self.computed[-1]
        for _ in range(_TRIES):
            kept = len(self.consts)
            image = len(x.operand.type.shape) == 3 and self.rng.random() < 0.3
            draft = self.rng.choice(_WINDOWS if image else _WRITERS)(self, x)
            if draft is not None and self._accept(draft):
                return
            del self.consts[kept:]
        self._accept(Draft(Relu, (x,)))

    def _accept(self, draft: Draft) -> bool:
        try:
            result, _ = check_op(draft.op(0), tuple(ref.operand for ref in draft.reads))
        except RuleViolation:
            return False
        if result.type.elements > _MAX_ELEMENTS:
            return False
        self.drafts.append(draft)
        self.computed.append(Ref(len(self.drafts), result))
        return True

    def _fill(self, operand: Operand, items: int) -> bytes:
        """Fill a tensor with anything, one number, or the ends of its range."""
        lo, hi = operand.interval.lo, operand.interval.hi
        choices = self.rng.choice([range(lo, hi + 1), [lo, hi], [lo], [hi]])
        flat = self.rng.choices(choices, k=items * operand.type.elements)
        array: NDArray[np.int64] = np.array(flat, np.int64)
        return array.astype(operand.type.dtype.storage).tobytes()

    def number(self, lo: int, hi: int) -> int:
        """Draw an integer: an end, near zero, of any size or uniform."""
        size = 1 << self.rng.randint(0, max(hi.bit_length(), 1))
        drawn = [lo, hi, self.rng.randint(-2, 2), self.rng.randint(-size, size)]
        return max(lo, min(hi, self.rng.choice([*drawn, self.rng.randint(lo, hi)])))

    def span(self, dtype: DType, lo: int | None = None, hi: int | None = None) -> Interval:
        """Draw an interval within that of a type or between two numbers."""
        lo = dtype.interval.lo if lo is None else lo
        hi = dtype.interval.hi if hi is None else hi
        return Interval(*sorted((self.number(lo, hi), self.number(lo, hi))))

    def ends(self, dtype: DType) -> tuple[int, int]:
        """Draw the ends of a clamp."""
        span = self.span(dtype)
        return span.lo, span.hi

    def shape(self, dims: int) -> Shape:
        """Draw a shape of so many dimensions."""
        return tuple(self.rng.randint(1, 4) for _ in range(dims))

    def dtype(self) -> DType:
        """Draw an element type."""
        return self.rng.choice([I8, I32])

    def constant(
        self, dtype: DType, shape: Shape, lo: int | None = None, hi: int | None = None
    ) -> Ref:
        """Declare a constant."""
        kind = TensorType(dtype, shape)
        self.consts.append(Operand(kind, self.span(dtype, lo, hi), constant=True))
        return Ref(len(self.consts) - 1, self.consts[-1])

    def per_channel(self, x: Ref, lo: int | None = None) -> Ref:
        """Declare one number, or one per channel of x."""
        return self.constant(I32, self.rng.choice([(1,), x.operand.type.shape[-1:]]), lo)

    def other(self, x: Ref, lo: int | None = None) -> Ref:
        """Draw a second operand that may be spread over x, from further back or a new constant."""
        shape = x.operand.type.shape
        back = [v for v in self.computed if len(v.operand.type.shape) == len(shape)]
        if self.rng.random() < 0.5 and back:
            return self.rng.choice(back)
        lengths = tuple(self.rng.choice([1, n]) for n in shape)
        return self.constant(self.dtype(), lengths[self.rng.randint(0, len(shape)) :], lo)


Writer: TypeAlias = Callable[[Author, Ref], Draft | None]


def _shape_of(x: Ref) -> Shape:
    return x.operand.type.shape


def _matmul(a: Author, x: Ref) -> Draft | None:
    if not _shape_of(x):
        return None
    return Draft(Matmul, (x, a.constant(I8, (a.rng.randint(1, 4), _shape_of(x)[-1]))))


def _bias(a: Author, x: Ref) -> Draft | None:
    return Draft(Bias, (x, a.constant(I32, _shape_of(x)[-1:])))


def _requantise(a: Author, x: Ref) -> Draft:
    shift, lo, hi = a.number(1, 62), *a.ends(I8)
    return Draft(partial(Requantise, shift=shift, lo=lo, hi=hi), (x, a.per_channel(x, 1)))


def _lookup(a: Author, x: Ref) -> Draft:
    return Draft(Lookup, (x, a.constant(a.dtype(), (128,))))


def _batch_matmul(a: Author, x: Ref) -> Draft | None:
    shape = _shape_of(x)
    if len(shape) < 2:
        return None
    if a.rng.random() < 0.3:
        return Draft(BatchMatmul, (x, x))
    other = (*shape[:-2], a.rng.randint(1, 4), shape[-1])
    return Draft(BatchMatmul, (x, a.constant(I8, other)))


def _window(a: Author) -> dict[str, Any]:
    def pair() -> tuple[int, int]:
        return (a.rng.randint(1, 4), a.rng.randint(1, 4))

    padding = tuple(a.rng.choice([0, 0, a.rng.randint(0, 4)]) for _ in range(4))
    return {"kernel": pair(), "stride": pair(), "padding": padding}


def _fill(a: Author, x: Ref) -> int:
    return a.number(x.operand.type.dtype.interval.lo, x.operand.type.dtype.interval.hi)


def _patches(a: Author, x: Ref) -> Draft:
    dilation = (a.rng.choice([1, 1, 2, 2**32 - 1]), a.rng.choice([1, 1, 3]))
    return Draft(partial(Patches, **_window(a), dilation=dilation, fill=_fill(a, x)), (x,))


def _max_pool(a: Author, x: Ref) -> Draft:
    return Draft(partial(MaxPool, **_window(a)), (x,))


def _sum_pool(a: Author, x: Ref) -> Draft:
    return Draft(partial(SumPool, **_window(a), fill=_fill(a, x)), (x,))


def _transpose(a: Author, x: Ref) -> Draft:
    perm = list(range(len(_shape_of(x))))
    a.rng.shuffle(perm)
    return Draft(partial(Transpose, perm=tuple(perm)), (x,))


def _reshape(a: Author, x: Ref) -> Draft:
    shape, rest = list[int](), x.operand.type.elements
    for _ in range(a.rng.randint(0, 3)):
        divisors = [d for d in range(1, rest + 1) if rest % d == 0]
        shape.append(a.rng.choice(divisors))
        rest //= shape[-1]
    shape += [rest] * (rest > 1 or a.rng.random() < 0.5)
    a.rng.shuffle(shape)
    return Draft(partial(Reshape, shape=tuple(shape)), (x,))


def _concat(a: Author, x: Ref) -> Draft | None:
    shape, kind = _shape_of(x), x.operand.type.dtype
    if not shape:
        return None
    axis = a.rng.randrange(len(shape))
    parts = [x]
    for _ in range(a.rng.randint(1, 3)):
        length = a.rng.randint(1, 3)
        new = a.rng.random() < 0.7
        parts.append(a.constant(kind, (*shape[:axis], length, *shape[axis + 1 :])) if new else x)
    a.rng.shuffle(parts)

    def make(*values: int) -> Op:
        return Concat(values, axis)

    return Draft(make, tuple(parts))


def _slice(a: Author, x: Ref) -> Draft | None:
    if not _shape_of(x):
        return None
    axis = a.rng.randrange(len(_shape_of(x)))
    start = a.rng.randrange(_shape_of(x)[axis])
    stop = a.rng.randint(start + 1, _shape_of(x)[axis])
    step = a.rng.choice([1, 2, 3, 2**32 - 1])
    return Draft(partial(Slice, axis=axis, start=start, stop=stop, step=step), (x,))


def _gather(a: Author, x: Ref) -> Draft | None:
    if not 0 <= x.operand.interval.lo <= x.operand.interval.hi < 200:
        return None
    rows = x.operand.interval.hi + a.rng.randint(1, 2)
    return Draft(Gather, (x, a.constant(a.dtype(), (rows, a.rng.randint(1, 3)))))


def _add(a: Author, x: Ref) -> Draft:
    factor = a.number(-(2**31), 2**31 - 1) or 1
    return Draft(partial(Add, factor=factor), (x, a.other(x)))


def _multiply(a: Author, x: Ref) -> Draft:
    return Draft(Multiply, (x, a.other(x)))


def _clamping(a: Author) -> dict[str, Any]:
    dtype = a.dtype()
    lo, hi = a.ends(dtype)
    return {"dtype": dtype, "lo": lo, "hi": hi}


def _rescaling(a: Author) -> dict[str, Any]:
    return {"up": a.number(0, 62), "shift": a.number(1, 62), **_clamping(a)}


def _blend(a: Author, x: Ref) -> Draft:
    y, scales = a.other(x), [a.per_channel(x) for _ in range(3)]
    return Draft(partial(Blend, **_rescaling(a)), (x, scales[0], y, scales[1], scales[2]))


def _affine(a: Author, x: Ref) -> Draft:
    return Draft(partial(Affine, **_rescaling(a)), (x, a.per_channel(x), a.per_channel(x)))


def _exp(a: Author, x: Ref) -> Draft:
    multiplier, shift, peak = a.number(1, 2**31 - 1), a.number(1, 62), a.number(1, 2**16)
    return Draft(partial(Exp, multiplier=multiplier, shift=shift, peak=peak), (x,))


def _row_sum(a: Author, x: Ref) -> Draft:
    return Draft(RowSum, (x,))


def _digit(a: Author, x: Ref) -> Draft:
    shift = a.number(0, 31)
    return Draft(partial(Digit, shift=shift), (x,))


def _divide(a: Author, x: Ref) -> Draft:
    multiplier, shift = a.number(1, 2**31 - 1), a.number(0, 30)
    make = partial(Divide, multiplier=multiplier, shift=shift, **_clamping(a))
    return Draft(make, (x, a.other(x, 0)))


def _normalise(a: Author, x: Ref) -> Draft:
    centred, bits, epsilon = a.rng.random() < 0.5, a.number(0, 30), a.number(1, 2**63 - 1)
    return Draft(partial(Normalise, centred=centred, bits=bits, epsilon=epsilon), (x,))


def _top_k(a: Author, x: Ref) -> Draft:
    k = a.rng.randint(1, 4)
    return Draft(partial(TopK, k=k), (x,))


_WINDOWS: Final[tuple[Writer, ...]] = (_patches, _max_pool, _sum_pool)
_WRITERS: Final[tuple[Writer, ...]] = (
    _matmul,
    _bias,
    _requantise,
    lambda a, x: Draft(Relu, (x,)),
    _lookup,
    lambda a, x: Draft(Argmax, (x,)),
    _batch_matmul,
    *_WINDOWS,
    _transpose,
    _reshape,
    _concat,
    _slice,
    _gather,
    _add,
    _multiply,
    _blend,
    _affine,
    _exp,
    _row_sum,
    _digit,
    _divide,
    _normalise,
    _top_k,
)


def random_case(seed: int, most_ops: int = 8) -> Case:
    """Return a valid program of up to so many ops, with weights and up to three items."""
    rng = Random(seed)
    return Author(rng, rng.randint(1, most_ops)).case()
