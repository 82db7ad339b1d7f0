"""One op at a time, on arrays: what it says of its result held against the result itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.check import check_op
from pouw.vm.multiplier import ReferenceMultiplier, matmul_each
from pouw.vm.ops import Op
from pouw.vm.types import DType, Interval, Operand, Shape, TensorType


class Plain:
    """Multiplies for an op without slicing."""

    def __call__(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        return ReferenceMultiplier().matmul(a, b_t)

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        return matmul_each(ReferenceMultiplier(), a, b_t)


def computed(dtype: DType, *shape: int, lo: int = -64, hi: int = 63) -> Operand:
    return Operand(TensorType(dtype, shape), Interval(lo, hi), constant=False)


def constant(dtype: DType, *shape: int, lo: int = -64, hi: int = 63) -> Operand:
    return Operand(TensorType(dtype, shape), Interval(lo, hi), constant=True)


def random_array(
    seed: int, dtype: DType, shape: Shape, lo: int = -64, hi: int = 63
) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(lo, hi, shape, endpoint=True).astype(dtype.storage)


def apply(op: Op, *values: NDArray[Any], constants: tuple[int, ...] = ()) -> NDArray[Any]:
    """Check and run an op on values, (items, …) or constants, declared as tightly as they are."""
    operands = tuple(
        Operand(
            TensorType(
                DType.INT8 if value.dtype == np.int8 else DType.INT32,
                value.shape if i in constants else value.shape[1:],
            ),
            Interval(int(value.min()), int(value.max())),
            constant=i in constants,
        )
        for i, value in enumerate(values)
    )
    items = next(len(value) for i, value in enumerate(values) if i not in constants)
    kept = [value.copy() for value in values]
    for value in values:
        value.flags.writeable = False
    result, _ = check_op(op, operands)
    output = op.run(values, Plain())
    assert output.shape == (items, *result.type.shape)
    assert output.dtype == result.type.dtype.storage
    assert output.flags.c_contiguous
    assert result.interval.lo <= output.min() and output.max() <= result.interval.hi
    assert all(np.array_equal(a, b) for a, b in zip(values, kept, strict=True))
    return output


def element(y: NDArray[Any], index: Sequence[int]) -> int:
    """Return the element of a spread y that meets x[index]: aligned at the end, 1 repeated."""
    aligned = index[len(index) - y.ndim :]
    return int(y[tuple(0 if n == 1 else i for n, i in zip(y.shape, aligned, strict=True))])


@st.composite
def shapes(draw: st.DrawFn, min_dims: int = 0) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Draw x's shape (items, …), that of a y to spread over it, and whether y is a constant."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=min_dims, max_size=4)))
    items = draw(st.integers(1, 3))
    lengths = [draw(st.sampled_from([1, n])) for n in shape]
    if draw(st.booleans()):
        return (items, *shape), tuple(lengths[draw(st.integers(0, len(shape))) :]), True
    return (items, *shape), (items, *lengths), False


def refused(rule: str, op: Op, *operands: Operand) -> None:
    """Expect an op to be refused for operands of these types and ranges."""
    with pytest.raises(RuleViolation) as caught:
        check_op(op, operands)
    assert caught.value.rule == rule
