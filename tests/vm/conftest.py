"""A naive machine in Python integers, and random valid programs to hold the real one to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.executor import execute
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.ops import Argmax, Bias, Lookup, Matmul, Op, Relu, Requantise
from pouw.vm.products import plain_products
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Shape, TensorType
from pouw.vm.weights import check_weights

Rows: TypeAlias = list[list[int]]
"""A value for one item or a constant: rows of the last dimension."""


@dataclass(frozen=True)
class Case:
    """A program with weights and an input, all as they would arrive."""

    program: Program
    weights: bytes
    data: bytes


def _naive_op(op: Op, values: list[Rows]) -> Rows:
    x = values[op.reads[0]]
    match op:
        case Matmul():
            return [[sum(map(int.__mul__, r, w)) for w in values[op.weights]] for r in x]
        case Bias():
            return [[a + b for a, b in zip(r, values[op.bias][0], strict=True)] for r in x]
        case Requantise():
            (multipliers,) = values[op.multiplier]
            return [[_naive_rescale(op, a, multipliers, c) for c, a in enumerate(r)] for r in x]
        case Relu():
            return [[a if a > 0 else 0 for a in r] for r in x]
        case Lookup():
            return [[values[op.table][0][a + 64] for a in r] for r in x]
        case Argmax():
            return [[r.index(max(r))] for r in x]
        case _:
            raise TypeError(f"the naive machine knows no {type(op).__name__}")


def _naive_rescale(op: Requantise, x: int, multipliers: list[int], channel: int) -> int:
    multiplier = multipliers[channel if len(multipliers) > 1 else 0]
    rounded = (x * multiplier + 2 ** (op.shift - 1)) // 2**op.shift
    return sorted((op.lo, rounded, op.hi))[1]


def _read(data: bytes, kind: TensorType, count: int) -> list[Rows]:
    width = 1 if kind.dtype is DType.INT8 else 4
    flat = [
        int.from_bytes(data[i : i + width], "little", signed=True)
        for i in range(0, len(data), width)
    ]
    last = kind.shape[-1] if kind.shape else 1
    rows = [flat[i : i + last] for i in range(0, len(flat), last)]
    per_item = len(rows) // count
    return [rows[i * per_item : (i + 1) * per_item] for i in range(count)]


def _regroup(result: Rows, shape: Shape) -> Rows:
    """Argmax drops a dimension: bring the flat numbers into rows of the new last one."""
    flat = [a for r in result for a in r]
    last = shape[-1] if shape else 1
    return [flat[i : i + last] for i in range(0, len(flat), last)]


def _naive_trace(checked: CheckedProgram, case: Case) -> list[list[int]]:
    """Return every op result, flat over all items, in Python integers."""
    program, offset, constants = case.program, 0, list[Rows]()
    for const in program.consts:
        constants += _read(case.weights[offset : offset + const.type.bytes], const.type, 1)
        offset += const.type.bytes
    items = len(case.data) // program.input.type.bytes
    trace: list[list[int]] = [[] for _ in program.ops]
    for item in _read(case.data, program.input.type, items):
        values = [item, *constants]
        for position, op in enumerate(program.ops):
            shape = checked.values[len(values)].type.shape
            values.append(_regroup(_naive_op(op, values), shape))
            trace[position] += [a for r in values[-1] for a in r]
    return trace


def _fill(draw: st.DrawFn, interval: Interval, count: int) -> NDArray[np.int64]:
    """Draw numbers of an interval: anywhere, or only its ends, where overflows hide."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        return rng.integers(interval.lo, interval.hi, count, endpoint=True)
    return rng.choice(np.array([interval.lo, interval.hi], np.int64), count)


