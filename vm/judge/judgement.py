"""The judgement of one cell, whoever supplies the data: a trace in memory, or a proof."""

from collections.abc import Callable
from typing import TypeAlias

from ...core.errors import RuleViolation
from ..check import CheckedProgram
from ..tensor_layout import Box, Index
from ..types import Array, Interval, Operand
from .base import one_cell, unravelled
from .table import judge_of

ReadValue: TypeAlias = Callable[[int, Box], Array]
"""Returns the cells of a box of value number i of the program."""


def judge_cell(
    checked: CheckedProgram, items: int, position: int, cell: int, read: ReadValue
) -> tuple[int, int]:
    """Return what stands in a cell of op `position`'s result, and what should.

    `cell` counts the result's cells in C order, items first. The cell itself is read first, then
    what its judge asks for. Raises RuleViolation: fraud-op and fraud-cell where there is no such
    cell, fraud-operand where an operand leaves its interval: that is a fault of its own, and no op
    is defined there.
    """
    program = checked.program
    if not 0 <= position < len(program.ops):
        raise RuleViolation("fraud-op", f"the program has no op {position}")
    op, result = program.ops[position], program.first_result + position
    index = cell_index(checked.values[result], items, cell)
    claimed = int(read(result, one_cell(index)).reshape(-1)[0])
    operands = tuple(checked.values[value] for value in op.reads)

    def read_operand(number: int, box: Box) -> Array:
        array = read(op.reads[number], box)
        _check_operand(operands[number], array)
        return array

    return claimed, judge_of(op).cell(op, operands, index, read_operand)


def cell_index(value: Operand, items: int, cell: int) -> Index:
    """Return where cell number `cell` of a computed value stands, item first.

    Raises RuleViolation "fraud-cell" where the value has no such cell.
    """
    shape = (items, *value.type.shape)
    if not 0 <= cell < items * value.type.elements:
        raise RuleViolation("fraud-cell", f"{value.type} of {items} items has no cell {cell}")
    return unravelled(cell, shape)


def _check_operand(operand: Operand, array: Array) -> None:
    found = Interval(int(array.min()), int(array.max()))
    if not found.within(operand.interval):
        raise RuleViolation(
            "fraud-operand", f"an operand in {found} is outside {operand.interval}: prove that"
        )
