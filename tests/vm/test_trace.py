"""Trees of roots, and traces of whole executions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.commitment import node, operand_root
from pouw.core.hashing import digest, u32
from pouw.tests.vm.programs import random_case
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.multiproof import top_from, tree_height
from pouw.vm.operands import pad_operand
from pouw.vm.products import plain_products
from pouw.vm.trace import (
    CommittedTensor,
    PlainRowHasher,
    RootTree,
    TraceCommitter,
    commit_constants,
    trace_layouts,
    trace_number,
)
from pouw.vm.types import Array

PLAIN = PlainRowHasher()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13])
def test_root_trees(count: int) -> None:
    roots = [digest("root", u32(i)) for i in range(count)]
    tree = RootTree("trace", roots)
    height = tree_height(count)
    level = roots + [bytes(32)] * ((1 << height) - count)
    while len(level) > 1:
        level = [node(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    assert tree.root == digest("trace", u32(count) + level[0])
    assert tree.root != RootTree("constants", roots).root
    for number in range(count):
        siblings = tree.siblings([number])
        assert top_from([number], [roots[number]], height, siblings) == level[0]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_a_trace_holds_every_value_of_an_execution(seed: int) -> None:
    case = random_case(seed)
    checked = check_program(case.program)
    items = len(case.data) // checked.input_type.bytes
    seen: list[Array] = []
    committer = TraceCommitter(checked, items, PLAIN)

    def observe(array: Array) -> None:
        seen.append(array)
        committer.observe(array)

    handler = plain_products(ReferenceMultiplier())
    execution = execute(checked, case.weights, case.data, handler, observe)
    trace = committer.trace()
    assert len(seen) == 1 + len(case.program.ops)
    for one in checked.item_products:
        op = case.program.ops[one.op]
        x = seen[trace_number(checked, op.reads[0])]
        operand = pad_operand(x.reshape(-1, one.k).astype(np.int8, copy=False))
        assert committer.root_of(op.reads[0]) == operand_root(operand)
    assert seen[-1] is execution.output
    layouts = trace_layouts(checked, items)
    roots = [CommittedTensor(*pair, PLAIN).root for pair in zip(layouts, seen, strict=True)]
    assert trace.root == RootTree("trace", roots).root
    constants = commit_constants(checked, case.weights, PLAIN)
    assert len(constants.tensors) == len(case.program.consts)


def test_an_unfinished_trace_has_no_root() -> None:
    checked = check_program(random_case(1).program)
    with pytest.raises(ValueError, match="0 of"):
        TraceCommitter(checked, 1, PLAIN).trace()
