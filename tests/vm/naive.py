"""The tensor machine read literally from the protocol's tables: Python integers, index by index.

Nothing here is shared with the machine but the ops' attributes: no numpy, no blocks, no proofs of
width. A value is a shape and its numbers in C order; ops see one item at a time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import floor, isqrt, prod
from typing import Any, Final

from pouw.vm.check import CheckedProgram
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
from pouw.vm.types import DType, Shape, TensorType


@dataclass(frozen=True)
class Value:
    """One item of a value, or a constant."""

    shape: Shape
    flat: list[int]

    def at(self, index: Iterable[int]) -> int:
        """Return one number; dimensions before the first of `shape` are ignored, 1s repeated."""
        last = list(index)
        last = last[len(last) - len(self.shape) :]
        position = 0
        for i, length in zip(last, self.shape, strict=True):
            position = position * length + (0 if length == 1 else i)
        return self.flat[position]

    @property
    def rows(self) -> list[list[int]]:
        """The last dimension's rows, in order."""
        last = self.shape[-1] if self.shape else 1
        return [self.flat[i : i + last] for i in range(0, len(self.flat), last)]


def trace(checked: CheckedProgram, weights: bytes, data: bytes) -> list[list[int]]:
    """Return every op's result, flat over all items."""
    program, offset, constants = checked.program, 0, list[Value]()
    for const in program.consts:
        constants += _read(weights[offset : offset + const.type.bytes], const.type)
        offset += const.type.bytes
    results: list[list[int]] = [[] for _ in program.ops]
    for item in _read(data, program.input.type):
        values = [item, *constants]
        for position, op in enumerate(program.ops):
            shape = checked.values[len(values)].type.shape
            read = [values[index] for index in op.reads]
            values.append(Value(shape, _READINGS[type(op)](op, shape, *read)))
            assert len(values[-1].flat) == prod(shape)
            results[position] += values[-1].flat
    return results


def _read(data: bytes, kind: TensorType) -> list[Value]:
    width = 1 if kind.dtype is DType.INT8 else 4
    flat = [
        int.from_bytes(data[i : i + width], "little", signed=True)
        for i in range(0, len(data), width)
    ]
    size = prod(kind.shape)
    return [Value(kind.shape, flat[i : i + size]) for i in range(0, len(flat), size)]


def _indices(shape: Shape) -> Iterable[tuple[int, ...]]:
    return product(*map(range, shape))


def _clamp(op: Any, value: int) -> int:
    return sorted((op.lo, value, op.hi))[1]


def _rounded_shift(value: int, shift: int) -> int:
    return (value + 2 ** (shift - 1)) // 2**shift


def _matmul(op: Matmul, shape: Shape, x: Value, weights: Value) -> list[int]:
    return [sum(map(int.__mul__, row, w)) for row in x.rows for w in weights.rows]


def _bias(op: Bias, shape: Shape, x: Value, bias: Value) -> list[int]:
    return [x.at(i) + bias.at(i) for i in _indices(shape)]


def _requantise(op: Requantise, shape: Shape, x: Value, multiplier: Value) -> list[int]:
    return [
        _clamp(op, _rounded_shift(x.at(i) * multiplier.at(i), op.shift)) for i in _indices(shape)
    ]


def _relu(op: Relu, shape: Shape, x: Value) -> list[int]:
    return [a if a > 0 else 0 for a in x.flat]


def _lookup(op: Lookup, shape: Shape, x: Value, table: Value) -> list[int]:
    return [table.flat[a + 64] for a in x.flat]


def _argmax(op: Argmax, shape: Shape, x: Value) -> list[int]:
    return [row.index(max(row)) for row in x.rows]


def _batch_matmul(op: BatchMatmul, shape: Shape, a: Value, b: Value) -> list[int]:
    k = a.shape[-1]
    return [
        sum(a.at((*lead, i, t)) * b.at((*lead, j, t)) for t in range(k))
        for *lead, i, j in _indices(shape)
    ]


def _taps(op: Any, x: Value, p: int, q: int) -> Iterable[tuple[int, int] | None]:
    """Yield the position of each tap of window (p, q), or None where it is padded."""
    h, w, _ = x.shape
    dh, dw = getattr(op, "dilation", (1, 1))
    for i, j in _indices(op.kernel):
        row, column = p * op.stride[0] + i * dh, q * op.stride[1] + j * dw
        row, column = row - op.padding[0], column - op.padding[2]
        yield (row, column) if 0 <= row < h and 0 <= column < w else None


def _patches(op: Patches, shape: Shape, x: Value) -> list[int]:
    channels = range(x.shape[2])
    return [
        op.fill if tap is None else x.at((*tap, channel))
        for p, q in _indices(shape[:2])
        for tap in _taps(op, x, p, q)
        for channel in channels
    ]


def _max_pool(op: MaxPool, shape: Shape, x: Value) -> list[int]:
    return [
        max(x.at((*tap, channel)) for tap in _taps(op, x, p, q) if tap)
        for p, q, channel in _indices(shape)
    ]


