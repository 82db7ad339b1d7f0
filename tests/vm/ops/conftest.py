"""What the tests of the arithmetic ops share: one op on arrays, and second operands to spread."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.vm.ops import Op
from pouw.vm.types import DType, Interval, Operand, TensorType


def _operand(array: NDArray[Any], constant: bool) -> Operand:
    dtype = DType.INT8 if array.dtype == np.int8 else DType.INT32
    shape = array.shape if constant else array.shape[1:]
    return Operand(TensorType(dtype, shape), Interval(int(array.min()), int(array.max())), constant)


class _NoProducts:
    """What the ops of arithmetic are given to multiply with: they never do."""

    def __call__(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        raise AssertionError("multiplied")

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        raise AssertionError("multiplied")


def _apply(op: Op, x: NDArray[Any], *others: tuple[NDArray[Any], bool]) -> NDArray[Any]:
    """Run an op on x (items, …) and (array, is it a constant); hold it to its type and range."""
    operands = (_operand(x, False), *(_operand(array, constant) for array, constant in others))
    values = (x, *(array for array, _ in others))
    for value in values:
        value.flags.writeable = False
    kind, interval = op.result_type(operands), op.result_interval(operands)
    result = op.run(values, _NoProducts())
    assert result.shape == (len(x), *kind.shape) and result.dtype == kind.dtype.storage
    assert result.flags.c_contiguous
    assert interval.lo <= result.min() and result.max() <= interval.hi
    return result


def _element(y: NDArray[Any], index: Sequence[int]) -> int:
    """Return the element of a spread y that meets x[index]: aligned at the end, 1 repeated."""
    aligned = index[len(index) - y.ndim :]
    return int(y[tuple(0 if n == 1 else i for n, i in zip(y.shape, aligned, strict=True))])


@st.composite
def _shapes(draw: st.DrawFn, min_dims: int = 0) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Draw x's shape (items, …), that of a y to spread over it, and whether y is a constant."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=min_dims, max_size=4)))
    items = draw(st.integers(1, 3))
    lengths = [draw(st.sampled_from([1, n])) for n in shape]
    if draw(st.booleans()):
        return (items, *shape), tuple(lengths[draw(st.integers(0, len(shape))) :]), True
    return (items, *shape), (items, *lengths), False


@pytest.fixture(scope="session")
def apply() -> Callable[..., NDArray[Any]]:
    """One op on arrays, held to its own type and range."""
    return _apply


@pytest.fixture(scope="session")
def element() -> Callable[[NDArray[Any], Sequence[int]], int]:
    """The element of a spread operand, read independently of numpy's rules."""
    return _element


@pytest.fixture(scope="session")
def shapes() -> Callable[..., st.SearchStrategy[tuple[tuple[int, ...], tuple[int, ...], bool]]]:
    """Shapes of x and y, and whether y is a constant."""
    return _shapes
