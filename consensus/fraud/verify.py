"""Judging a fraud proof against what the chain holds of a job: a few hashes and one cell.

A proof is *malformed* when it does not show what it claims to show (RuleViolation), *unfounded*
when it does and nothing is wrong (False), and right otherwise (True).

    fraud-job       it names another job
    fraud-op        no such op                 fraud-cell      no such cell
    fraud-leaf      no such leaf or tensor     fraud-roots     wrong roots, or too many or too few
    fraud-opening   leaves or siblings that do not lead to the root, too many or too few
    fraud-operand   an operand is outside its interval, which is a fault to prove by itself
    fraud-chunk     not the chunk of the blob that holds the cell
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...core.blob import CHUNK_BYTES, Chunk, verify_chunk
from ...core.commitment import leaf as leaf_hash
from ...core.errors import BodyMismatch, RuleViolation
from ...core.hashing import ZERO_HASH, Hash
from ...vm.check import CheckedProgram
from ...vm.judge.base import one_cell
from ...vm.judge.judgement import cell_index, judge_cell
from ...vm.multiproof import top_from, tree_height
from ...vm.program import INPUT
from ...vm.tensor_layout import Box, TensorLayout
from ...vm.trace import CONSTANTS_LABEL, TRACE_LABEL, roots_root, trace_number
from ...vm.types import Array, Operand
from .values import (
    CellOpening,
    FraudProof,
    InputFault,
    LeafFault,
    Opening,
    OutputFault,
    PaddingFault,
    RootFault,
    Roots,
)


@dataclass(frozen=True, slots=True)
class Posted:
    """What the chain holds of a job whose trace may be challenged."""

    job: Hash
    checked: CheckedProgram
    items: int
    constants_root: Hash
    """Over the roots of the model's constants, computed by every node at registration."""
    input_root: Hash
    """Of the input blob."""
    trace_root: Hash
    """Posted by the worker."""
    output_root: Hash
    """Of the posted output, as a blob."""

    @property
    def tensors(self) -> int:
        """Tensors of the trace: the input and every op's result."""
        return 1 + len(self.checked.program.ops)

    def tensor(self, number: int) -> Operand:
        """Return type and interval of a tensor of the trace. Raises RuleViolation "fraud-leaf"."""
        if not 0 <= number < self.tensors:
            raise RuleViolation("fraud-leaf", f"the trace has no tensor {number}")
        value = INPUT if number == 0 else len(self.checked.program.consts) + number
        return self.checked.values[value]

    def layout(self, number: int) -> TensorLayout:
        """Return where a tensor's cells stand in its tree."""
        return TensorLayout.of(self.tensor(number).type, self.items)


@dataclass(frozen=True, slots=True)
class OpenedCell:
    """A cell of a trace, opened and computed again."""

    claimed: int
    right: int


def judge(proof: FraudProof, posted: Posted) -> bool:
    """Tell whether a proof shows a fault of the posted trace. Raises RuleViolation, see above."""
    if proof.job != posted.job:
        raise RuleViolation("fraud-job", "the proof is about another job")
    fault = proof.fault
    if isinstance(fault, CellOpening):
        cell = open_cell(fault, posted)
        return cell.claimed != cell.right
    if isinstance(fault, InputFault):
        return _differs(fault, posted, 0, posted.input_root)
    if isinstance(fault, OutputFault):
        return _differs(fault, posted, posted.tensors - 1, posted.output_root)
    if isinstance(fault, LeafFault):
        return _is_malformed(fault, posted)
    if isinstance(fault, PaddingFault):
        return _padding_is_wrong(fault, posted)
    return _root_padding_is_wrong(fault, posted)


def open_cell(opening: CellOpening, posted: Posted) -> OpenedCell:
    """Verify the opening of one cell and compute it again. Raises RuleViolation, see above."""
    program = posted.checked.program
    if not 0 <= opening.op < len(program.ops):
        raise RuleViolation("fraud-op", f"the program has no op {opening.op}")
    result = program.first_result + opening.op
    reads = program.ops[opening.op].reads
    constants = sorted({value for value in reads if posted.checked.values[value].constant})
    computed = sorted({result, *reads} - set(constants))
    numbers = [trace_number(posted.checked, value) for value in computed]
    roots = dict(zip(computed, trace_roots(opening.trace, numbers, posted), strict=True))
    roots.update(zip(constants, _constant_roots(opening.constants, constants, posted), strict=True))
    openings = iter(opening.openings)

    def read(value: int, box: Box) -> Array:
        operand = posted.checked.values[value]
        layout = TensorLayout.of(operand.type, None if operand.constant else posted.items)
        leaves = layout.leaves_of(box)
        return layout.cells_of(box, _opened(_next(openings), layout, leaves, roots[value]))

    claimed, right = judge_cell(posted.checked, posted.items, opening.op, opening.cell, read)
    if next(openings, None) is not None:
        raise RuleViolation("fraud-opening", "more is opened than the judge reads")
    return OpenedCell(claimed, right)


