"""Executions: against the naive machine, product by product, and refusals."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.core.errors import RuleViolation
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.executor import execute
from pouw.vm.multiplier import ReferenceMultiplier, matmul_each
from pouw.vm.ops import BatchMatmul, Bias, Matmul, Slice, Transpose
from pouw.vm.products import Product, plain_products
from pouw.vm.program import Program
from pouw.vm.tensor import encode_output
from pouw.vm.types import Declaration, DType, Interval, TensorType

Trace = Callable[[CheckedProgram, Any], list[list[int]]]
PLAIN = plain_products(ReferenceMultiplier())


class Recorder:
    """Multiplies plainly, keeps what it was asked, and may spoil one product."""

    def __init__(self, spoil: Callable[[NDArray[Any]], NDArray[Any]] | None = None) -> None:
        self.asked: list[Product] = []
        self.results: list[NDArray[np.int32]] = []
        self.batches: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        self._spoil = spoil

    def product(
        self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        assert a.shape == (product.m, product.k) and b_t.shape == (product.n, product.k)
        assert a.dtype == b_t.dtype == np.int8
        assert a.flags.c_contiguous and b_t.flags.c_contiguous
        self.asked.append(product)
        result = ReferenceMultiplier().matmul(a, b_t)
        self.results.append(result)
        return result if self._spoil is None else self._spoil(result)

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        assert a.dtype == b_t.dtype == np.int8
        assert a.flags.c_contiguous and b_t.flags.c_contiguous
        self.batches.append((a.shape, b_t.shape))
        return matmul_each(ReferenceMultiplier(), a, b_t)


@settings(max_examples=150)
@given(st.data())
def test_equals_the_naive_machine(
    cases: st.SearchStrategy[Any], naive_trace: Trace, data: st.DataObject
) -> None:
    case = data.draw(cases)
    checked = check_program(case.program)
    recorder = Recorder()
    execution = execute(checked, case.weights, case.data, recorder)
    kind = checked.output_type
    assert execution.output.shape == (execution.items, *kind.shape)
    assert execution.output.dtype == kind.dtype.storage
    assert execution.output.reshape(-1).tolist() == naive_trace(checked, case)[-1]
    assert tuple(recorder.asked) == checked.products(execution.items)


def sliced_program(k: int, n: int) -> CheckedProgram:
    source = Declaration(TensorType(DType.INT8, (k,)), Interval(-64, 63))
    weights = Declaration(TensorType(DType.INT8, (n, k)), Interval(-64, 63))
    return check_program(Program(1, source, (weights,), (Matmul(0, 1),)))


def test_a_long_k_is_multiplied_in_slices_that_add_up() -> None:
    checked = sliced_program(k=2 * 16_384 + 300, n=3)
    rng = np.random.default_rng(1)
    x = rng.integers(-64, 64, (2, 33_068)).astype(np.int8)
    weights = rng.integers(-64, 64, (3, 33_068)).astype(np.int8)
    recorder = Recorder()
    output = execute(checked, weights.tobytes(), x.tobytes(), recorder).output
    assert np.array_equal(output, x.astype(np.int64) @ weights.astype(np.int64).T)
    assert [(p.index, p.start, p.k) for p in recorder.asked] == [
        (0, 0, 16_384),
        (1, 16_384, 16_384),
        (2, 32_768, 300),
    ]


def test_a_product_may_come_from_elsewhere(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    recorder = Recorder()
    expected = execute(checked, perceptron.weights, perceptron.data, recorder).output

    class Delivered(Recorder):
        def product(
            self, product: Product, a: NDArray[np.int8], b_t: NDArray[np.int8]
        ) -> NDArray[np.int32]:
            return recorder.results[product.index]

    output = execute(checked, perceptron.weights, perceptron.data, Delivered()).output
    assert encode_output(checked, output) == encode_output(checked, expected)


def test_items_do_not_influence_each_other(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    together = execute(checked, perceptron.weights, perceptron.data, PLAIN).output
    size = checked.input_type.bytes
    for i in range(5):
        item = perceptron.data[i * size : (i + 1) * size]
        assert execute(checked, perceptron.weights, item, PLAIN).output[0] == together[i]


def test_the_callers_buffers_are_left_alone(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    weights, data = bytearray(perceptron.weights), bytearray(perceptron.data)
    execute(checked, memoryview(weights), memoryview(data), PLAIN)
    assert bytes(weights) == perceptron.weights and bytes(data) == perceptron.data


def shortened(c: NDArray[Any]) -> NDArray[Any]:
    return c[:-1]


def flattened(c: NDArray[Any]) -> NDArray[Any]:
    return c.reshape(-1)


def widened(c: NDArray[Any]) -> NDArray[Any]:
    return c.astype(np.int64)


@pytest.mark.parametrize("spoil", [shortened, np.transpose, flattened, widened])
def test_refuses_a_product_of_another_shape_or_type(
    perceptron: Any, spoil: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    checked = check_program(perceptron.program)
    with pytest.raises(RuleViolation) as caught:
        execute(checked, perceptron.weights, perceptron.data, Recorder(spoil))
    assert caught.value.rule == "product-shape"


@pytest.mark.parametrize("value", [16 * 64 * 63 + 1, -16 * 64 * 63 - 1, 2**31 - 1, -(2**31)])
def test_refuses_a_product_no_operands_can_have(perceptron: Any, value: int) -> None:
    def spoil(result: NDArray[Any]) -> NDArray[Any]:
        result[-1, -1] = value
        return result

    checked = check_program(perceptron.program)
    with pytest.raises(RuleViolation) as caught:
        execute(checked, perceptron.weights, perceptron.data, Recorder(spoil))
    assert caught.value.rule == "product-range"


@pytest.mark.parametrize(
    ("weights", "data", "rule"),
    [
        (-1, 0, "weights-size"),
        (1, 0, "weights-size"),
        (0, -1, "input-size"),
        (0, -80, "input-items"),
    ],
)
def test_refuses_blobs_of_another_length(
    perceptron: Any, weights: int, data: int, rule: str
) -> None:
    checked = check_program(perceptron.program)
    blob = (perceptron.weights + b"\0")[: len(perceptron.weights) + weights]
    with pytest.raises(RuleViolation) as caught:
        execute(checked, blob, perceptron.data[: 80 + data], PLAIN)
    assert caught.value.rule == rule


def test_refuses_an_input_out_of_range(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    with pytest.raises(RuleViolation) as caught:
        execute(checked, perceptron.weights, b"\x80" + perceptron.data[1:], PLAIN)
    assert caught.value.rule == "input-range"


def test_a_value_may_be_read_twice() -> None:
    source = Declaration(TensorType(DType.INT8, (2,)), Interval(-64, 63))
    square = Declaration(TensorType(DType.INT8, (2, 2)), Interval(-64, 63))
    bias = Declaration(TensorType(DType.INT32, (2,)), Interval(-9, 9))
    program = Program(1, source, (square, bias), (Matmul(0, 1), Bias(3, 2), Bias(4, 2)))
    weights = np.array([1, 2, 3, 4], np.int8).tobytes() + np.array([5, -6], "<i4").tobytes()
    output = execute(check_program(program), weights, bytes([1, 1]), PLAIN).output
    assert output.tolist() == [[3 + 10, 7 - 12]]


def test_batched_products_are_asked_for_apart_and_are_not_numbered() -> None:
    source = Declaration(TensorType(DType.INT8, (3, 2, 5)), Interval(-64, 63))
    checked = check_program(Program(1, source, (), (BatchMatmul(0, 0),)))
    assert checked.item_products == () and checked.rate.item_macs == 3 * 2 * 2 * 5
    recorder = Recorder()
    x = np.random.default_rng(5).integers(-64, 64, (7, 3, 2, 5)).astype(np.int8)
    output = execute(checked, b"", x.tobytes(), recorder).output
    wide = x.astype(np.int64)
    assert np.array_equal(output, wide @ wide.swapaxes(2, 3))
    assert recorder.asked == [] and recorder.batches == [((21, 2, 5), (21, 2, 5))]


def test_only_values_still_to_be_read_are_kept() -> None:
    source = Declaration(TensorType(DType.INT8, (1024, 1024)), Interval(-64, 63))
    ops = [Transpose(i, (1, 0)) for i in range(19)]
    checked = check_program(Program(1, source, (), (*ops, Slice(19, 0, 0, 1, 1))))
    data = bytes(range(64)) * 2**14
    tracemalloc.start()
    try:
        output = execute(checked, b"", data, PLAIN).output
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert output.shape == (1, 1, 1024)
    assert peak < 4 * 2**20, "two values at a time, not twenty"
