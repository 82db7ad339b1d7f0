"""Judges against executions: in every random program, every cell judged is the cell computed."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import RuleViolation
from pouw.tests.vm.programs import Case, random_case
from pouw.vm import ops
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.executor import execute
from pouw.vm.judge.base import ravelled, unravelled
from pouw.vm.judge.judgement import cell_index, judge_cell
from pouw.vm.judge.table import judge_of
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.vm.program import Program
from pouw.vm.tensor_layout import Box
from pouw.vm.types import Array
from pouw.vm.weights import load_weights

KINDS: tuple[type[ops.Op], ...] = ops.Op.__args__


class Values:
    """All values of an execution, read box by box; remembers the boxes."""

    def __init__(self, case: Case) -> None:
        self.checked: CheckedProgram = check_program(case.program)
        computed: list[Array] = []
        handler = plain_products(ReferenceMultiplier())
        self.items = execute(self.checked, case.weights, case.data, handler, computed.append).items
        constants = load_weights(self.checked, case.weights)
        self.arrays = [computed[0], *constants, *computed[1:]]
        self.read: list[tuple[int, Box]] = []

    def __call__(self, value: int, box: Box) -> Array:
        self.read.append((value, box))
        spans = zip(box.start, box.lengths, strict=True)
        part = self.arrays[value][tuple(slice(at, at + length) for at, length in spans)]
        assert part.shape == box.lengths
        return part.copy()

    def cells(self, position: int, most: int, rng: Random) -> list[int]:
        count = self.arrays[self.checked.program.first_result + position].size
        return list(range(count)) if count <= most else rng.sample(range(count), most)

    def hold(self, position: int, most: int, rng: Random) -> None:
        """Judge cells of an op, and hold what was read to what the judge announced."""
        program = self.checked.program
        op, result = program.ops[position], program.first_result + position
        operands = tuple(self.checked.values[value] for value in op.reads)
        demands = judge_of(op).demands(op, operands)
        for cell in self.cells(position, most, rng):
            self.read.clear()
            claimed, right = judge_cell(self.checked, self.items, position, cell, self)
            assert claimed == right == self.arrays[result].reshape(-1)[cell]
            boxes = self.read[1:]
            assert any(
                all(
                    any(
                        op.reads[number] == value
                        and len(lengths) == len(box.lengths)
                        and all(a <= b for a, b in zip(box.lengths, lengths, strict=True))
                        for number, lengths in demand.boxes
                    )
                    for value, box in boxes
                )
                and len(boxes) <= len(demand.boxes)
                for demand in demands
            )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_judged_cells_are_the_computed_ones(seed: int, rng: Random) -> None:
    values = Values(random_case(seed))
    for position in range(len(values.checked.program.ops)):
        values.hold(position, 12, rng)


def cases_with(kind: type[ops.Op], wanted: int) -> list[tuple[Case, int]]:
    """Return random programs, each with the position of an op of this kind."""
    found: list[tuple[Case, int]] = []
    for seed in range(3000):
        case = random_case(seed)
        for position, op in enumerate(case.program.ops):
            if isinstance(op, kind):
                found.append((case, position))
        if len(found) >= wanted:
            return found
    raise AssertionError(f"no program with {kind.__name__}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_of_every_op(kind: type[ops.Op]) -> None:
    for case, position in cases_with(kind, 4):
        Values(case).hold(position, 400, Random(1))


def test_an_op_without_a_judge_is_refused() -> None:
    with pytest.raises(RuleViolation, match="challenge-judge"):
        judge_of(object())  # pyright: ignore[reportArgumentType]


def test_cells_outside_of_a_result_do_not_exist() -> None:
    values = Values(random_case(5))
    program: Program = values.checked.program
    last = len(program.ops) - 1
    size = values.arrays[-1].size
    for op, cell, rule in [
        (last, size, "fraud-cell"),
        (last, -1, "fraud-cell"),
        (last + 1, 0, "fraud-op"),
        (-1, 0, "fraud-op"),
    ]:
        with pytest.raises(RuleViolation) as refused:
            judge_cell(values.checked, values.items, op, cell, values)
        assert refused.value.rule == rule


@pytest.mark.parametrize("kind", KINDS)
def test_operands_outside_their_interval_are_not_judged(kind: type[ops.Op]) -> None:
    """Ops are defined within the intervals only: beyond, a judge must say so, not compute."""
    for case, position in cases_with(kind, 3):
        values = Values(case)
        op = values.checked.program.ops[position]
        for value in set(op.reads):
            operand = values.checked.values[value]
            bounds = np.iinfo(operand.type.dtype.storage)
            outside = bounds.max if operand.interval.hi < bounds.max else bounds.min
            if operand.interval.lo <= outside <= operand.interval.hi:
                continue
            kept = values.arrays[value]
            values.arrays[value] = np.full(kept.shape, outside, kept.dtype)
            result = values.checked.program.first_result + position
            values.read.clear()
            try:
                judge_cell(values.checked, values.items, position, 0, values)
            except RuleViolation as error:
                assert error.rule == "fraud-operand"
            else:  # only an op that chooses among its operands may not have read this one
                assert isinstance(op, ops.Concat | ops.Patches)
                assert value not in [number for number, _ in values.read if number != result]
            values.arrays[value] = kept


@given(st.lists(st.integers(1, 7), max_size=4), st.data())
def test_cells_are_numbered_in_c_order(shape: list[int], data: st.DataObject) -> None:
    count = int(np.prod(shape, dtype=int))
    number = data.draw(st.integers(0, count - 1))
    index = unravelled(number, tuple(shape))
    assert index == tuple(map(int, np.unravel_index(number, shape))) if shape else index == ()
    assert ravelled(index, tuple(shape)) == number
    values = check_program(random_case(3).program).values
    assert cell_index(values[0], 2, 0) == (0,) * (1 + len(values[0].type.shape))
