"""What the tests of the tensor machine share: random cases, the naive machine, a perceptron."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.tests.vm.naive import trace
from pouw.tests.vm.programs import Case, random_case
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.executor import execute
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.ops import Argmax, Bias, Matmul, Op, Relu, Requantise
from pouw.vm.products import plain_products
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Shape, TensorType
from pouw.vm.weights import check_weights


def _naive_trace(checked: CheckedProgram, case: Case) -> list[list[int]]:
    return trace(checked, case.weights, case.data)


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
    return st.integers(0, 2**63).map(random_case)


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
