"""Registration: what is refused, by name, and that what is accepted never leaves its ranges."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.limits import MAX_CONSTS, MAX_DIM, MAX_OPS, MAX_PRODUCTS, MAX_ROW
from pouw.vm.ops import (
    Argmax,
    Bias,
    Concat,
    Exp,
    Lookup,
    Matmul,
    Normalise,
    Op,
    Relu,
    Requantise,
    RowSum,
    SumPool,
    TopK,
)
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Shape, TensorType
from pouw.vm.weights import check_weights

INT32 = DType.INT32.interval
Trace = Callable[[CheckedProgram, Any], list[list[int]]]


def declare(dtype: DType, shape: Shape, lo: int = -64, hi: int = 63) -> Declaration:
    return Declaration(TensorType(dtype, shape), Interval(lo, hi))


def program(source: Declaration, consts: tuple[Declaration, ...], *ops: Op) -> Program:
    return Program(1, source, consts, ops)


ITEM = declare(DType.INT8, (4,))


def refused(candidate: Program, rule: str, detail: str = ".") -> None:
    with pytest.raises(RuleViolation, match=detail) as caught:
        check_program(candidate)
    assert caught.value.rule == rule


@settings(max_examples=100)
@given(st.data())
def test_no_value_ever_leaves_its_interval(
    cases: st.SearchStrategy[Any], naive_trace: Trace, data: st.DataObject
) -> None:
    case = data.draw(cases)
    checked = check_program(case.program)
    check_weights(checked, case.weights)
    items = len(case.data) // checked.input_type.bytes
    results = checked.values[case.program.first_result :]
    for values, known in zip(naive_trace(checked, case), results, strict=True):
        assert len(values) == items * known.type.elements
        assert known.interval.lo <= min(values) and max(values) <= known.interval.hi
        assert known.interval.within(known.type.dtype.interval)


def test_types_and_ranges_of_a_perceptron(perceptron: Any) -> None:
    checked = check_program(perceptron.program)
    results = checked.values[perceptron.program.first_result :]
    assert [str(v.type) for v in results] == [
        "int32[8]", "int32[8]", "int32[8]", "int8[8]", "int32[3]", "int32[]",
    ]  # fmt: skip
    widest = 16 * 64 * 63
    assert results[0].interval == Interval(-widest, widest)
    assert results[1].interval == Interval(-widest - 1000, widest + 1000)
    assert results[3].interval == Interval(0, 63)
    assert str(checked.output_type) == "int32[]" and checked.weight_bytes == 128 + 64 + 24
    assert [(p.index, p.op, p.weight) for p in checked.products(5)] == [(0, 0, 1), (1, 4, 4)]
    assert [(p.m, p.n, p.k) for p in checked.products(5)] == [(5, 8, 16), (5, 3, 8)]


def test_version() -> None:
    good = program(ITEM, (), Relu(0))
    check_program(good)
    for version in (0, 2):
        refused(msgspec.structs.replace(good, version=version), "program-version")


def test_counts() -> None:
    refused(program(ITEM, ()), "program-limits", "0 ops")
    check_program(program(ITEM, (), *(Relu(i) for i in range(MAX_OPS))))
    refused(program(ITEM, (), *(Relu(i) for i in range(MAX_OPS + 1))), "program-limits", "4097 ops")
    consts = (declare(DType.INT8, (1,)),) * (MAX_CONSTS + 1)
    refused(program(ITEM, consts, Relu(0)), "program-limits", "4097 constants")


@pytest.mark.parametrize(
    "shape", [(0,), (MAX_DIM + 1,), (1, 1, 1, 1, 1), (2**16, 2**15), (2, 0, 3)]
)
def test_sizes_of_declared_tensors(shape: Shape) -> None:
    refused(program(declare(DType.INT8, shape), (), Relu(0)), "program-limits", "input")
    const = declare(DType.INT8, shape)
    refused(program(ITEM, (const,), Matmul(0, 1)), "program-limits", "constant 0")


def test_size_of_results() -> None:
    # 2^18 rows of 4, each becoming 2^12 accumulators: 4 GiB for one item.
    wide = declare(DType.INT8, (2**18, 4))
    const = declare(DType.INT8, (2**12, 4))
    refused(program(wide, (const,), Matmul(0, 1)), "program-limits", r"op 0 \(matmul\): result")


def test_size_of_all_constants() -> None:
    gib = declare(DType.INT8, (2**20, 2**10))
    consts = (gib,) * 9
    source = declare(DType.INT8, (2**10,))
    refused(program(source, consts, *(Matmul(0, i + 1) for i in range(9))), "program-limits")


def test_rows_per_item() -> None:
    tall = declare(DType.INT8, (2, MAX_DIM, 1))
    refused(program(tall, (declare(DType.INT8, (1, 1)),), Matmul(0, 1)), "program-limits", "rows")


@pytest.mark.parametrize(
    ("dtype", "lo", "hi"),
    [
        (DType.INT8, 1, 0),
        (DType.INT8, -65, 0),
        (DType.INT8, 0, 64),
        (DType.INT32, 5, -5),
        (DType.INT32, INT32.lo - 1, 0),
        (DType.INT32, 0, INT32.hi + 1),
    ],
)
def test_declared_ranges(dtype: DType, lo: int, hi: int) -> None:
    refused(program(declare(dtype, (4,), lo, hi), (), Relu(0)), "program-range", "input")
    const = declare(dtype, (128,), lo, hi)
    refused(program(ITEM, (const,), Lookup(0, 1)), "program-range", "constant 0")


@pytest.mark.parametrize("index", [1, 2, 2**32 - 1])
def test_operands_must_exist_before_they_are_read(index: int) -> None:
    refused(program(ITEM, (), Relu(index), Relu(0)), "program-operand", r"op 0 \(relu\)")


@pytest.mark.parametrize("unused", [0, 1, 2])
def test_values_nobody_reads(unused: int) -> None:
    source, table = ITEM, declare(DType.INT8, (128,))
    candidates = [
        program(source, (), Relu(0), Argmax(0)),
        program(source, (table,), Relu(0)),
        program(source, (table, table), Lookup(0, 1), Lookup(3, 1)),
    ]
    refused(candidates[unused], "program-unused", f"value {[1, 1, 2][unused]} ")


def test_the_error_names_the_op() -> None:
    refused(program(ITEM, (), Relu(0), Relu(1), Requantise(2, 2, 1, 0, 1)), "program-constant",
            r"op 2 \(requantise\)")  # fmt: skip


def test_products_that_could_overflow() -> None:
    longest = (2**31 - 1) // 4096
    for k, fits in ((longest, True), (longest + 1, False)):
        candidate = program(declare(DType.INT8, (k,)), (declare(DType.INT8, (1, k)),), Matmul(0, 1))
        if fits:
            assert check_program(candidate).values[-1].interval.hi == longest * 4096
        else:
            refused(candidate, "program-overflow", "matmul")
    # Weights declared in [-1, 1] leave room for a longer k.
    ternary = declare(DType.INT8, (1, longest + 1), -1, 1)
    check_program(program(declare(DType.INT8, (longest + 1,)), (ternary,), Matmul(0, 1)))


def test_sums_that_could_overflow() -> None:
    source = declare(DType.INT32, (4,), 0, 2**30)
    for top, fits in ((2**30 - 1, True), (2**30, False)):
        candidate = program(source, (declare(DType.INT32, (4,), 0, top),), Bias(0, 1))
        if fits:
            check_program(candidate)
        else:
            refused(candidate, "program-overflow", "bias")


def test_most_items_of_a_job() -> None:
    assert check_program(program(ITEM, (), Relu(0))).max_items == 2**20
    # A value of 2^20 bytes per item: 2^10 of them fill a tensor.
    large = declare(DType.INT8, (2**10, 2**10))
    assert check_program(program(large, (), Relu(0))).max_items == 2**10
    # 2^12 rows per item: 2^8 of them fill a product.
    tall = declare(DType.INT8, (2**12, 1))
    one = declare(DType.INT8, (1, 1))
    assert check_program(program(tall, (one,), Matmul(0, 1))).max_items == 2**8


def test_slices_of_long_products_are_counted_against_a_limit() -> None:
    """4096 ops on one row of 2^20 would be 262,144 products, each with a root in the state."""
    longest = MAX_DIM
    source = declare(DType.INT8, (longest,), -1, 1)
    weights = declare(DType.INT8, (1, longest), -1, 1)
    for count, fits in ((MAX_PRODUCTS // 64, True), (MAX_PRODUCTS // 64 + 1, False)):
        matmuls = [Matmul(0, 1) for _ in range(count)]
        joined, last = list[Op](), 2
        for i in range(1, count):
            joined.append(Concat((last, 2 + i), 0))
            last = 1 + count + i
        candidate = program(source, (weights,), *matmuls, *joined)
        if fits:
            assert len(check_program(candidate).item_products) == MAX_PRODUCTS
        else:
            refused(candidate, "program-limits", "products")


@pytest.mark.parametrize(
    "op", [Exp(0, 1, 1, 1), RowSum(0), Normalise(0, True, 0, 1), TopK(0, 1)], ids=str
)
def test_rows_that_are_read_whole_are_short(op: Op) -> None:
    """Whoever has to judge one number of the result has to be shown the whole row."""
    check_program(program(declare(DType.INT32, (MAX_ROW,), -2, 2), (), op))
    longer = program(declare(DType.INT32, (MAX_ROW + 1,), -2, 2), (), op)
    refused(longer, "program-limits", "rows of 65537")


def test_work_that_no_number_could_hold() -> None:
    """Few bytes in and out, but 2^41 places on the way: with 2^20 items metered past 2^63."""
    tall = declare(DType.INT8, (2**17, 1, 1), -1, 1)
    pool = SumPool(0, (1, 4096), (2**17, 1), (0, 0, 4095, 4095), 0)
    refused(program(tall, (), pool), "program-limits", "metered bytes per item")
