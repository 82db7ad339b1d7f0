"""Costs against sums worked out by hand."""

from typing import Any

from pouw.vm.check import check_program
from pouw.vm.metering import Cost, cost_of
from pouw.vm.ops import Relu
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, TensorType


def test_perceptron_by_hand(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    macs = 16 * 8 + 8 * 3
    matmuls = 2 * (16 + 32) + 256 + 2 * (8 + 12) + 256
    elementwise = (64 + 256) + 4 * 64 + (6 * 40 + 256) + (12 * (12 + 4) + 640)
    fixed = 2 * 128 + 32 + 6 * 32 + 2 * 24 + 6 * 131_072
    assert cost_of(checked, 1) == Cost(macs, matmuls + elementwise + fixed, 6)
    assert cost_of(checked, 10) == Cost(10 * macs, 10 * (matmuls + elementwise) + fixed, 6)


def test_macs_are_those_of_the_products(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    assert cost_of(checked, 7).macs == sum(p.macs for p in checked.products(7))


def test_depth_is_the_longest_chain_of_ops() -> None:
    source = Declaration(TensorType(DType.INT8, (3,)), Interval(-1, 1))
    chain = Program(1, source, (), tuple(Relu(i) for i in range(5)))
    assert cost_of(check_program(chain), 1_000).depth == 5


def test_thousands_of_ops_on_single_numbers_are_not_free() -> None:
    """Dispatching an op takes microseconds however little it moves; it used to cost 8 bytes."""
    source = Declaration(TensorType(DType.INT8, (1,)), Interval(-1, 1))
    chain = Program(1, source, (), tuple(Relu(i) for i in range(4096)))
    assert cost_of(check_program(chain), 1).bytes >= 2**29
