"""Programs built by hand come out with the right indices, declarations and data."""

import numpy as np
import pytest
from pouw.core.errors import UserError
from pouw.vm.check import check_program
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.ops import Bias, Matmul, Relu
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.vm.weights import check_weights

SOURCE = Declaration(TensorType(DType.INT8, (2,)), Interval(-64, 63))


def test_constants_come_before_results_whenever_they_were_added() -> None:
    builder = ProgramBuilder(SOURCE)
    product = builder.op(
        Matmul, builder.source(), builder.constant(np.array([[1, -2], [3, 4]]), DType.INT8)
    )
    total = builder.op(Bias, product, builder.constant(np.array([300, -5]), DType.INT32))
    builder.op(Relu, total)
    program, weights = builder.finish()
    assert program.ops == (Matmul(0, 1), Bias(3, 2), Relu(4))
    assert [c.interval for c in program.consts] == [Interval(-2, 4), Interval(-5, 300)]
    assert weights.hex() == "01fe03042c010000fbffffff"
    check_weights(check_program(program), weights)


@pytest.mark.parametrize(("value", "dtype"), [(64, DType.INT8), (2**31, DType.INT32)])
def test_refuses_a_constant_that_does_not_fit(value: int, dtype: DType) -> None:
    with pytest.raises(UserError, match="does not fit"):
        ProgramBuilder(SOURCE).constant(np.array([value]), dtype)