def _sum_pool(op: SumPool, shape: Shape, x: Value) -> list[int]:
    return [
        sum(x.at((*tap, channel)) if tap else op.fill for tap in _taps(op, x, p, q))
        for p, q, channel in _indices(shape)
    ]


def _transpose(op: Transpose, shape: Shape, x: Value) -> list[int]:
    return [x.at(i[op.perm.index(axis)] for axis in range(len(shape))) for i in _indices(shape)]


def _reshape(op: Reshape, shape: Shape, x: Value) -> list[int]:
    return x.flat


def _concat(op: Concat, shape: Shape, *values: Value) -> list[int]:
    places = [(value, i) for value in values for i in range(value.shape[op.axis])]
    flat: list[int] = []
    for index in _indices(shape):
        value, i = places[index[op.axis]]
        flat.append(value.at((*index[: op.axis], i, *index[op.axis + 1 :])))
    return flat


def _slice(op: Slice, shape: Shape, x: Value) -> list[int]:
    kept = [i for i in range(op.start, op.stop) if (i - op.start) % op.step == 0]
    a = op.axis
    return [x.at((*i[:a], kept[i[a]], *i[a + 1 :])) for i in _indices(shape)]


def _gather(op: Gather, shape: Shape, indices: Value, table: Value) -> list[int]:
    return [a for index in indices.flat for a in table.rows[index]]


def _add(op: Add, shape: Shape, x: Value, y: Value) -> list[int]:
    return [x.at(i) + op.factor * y.at(i) for i in _indices(shape)]


def _multiply(op: Multiply, shape: Shape, x: Value, y: Value) -> list[int]:
    return [x.at(i) * y.at(i) for i in _indices(shape)]


def _blend(
    op: Blend, shape: Shape, x: Value, xm: Value, y: Value, ym: Value, o: Value
) -> list[int]:
    return [
        _clamp(
            op,
            _rounded_shift(x.at(i) * xm.at(i) + y.at(i) * ym.at(i) + o.at(i) * 2**op.up, op.shift),
        )
        for i in _indices(shape)
    ]


def _affine(op: Affine, shape: Shape, x: Value, multiplier: Value, offset: Value) -> list[int]:
    return [
        _clamp(op, _rounded_shift(x.at(i) * multiplier.at(i) + offset.at(i) * 2**op.up, op.shift))
        for i in _indices(shape)
    ]


def _power(f: int) -> int:
    """Return the integer nearest to 2³⁰·2^(−f/256), by bisection of its 256th power."""
    low, high = 0, 2**32
    target = 2 ** (31 * 256 - f)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**256 <= target else (low, middle)
    return (low + 1) // 2


_POWERS: Final = [_power(f) for f in range(257)]


def _exp(op: Exp, shape: Shape, x: Value) -> list[int]:
    flat: list[int] = []
    for row in x.rows:
        for a in row:
            t = _rounded_shift((max(row) - a) * op.multiplier, op.shift)
            e, f, g = min(t // 2**16, 32), t // 256 % 256, t % 256
            w = _POWERS[f] - (_POWERS[f] - _POWERS[f + 1]) * g // 256
            flat.append((w * op.peak + 2 ** (29 + e)) // 2 ** (30 + e))
    return flat


def _row_sum(op: RowSum, shape: Shape, x: Value) -> list[int]:
    return [sum(row) for row in x.rows]


def _digit(op: Digit, shape: Shape, x: Value) -> list[int]:
    return [a // 2**op.shift % 64 for a in x.flat]


def _divide(op: Divide, shape: Shape, x: Value, y: Value) -> list[int]:
    return [
        _clamp(
            op,
            floor(
                Fraction(x.at(i) * op.multiplier, max(y.at(i), 1) * 2**op.shift) + Fraction(1, 2)
            ),
        )
        for i in _indices(shape)
    ]


def _normalise(op: Normalise, shape: Shape, x: Value) -> list[int]:
    n, flat = shape[-1], list[int]()
    for row in x.rows:
        d = [n * a - (sum(row) if op.centred else 0) for a in row]
        r = isqrt(sum(a * a for a in d) // n + op.epsilon)
        flat += [floor(Fraction(a * 2**op.bits, r) + Fraction(1, 2)) for a in d]
    return flat


def _top_k(op: TopK, shape: Shape, x: Value) -> list[int]:
    return [
        position
        for row in x.rows
        for position in sorted(range(len(row)), key=lambda i: (-row[i], i))[: op.k]
    ]


_READINGS: Final[dict[type[Op], Callable[..., list[int]]]] = {
    Matmul: _matmul,
    Bias: _bias,
    Requantise: _requantise,
    Relu: _relu,
    Lookup: _lookup,
    Argmax: _argmax,
    BatchMatmul: _batch_matmul,
    Patches: _patches,
    MaxPool: _max_pool,
    SumPool: _sum_pool,
    Transpose: _transpose,
    Reshape: _reshape,
    Concat: _concat,
    Slice: _slice,
    Gather: _gather,
    Add: _add,
    Multiply: _multiply,
    Blend: _blend,
    Affine: _affine,
    Exp: _exp,
    RowSum: _row_sum,
    Digit: _digit,
    Divide: _divide,
    Normalise: _normalise,
    TopK: _top_k,
}
