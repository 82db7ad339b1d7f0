"""What is refused for challenge mode, and that bounds grow as proofs do."""

import pytest
from pouw.core.errors import RuleViolation
from pouw.tests.vm.programs import random_case
from pouw.vm import ops
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.judge.bounds import (
    MAX_JUDGE_NS,
    MAX_PROOF_BYTES,
    check_challengeable,
    judge_cost,
)
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, Shape, TensorType

I8, I32 = DType.INT8, DType.INT32


def program(op: ops.Op, dtype: DType, shape: Shape, *consts: tuple[DType, Shape]) -> CheckedProgram:
    def declared(dtype: DType, shape: Shape) -> Declaration:
        return Declaration(TensorType(dtype, shape), Interval(0, 1))

    constants = tuple(declared(*const) for const in consts)
    return check_program(Program(1, declared(dtype, shape), constants, (op,)))


def pooled(kernel: tuple[int, int], dtype: DType, shape: Shape) -> CheckedProgram:
    return program(ops.SumPool(0, kernel, (1, 1), (0, 0, 0, 0), 0), dtype, shape)


def test_every_small_program_may_be_challenged() -> None:
    for seed in range(60):
        checked = check_program(random_case(seed).program)
        costs = check_challengeable(checked)
        assert len(costs) == len(checked.program.ops)
        for position, most in enumerate(costs):
            one = judge_cost(checked, position, 1)
            assert 0 < one.proof_bytes <= most.proof_bytes <= MAX_PROOF_BYTES
            assert 0 < one.nanoseconds <= most.nanoseconds <= MAX_JUDGE_NS


@pytest.mark.parametrize(
    ("rule", "checked"),
    [
        ("challenge-row", program(ops.Matmul(0, 1), I8, (16_385,), (I8, (1, 16_385)))),
        ("challenge-row", program(ops.Relu(0), I8, (2, 16_385))),
        ("challenge-proof", program(ops.Argmax(0), I32, (65_536,))),
        ("challenge-proof", pooled((45, 45), I8, (64, 64, 3))),
        ("challenge-time", pooled((3000, 1), I32, (3000, 1, 1))),
        ("challenge-time", pooled((64, 64), I32, (64, 64, 1))),
    ],
)
def test_what_no_proof_could_show_is_refused(rule: str, checked: CheckedProgram) -> None:
    with pytest.raises(RuleViolation, match="op 0") as refused:
        check_challengeable(checked)
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    "checked",
    [
        program(ops.Matmul(0, 1), I8, (16_384,), (I8, (4096, 16_384))),
        program(ops.Argmax(0), I32, (50_257,)),
        pooled((28, 28), I8, (56, 56, 64)),
        pooled((40, 40), I32, (64, 64, 1)),
        program(ops.Concat((0,) * 16, 0), I8, (4, 16_384)),
    ],
)
def test_large_ones_within_the_limits_are_not(checked: CheckedProgram) -> None:
    check_challengeable(checked)


def test_a_product_at_k_4096_takes_what_the_section_says() -> None:
    checked = program(ops.Matmul(0, 1), I8, (128, 4096), (I8, (4096, 4096)))
    assert judge_cost(checked, 0, 8).proof_bytes <= 12_000
