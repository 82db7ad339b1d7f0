"""How long the longest proof against an op is, and how long judging it takes: known without data.

Time is in nanoseconds of one core by the prices below, which stand above what the judges take on an
undisturbed core. Whatever exceeds a limit is refused for challenge mode:

    challenge-judge   an op has no judge
    challenge-row     an int8 row, or an inner dimension of a product, is too long
    challenge-proof   a proof could exceed 256 kB
    challenge-time    a judgement could exceed 20 ms
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from ...core.errors import RuleViolation
from ...core.hashing import HASH_BYTES
from ..check import CheckedProgram
from ..multiproof import most_siblings, tree_height
from ..tensor_layout import Index, TensorLayout
from ..types import Operand
from .base import Demand, single
from .table import judge_of

MAX_PROOF_BYTES: Final = 2**18
"""Canonical bytes of a fraud proof; a transaction has room for that and its envelope."""
MAX_JUDGE_NS: Final = 20_000_000

_HASH_BYTES: Final = HASH_BYTES + 2
"""A hash and its header in the canonical encoding."""
_OPENING_BYTES: Final = 16
_ENVELOPE_BYTES: Final = 128
_BASE_NS: Final = 150_000
_OPENING_NS: Final = 60_000
_HASH_NS: Final = 3_000
_BYTE_NS: Final = 3
_CELL_NS: Final = 100
_STEP_NS: Final = 10_000


@dataclass(frozen=True, slots=True)
class JudgeCost:
    """What a proof takes at most."""

    proof_bytes: int
    nanoseconds: int

    def plus(self, other: "JudgeCost") -> "JudgeCost":
        """Return both together."""
        return JudgeCost(self.proof_bytes + other.proof_bytes, self.nanoseconds + other.nanoseconds)


def check_challengeable(checked: CheckedProgram) -> tuple[JudgeCost, ...]:
    """Return what a proof against each op takes at most, or refuse the program, see above."""
    return tuple(_checked_cost(checked, position) for position in range(len(checked.program.ops)))


def judge_cost(checked: CheckedProgram, position: int, items: int) -> JudgeCost:
    """Return the most that a proof against op `position` takes in a job of `items`.

    Raises RuleViolation: challenge-judge, challenge-row.
    """
    program = checked.program
    op, result = program.ops[position], checked.values[program.first_result + position]
    operands = tuple(checked.values[value] for value in op.reads)
    fixed = JudgeCost(_ENVELOPE_BYTES, _BASE_NS).plus(_opening_cost(result, single(result), items))
    constants = {value for value in op.reads if checked.values[value].constant}
    computed = set(op.reads) - constants
    fixed = fixed.plus(_roots_cost(len(computed) + 1, len(program.ops) + 1))
    fixed = fixed.plus(_roots_cost(len(constants), len(program.consts)))
    ways = [_demand_cost(demand, operands, items) for demand in judge_of(op).demands(op, operands)]
    longest = max(way.proof_bytes for way in ways)
    slowest = max(way.nanoseconds for way in ways)
    return fixed.plus(JudgeCost(longest, slowest))


def _checked_cost(checked: CheckedProgram, position: int) -> JudgeCost:
    try:
        cost = judge_cost(checked, position, checked.max_items)
        if cost.proof_bytes > MAX_PROOF_BYTES:
            raise RuleViolation(
                "challenge-proof", f"a proof of {cost.proof_bytes} bytes exceeds {MAX_PROOF_BYTES}"
            )
        if cost.nanoseconds > MAX_JUDGE_NS:
            raise RuleViolation(
                "challenge-time", f"a judgement of {cost.nanoseconds} ns exceeds {MAX_JUDGE_NS}"
            )
    except RuleViolation as error:
        name = type(checked.program.ops[position]).__name__.lower()
        raise RuleViolation(error.rule, f"op {position} ({name}): {error.detail}") from None
    return cost


def _demand_cost(demand: Demand, operands: tuple[Operand, ...], items: int) -> JudgeCost:
    total = JudgeCost(0, _STEP_NS * demand.steps)
    for number, lengths in demand.boxes:
        total = total.plus(_opening_cost(operands[number], lengths, items))
    return total


def _opening_cost(operand: Operand, lengths: Index, items: int) -> JudgeCost:
    """Return what reading a box of these lengths takes, wherever it lies."""
    layout = TensorLayout.of(operand.type, None if operand.constant else items)
    *leading, last = (*lengths, 1) if layout.single else lengths
    rows = prod(leading)
    # A box of `last` columns may begin at the end of a leaf.
    touched = min(layout.blocks, 1 + -(-(last - 1) // layout.leaf_columns))
    leaves = rows * touched
    whole_rows = touched == layout.blocks
    runs = _runs(leading, layout.shape) if whole_rows else rows
    siblings = most_siblings(leaves, runs, layout.height)
    data = leaves * layout.leaf_bytes
    hashes = 2 * leaves + siblings
    return JudgeCost(
        data + _HASH_BYTES * siblings + _OPENING_BYTES,
        _OPENING_NS + _HASH_NS * hashes + _BYTE_NS * data + _CELL_NS * rows * last,
    )


def _runs(lengths: Sequence[int], shape: Index) -> int:
    """Return how many unbroken runs the rows of a box make, whose lengths these are.

    Rows follow each other along the last of these dimensions, and where a box spans that dimension
    whole, along the one before it as well.
    """
    runs = prod(lengths)
    for length, whole in reversed(list(zip(lengths, shape, strict=False))):
        runs //= length
        if length < whole:
            break
    return runs


def _roots_cost(roots: int, count: int) -> JudgeCost:
    siblings = most_siblings(roots, roots, tree_height(count)) if roots else 0
    return JudgeCost(
        _HASH_BYTES * (roots + siblings) + _OPENING_BYTES, _HASH_NS * (roots + siblings)
    )