def trace_roots(part: Roots, numbers: Sequence[int], posted: Posted) -> tuple[Hash, ...]:
    """Return the roots of some tensors of the trace, proven. Raises RuleViolation."""
    return _verified_roots(part, numbers, (TRACE_LABEL, posted.tensors, posted.trace_root))


def _constant_roots(part: Roots, values: Sequence[int], posted: Posted) -> tuple[Hash, ...]:
    numbers = [value - 1 for value in values]
    count = len(posted.checked.program.consts)
    return _verified_roots(part, numbers, (CONSTANTS_LABEL, count, posted.constants_root))


def _verified_roots(
    part: Roots, numbers: Sequence[int], tree: tuple[str, int, Hash]
) -> tuple[Hash, ...]:
    label, count, root = tree
    if len(part.roots) != len(numbers):
        raise RuleViolation("fraud-roots", f"{len(part.roots)} roots, not {len(numbers)}")
    if not numbers:
        if part.siblings:
            raise RuleViolation("fraud-roots", "siblings of no roots")
        return ()
    top = top_from(numbers, part.roots, tree_height(count), part.siblings)
    if roots_root(label, count, top) != root:
        raise RuleViolation("fraud-roots", f"the {label} has other roots")
    return part.roots


def _next(openings: Iterator[Opening]) -> Opening:
    opening = next(openings, None)
    if opening is None:
        raise RuleViolation("fraud-opening", "less is opened than the judge reads")
    return opening


def _opened(opening: Opening, layout: TensorLayout, leaves: Sequence[int], root: Hash) -> bytes:
    """Return the bytes of some leaves, proven."""
    data, size = opening.leaves, layout.leaf_bytes
    if len(data) != len(leaves) * size:
        raise RuleViolation(
            "fraud-opening", f"{len(data)} bytes are not {len(leaves)} leaves of {size}"
        )
    hashes = [leaf_hash(data[start : start + size]) for start in range(0, len(data), size)]
    if layout.root(top_from(leaves, hashes, layout.height, opening.siblings)) != root:
        raise RuleViolation("fraud-opening", "the leaves are not those of the tensor")
    return data


def _differs(fault: InputFault | OutputFault, posted: Posted, number: int, blob_root: Hash) -> bool:
    """Tell whether a cell of a tensor differs from the blob that should hold its bytes."""
    tensor, layout = posted.tensor(number), posted.layout(number)
    box = one_cell(cell_index(tensor, posted.items, fault.cell))
    (root,) = trace_roots(fault.trace, [number], posted)
    data = _opened(fault.opening, layout, layout.leaves_of(box), root)
    size = posted.items * tensor.type.bytes
    width = tensor.type.dtype.size
    chunk, offset = divmod(fault.cell * width, CHUNK_BYTES)
    blob = _verified_chunk(fault.chunk, blob_root, size, chunk)
    return layout.cells_of(box, data).tobytes() != blob[offset : offset + width]


def _verified_chunk(chunk: Chunk, root: Hash, size: int, index: int) -> bytes:
    try:
        verify_chunk(root, size, index, chunk)
    except BodyMismatch as error:
        raise RuleViolation("fraud-chunk", str(error)) from None
    return chunk.data


def _is_malformed(fault: LeafFault, posted: Posted) -> bool:
    tensor, layout = posted.tensor(fault.tensor), posted.layout(fault.tensor)
    if not 0 <= fault.leaf < layout.leaves:
        raise RuleViolation("fraud-leaf", f"tensor {fault.tensor} has no leaf {fault.leaf}")
    (root,) = trace_roots(fault.trace, [fault.tensor], posted)
    data = _opened(fault.opening, layout, [fault.leaf], root)
    own = layout.leaf_cells(fault.leaf)
    cells = np.frombuffer(data, layout.dtype.storage)
    if np.any(cells[own:]):
        return True
    interval: Final = tensor.interval
    return bool(np.any((cells[:own] < interval.lo) | (cells[:own] > interval.hi)))


def _padding_is_wrong(fault: PaddingFault, posted: Posted) -> bool:
    layout = posted.layout(fault.tensor)
    if not layout.leaves <= fault.leaf < 1 << layout.height:
        raise RuleViolation("fraud-leaf", f"leaf {fault.leaf} is no padding")
    (root,) = trace_roots(fault.trace, [fault.tensor], posted)
    if layout.root(top_from([fault.leaf], [fault.found], layout.height, fault.siblings)) != root:
        raise RuleViolation("fraud-opening", "the hash is not that of the tensor")
    return fault.found != ZERO_HASH


def _root_padding_is_wrong(fault: RootFault, posted: Posted) -> bool:
    height = tree_height(posted.tensors)
    if not posted.tensors <= fault.tensor < 1 << height:
        raise RuleViolation("fraud-leaf", f"tensor {fault.tensor} is no padding")
    top = top_from([fault.tensor], [fault.found], height, fault.siblings)
    if roots_root(TRACE_LABEL, posted.tensors, top) != posted.trace_root:
        raise RuleViolation("fraud-roots", "the hash is not that of the trace")
    return fault.found != ZERO_HASH
