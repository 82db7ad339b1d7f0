"""Building proofs from a trace at hand, exactly as `verify` reads them.

The trace is the one that was posted, wrong as it may be: a challenger that has been given its own
execution only must first learn the posted leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.blob import CHUNK_BYTES, Chunk, split_blob
from ...vm.check import CheckedProgram
from ...vm.judge.base import one_cell
from ...vm.judge.judgement import cell_index, judge_cell
from ...vm.tensor_layout import Box
from ...vm.trace import Committed, Openable, trace_number
from ...vm.types import Array
from .values import CellOpening, InputFault, LeafFault, Opening, OutputFault, Roots


@dataclass(frozen=True, slots=True)
class Evidence:
    """A posted trace with everything that proofs are cut from."""

    checked: CheckedProgram
    items: int
    trace: Committed
    constants: Committed

    def tensor(self, value: int) -> Openable:
        """Return a value of the program, computed or constant, by its number."""
        if self.checked.values[value].constant:
            return self.constants.tensors[value - 1]
        return self.trace.tensors[trace_number(self.checked, value)]


def prove_cell(evidence: Evidence, op: int, cell: int) -> CellOpening:
    """Open cell number `cell` of an op's result and all that decides it.

    Raises RuleViolation: fraud-op, fraud-cell, fraud-operand.
    """
    checked = evidence.checked
    openings: list[Opening] = []

    def read(value: int, box: Box) -> Array:
        tensor = evidence.tensor(value)
        leaves = tensor.layout.leaves_of(box)
        openings.append(_opening(tensor, leaves))
        return tensor.layout.cells_of(box, openings[-1].leaves)

    judge_cell(checked, evidence.items, op, cell, read)
    values = {checked.program.first_result + op, *checked.program.ops[op].reads}
    constants = sorted(value for value in values if checked.values[value].constant)
    computed = sorted(values - set(constants))
    return CellOpening(
        op,
        cell,
        _roots(evidence.trace, [trace_number(checked, value) for value in computed]),
        _roots(evidence.constants, [value - 1 for value in constants]),
        tuple(openings),
    )


def prove_input(evidence: Evidence, data: bytes, cell: int) -> InputFault:
    """Open a cell of the trace's first value beside the input blob."""
    return InputFault(cell, *_beside_blob(evidence, 0, data, cell))


def prove_output(evidence: Evidence, output: bytes, cell: int) -> OutputFault:
    """Open a cell of the trace's last value beside the posted output."""
    last = len(evidence.trace.tensors) - 1
    return OutputFault(cell, *_beside_blob(evidence, last, output, cell))


def prove_leaf(evidence: Evidence, tensor: int, leaf: int) -> LeafFault:
    """Open a leaf of a tensor of the trace, for what is wrong within it."""
    opening = _opening(evidence.trace.tensors[tensor], [leaf])
    return LeafFault(tensor, leaf, _roots(evidence.trace, [tensor]), opening)


def _beside_blob(
    evidence: Evidence, number: int, blob: bytes, cell: int
) -> tuple[Roots, Opening, Chunk]:
    tensor = evidence.trace.tensors[number]
    value = evidence.checked.values[-1 if number else 0]
    box = one_cell(cell_index(value, evidence.items, cell))
    chunk = split_blob(blob)[1][cell * value.type.dtype.size // CHUNK_BYTES]
    opening = _opening(tensor, tensor.layout.leaves_of(box))
    return _roots(evidence.trace, [number]), opening, chunk


def _opening(tensor: Openable, leaves: Sequence[int]) -> Opening:
    return Opening(tensor.leaves(leaves), tensor.siblings(leaves))


def _roots(committed: Committed, numbers: Sequence[int]) -> Roots:
    if not numbers:
        return Roots((), ())
    tree = committed.tree
    return Roots(tuple(tree.roots[number] for number in numbers), tree.siblings(numbers))