def _interval(draw: st.DrawFn, lo: int, hi: int) -> Interval:
    a, b = draw(st.integers(lo, hi)), draw(st.integers(lo, hi))
    return Interval(min(a, b), max(a, b))


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    """Draw a chain of up to six ops, each of which fits the one before."""
    dims = st.integers(1, 6)
    first = draw(st.sampled_from(DType))
    shape: Shape = tuple(draw(st.lists(dims, min_size=0, max_size=3)))
    span = (-64, 63) if first is DType.INT8 else (-(2**24), 2**24)
    source = Declaration(TensorType(first, shape), _interval(draw, *span))
    consts: list[Declaration] = []
    steps: list[Callable[[int, int], Op]] = []
    dtype = first

    def constant(kind: DType, of: Shape, lo: int, hi: int) -> None:
        consts.append(Declaration(TensorType(kind, of), _interval(draw, lo, hi)))

    for _ in range(draw(st.integers(1, 6))):
        choices = ["relu"] + ["lookup"] * (dtype is DType.INT8)
        if shape:
            choices += ["argmax", *(["matmul"] if dtype is DType.INT8 else ["bias", "requantise"])]
        match draw(st.sampled_from(choices)):
            case "matmul":
                n = draw(dims)
                constant(DType.INT8, (n, shape[-1]), -64, 63)
                steps.append(Matmul)
                shape, dtype = (*shape[:-1], n), DType.INT32
            case "bias":
                constant(DType.INT32, (shape[-1],), -(2**24), 2**24)
                steps.append(Bias)
            case "requantise":
                channels = draw(st.sampled_from([1, shape[-1]]))
                constant(DType.INT32, (channels,), 1, 2**31 - 1)
                shift, clamp = draw(st.integers(1, 62)), _interval(draw, -64, 63)
                steps.append(_requantise(shift, clamp))
                dtype = DType.INT8
            case "lookup":
                dtype = draw(st.sampled_from(DType))
                limits = (-64, 63) if dtype is DType.INT8 else (-(2**24), 2**24)
                constant(dtype, (128,), *limits)
                steps.append(Lookup)
            case "relu":
                steps.append(lambda x, c: Relu(x))
            case _:
                steps.append(lambda x, c: Argmax(x))
                shape, dtype = shape[:-1], DType.INT32
    return _assemble(draw, source, consts, steps)


def _requantise(shift: int, clamp: Interval) -> Callable[[int, int], Op]:
    return lambda x, c: Requantise(x, c, shift, clamp.lo, clamp.hi)


def _assemble(
    draw: st.DrawFn,
    source: Declaration,
    consts: list[Declaration],
    steps: list[Callable[[int, int], Op]],
) -> Case:
    ops: list[Op] = []
    used = 0
    for position, step in enumerate(steps):
        op = step(len(consts) + position if position else 0, used + 1)
        used += len(op.reads) - 1
        ops.append(op)
    weights = b"".join(
        _fill(draw, c.interval, c.type.elements).astype(c.type.dtype.storage).tobytes()
        for c in consts
    )
    count = draw(st.integers(1, 3)) * source.type.elements
    data = _fill(draw, source.interval, count).astype(source.type.dtype.storage).tobytes()
    return Case(Program(1, source, tuple(consts), tuple(ops)), weights, data)


def _declare(array: NDArray[Any]) -> Declaration:
    dtype = DType.INT8 if array.dtype == np.int8 else DType.INT32
    return Declaration(TensorType(dtype, array.shape), Interval(int(array.min()), int(array.max())))


def _evaluate(
    op: Op, x: NDArray[Any], consts: Sequence[NDArray[Any]] = ()
) -> tuple[NDArray[Any], list[int]]:
    """Run one op (reading value 0 and constants) on items x; return real and naive results."""
    item = _declare(x)
    source = Declaration(TensorType(item.type.dtype, x.shape[1:]), item.interval)
    program = Program(1, source, tuple(_declare(c) for c in consts), (op,))
    case = Case(program, b"".join(c.tobytes() for c in consts), x.tobytes())
    checked = check_program(program)
    check_weights(checked, case.weights)
    result = execute(checked, case.weights, case.data, plain_products(ReferenceMultiplier()))
    return result.output, _naive_trace(checked, case)[-1]


@pytest.fixture(scope="session")
def naive_trace() -> Callable[[CheckedProgram, Case], list[list[int]]]:
    """Every op result of a case in Python integers."""
    return _naive_trace


@pytest.fixture(scope="session")
def evaluate() -> Callable[..., tuple[NDArray[Any], list[int]]]:
    """One op on the real and on the naive machine."""
    return _evaluate


@pytest.fixture(scope="session")
def cases() -> st.SearchStrategy[Case]:
    """Random valid programs with weights and inputs."""
    return _cases()


@pytest.fixture(scope="session")
def perceptron() -> Case:
    """Sixteen inputs, a hidden layer of eight, three classes; 5 items."""
    rng = np.random.default_rng(7)

    def declare(dtype: DType, shape: Shape, lo: int, hi: int) -> Declaration:
        return Declaration(TensorType(dtype, shape), Interval(lo, hi))

    consts = (
        declare(DType.INT8, (8, 16), -63, 63),
        declare(DType.INT32, (8,), -1000, 1000),
        declare(DType.INT32, (8,), 1, 2**30),
        declare(DType.INT8, (3, 8), -63, 63),
    )
    ops = (Matmul(0, 1), Bias(5, 2), Relu(6), Requantise(7, 3, 38, 0, 63), Matmul(8, 4), Argmax(9))
    weights = b"".join(
        rng.integers(c.interval.lo, c.interval.hi, c.type.shape, endpoint=True)
        .astype(c.type.dtype.storage)
        .tobytes()
        for c in consts
    )
    data = rng.integers(-64, 64, (5, 16)).astype(np.int8).tobytes()
    return Case(Program(1, declare(DType.INT8, (16,), -64, 63), consts, ops), weights, data)
