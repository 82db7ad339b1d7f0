"""Fraud proofs: none against an honest trace, one against any wrong cell, and no other."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.consensus.fraud.prove import prove_cell, prove_input, prove_leaf, prove_output
from pouw.consensus.fraud.values import (
    CellOpening,
    FraudProof,
    Opening,
    PaddingFault,
    RootFault,
    Roots,
    decode_proof,
    encode_proof,
)
from pouw.consensus.fraud.verify import judge, open_cell
from pouw.core.blob import CHUNK_BYTES
from pouw.core.commitment import node
from pouw.core.errors import DecodeError, RuleViolation
from pouw.tests.consensus.fraud.scene import (
    JOB,
    PLAIN,
    Scene,
    SpelledTensor,
    another,
    leaves_of,
    scene_of,
)
from pouw.tests.vm.programs import Case, random_case
from pouw.vm import ops
from pouw.vm.judge.bounds import MAX_PROOF_BYTES, check_challengeable, judge_cost
from pouw.vm.program import Program
from pouw.vm.tensor_layout import TensorLayout
from pouw.vm.trace import CommittedTensor, RootTree, roots_root
from pouw.vm.types import Declaration, DType, Interval, TensorType

KINDS: tuple[type[ops.Op], ...] = ops.Op.__args__
I8, I32 = DType.INT8, DType.INT32

seeds = st.integers(0, 2**32)
randoms = st.randoms(use_true_random=False)


def case_with(kind: type[ops.Op], skip: int) -> tuple[Case, int]:
    for seed in range(3000):
        case = random_case(seed)
        for position, op in enumerate(case.program.ops):
            if isinstance(op, kind):
                skip -= 1
                if skip < 0:
                    return case, position
    raise AssertionError(f"no program with {kind.__name__}")


def spoiled(scene: Scene, number: int, rng: Random) -> tuple[Scene, int]:
    """Change one cell of a tensor to any other number of its storage."""
    array = scene.array(number)
    cell = rng.randrange(array.size)
    shift = rng.choice([0, 1, rng.randrange(2**32)])
    value = another(int(array.reshape(-1)[cell]), array.dtype, shift)
    return scene.with_cell(number, cell, value), cell


@settings(max_examples=25, deadline=None)
@given(seeds, randoms)
def test_an_honest_trace_admits_no_proof(seed: int, rng: Random) -> None:
    scene = scene_of(random_case(seed))
    for position in range(len(scene.posted.checked.program.ops)):
        cell = rng.randrange(scene.array(position + 1).size)
        opened = prove_cell(scene.evidence, position, cell)
        assert scene.judge(opened) is False
        found = open_cell(opened, scene.posted)
        assert found.claimed == found.right == scene.array(position + 1).reshape(-1)[cell]
    for number, tensor in enumerate(scene.evidence.trace.tensors):
        assert not scene.judge(
            prove_leaf(scene.evidence, number, rng.randrange(tensor.layout.leaves))
        )
    first, last = scene.array(0), scene.array(-1)
    assert not scene.judge(prove_input(scene.evidence, scene.data, rng.randrange(first.size)))
    assert not scene.judge(prove_output(scene.evidence, scene.output, rng.randrange(last.size)))


@pytest.mark.parametrize("kind", KINDS)
def test_any_wrong_cell_of_any_op_has_a_proof(kind: type[ops.Op]) -> None:
    rng = Random(7)
    for skip in range(3):
        case, position = case_with(kind, skip)
        scene, cell = spoiled(scene_of(case), position + 1, rng)
        fault = prove_cell(scene.evidence, position, cell)
        assert scene.judge(fault) is True
        size = len(encode_proof(FraudProof(JOB, fault)))
        checked, items = scene.posted.checked, scene.posted.items
        assert size <= judge_cost(checked, position, items).proof_bytes
        assert size <= check_challengeable(checked)[position].proof_bytes


@settings(max_examples=30, deadline=None)
@given(seeds, randoms)
def test_any_wrong_cell_anywhere_has_a_proof(seed: int, rng: Random) -> None:
    honest = scene_of(random_case(seed))
    number = rng.randrange(len(honest.evidence.trace.tensors))
    scene, cell = spoiled(honest, number, rng)
    if number == 0:
        assert scene.judge(prove_input(scene.evidence, scene.data, cell))
    else:
        assert scene.judge(prove_cell(scene.evidence, number - 1, cell))
    if number == len(scene.evidence.trace.tensors) - 1:
        assert scene.judge(prove_output(scene.evidence, scene.output, cell))


@settings(max_examples=25, deadline=None)
@given(seeds, randoms)
def test_what_follows_from_a_wrong_cell_is_not_wrong_itself(seed: int, rng: Random) -> None:
    """One fault has its proof; results computed rightly from wrong operands have none."""
    honest = scene_of(random_case(seed))
    program = honest.posted.checked.program
    number = rng.randrange(len(program.ops) + 1)
    interval = honest.posted.tensor(number).interval
    cell = rng.randrange(honest.array(number).size)
    value = rng.randint(interval.lo, interval.hi)
    scene = honest.with_cell(number, cell, value)
    values = [scene.array(0), *(scene.array(i + 1) for i in range(len(program.ops)))]
    for position, op in enumerate(program.ops):
        if position + 1 <= number:
            continue
        at = rng.randrange(values[position + 1].size)
        opened = open_cell(prove_cell(scene.evidence, position, at), scene.posted)
        reads_it = honest.posted.checked.program.first_result + number - 1 in op.reads
        if not reads_it and not (number == 0 and 0 in op.reads):
            assert opened.claimed == opened.right


@settings(max_examples=25, deadline=None)
@given(seeds, randoms)
def test_cells_outside_their_interval_have_a_proof_by_themselves(seed: int, rng: Random) -> None:
    honest = scene_of(random_case(seed))
    number = rng.randrange(len(honest.evidence.trace.tensors))
    tensor = honest.posted.tensor(number)
    storage = np.iinfo(tensor.type.dtype.storage)
    beyond = [
        n
        for n in (tensor.interval.lo - 1, tensor.interval.hi + 1)
        if storage.min <= n <= storage.max
    ]
    if not beyond:
        return
    cell = rng.randrange(honest.array(number).size)
    scene = honest.with_cell(number, cell, rng.choice(beyond))
    layout = honest.posted.layout(number)
    row, column = divmod(cell, layout.columns)
    leaf = row * layout.blocks + column // layout.leaf_columns
    assert scene.judge(prove_leaf(scene.evidence, number, leaf)) is True
    other = (leaf + 1) % layout.leaves
    assert other == leaf or not scene.judge(prove_leaf(scene.evidence, number, other))


@settings(max_examples=25, deadline=None)
@given(seeds, randoms)
def test_padding_that_is_not_zero_has_a_proof(seed: int, rng: Random) -> None:
    honest = scene_of(random_case(seed))
    for number in range(len(honest.evidence.trace.tensors)):
        layout = honest.posted.layout(number)
        leaves = leaves_of(layout, honest.array(number))
        padded = [i for i in range(layout.leaves) if layout.leaf_cells(i) < layout.leaf_columns]
        if not padded:
            continue
        leaf = rng.choice(padded)
        spare = rng.randrange(layout.leaf_cells(leaf) * layout.dtype.size, layout.leaf_bytes)
        data = bytearray(leaves[leaf])
        data[spare] = rng.randint(1, 255)
        leaves[leaf] = bytes(data)
        scene = honest.with_tensor(number, SpelledTensor(layout, leaves, {}))
        assert scene.judge(prove_leaf(scene.evidence, number, leaf)) is True


@settings(max_examples=25, deadline=None)
@given(seeds, randoms)
def test_leaves_where_there_are_none_have_a_proof(seed: int, rng: Random) -> None:
    honest = scene_of(random_case(seed))
    for number in range(len(honest.evidence.trace.tensors)):
        layout = honest.posted.layout(number)
        vacant = range(layout.leaves, 1 << layout.height)
        if not vacant:
            continue
        leaf, found = rng.choice(vacant), rng.randbytes(31) + b"\1"
        leaves = leaves_of(layout, honest.array(number))
        for posted, fault in [(found, True), (bytes(32), False)]:
            tensor = SpelledTensor(layout, leaves, {leaf: posted})
            scene = honest.with_tensor(number, tensor)
            tree = scene.evidence.trace.tree
            roots = Roots((tensor.root,), tree.siblings([number]))
            proof = PaddingFault(number, leaf, posted, roots, tensor.siblings([leaf]))
            assert scene.judge(proof) is fault
            with pytest.raises(RuleViolation, match="fraud-leaf"):
                scene.judge(msgspec.structs.replace(proof, leaf=layout.leaves - 1))
            with pytest.raises(RuleViolation, match="fraud-leaf"):
                scene.judge(msgspec.structs.replace(proof, leaf=1 << layout.height))
            with pytest.raises(RuleViolation, match="fraud-opening"):
                scene.judge(msgspec.structs.replace(proof, found=b"\2" * 32))


def test_roots_where_there_are_none_have_a_proof() -> None:
    case, _ = case_with(ops.Normalise, 0)
    honest = scene_of(case)
    count = honest.posted.tensors
    width = 1 << (count - 1).bit_length()
    tested = [honest] if count < width else []
    for seed in range(40):
        other = scene_of(random_case(seed))
        if other.posted.tensors in (3, 5, 6, 7):
            tested.append(other)
    assert tested
    for scene in tested[:4]:
        count = scene.posted.tensors
        width = 1 << (count - 1).bit_length()
        roots = [tensor.root for tensor in scene.evidence.trace.tensors]
        for found, fault in [(bytes(31) + b"\1", True), (bytes(32), False)]:
            level = roots + [bytes(32)] * (width - count - 1) + [found]
            siblings: list[bytes] = []
            at = width - 1
            while len(level) > 1:
                siblings.append(level[at ^ 1])
                level = [node(level[i], level[i + 1]) for i in range(0, len(level), 2)]
                at >>= 1
            top = RootTree("trace", roots).root
            if found != bytes(32):
                top = roots_root("trace", count, level[0])
            posted = replace(scene, posted=replace(scene.posted, trace_root=top))
            proof = RootFault(width - 1, found, tuple(siblings))
            assert posted.judge(proof) is fault
            with pytest.raises(RuleViolation, match="fraud-roots"):
                posted.judge(msgspec.structs.replace(proof, found=bytes([7] * 32)))
            for number in (count - 1, width):
                with pytest.raises(RuleViolation, match="fraud-leaf"):
                    posted.judge(msgspec.structs.replace(proof, tensor=number))


def test_long_blobs_are_compared_chunk_by_chunk() -> None:
    """Input and output of several chunks, rows that straddle them, and padded int8 rows."""
    shape = (300, 251)
    program = Program(
        1,
        Declaration(TensorType(I32, shape), Interval(-1000, 1000)),
        (),
        (ops.Relu(0),),
    )
    numbers = np.random.default_rng(1).integers(-1000, 1000, (2, *shape))
    honest = scene_of(Case(program, b"", numbers.astype("<i4").tobytes()))
    size = numbers.size
    for cell in (0, CHUNK_BYTES // 4 - 1, CHUNK_BYTES // 4, size // 2, size - 1):
        assert not honest.judge(prove_input(honest.evidence, honest.data, cell))
        assert not honest.judge(prove_output(honest.evidence, honest.output, cell))
        first = honest.with_cell(0, cell, 1001)
        assert first.judge(prove_input(first.evidence, first.data, cell))
        last = honest.with_cell(1, cell, 1001)
        assert last.judge(prove_output(last.evidence, last.output, cell))
        other = (cell + size // 2) % size
        swapped = msgspec.structs.replace(prove_input(first.evidence, first.data, cell), cell=other)
        with pytest.raises(RuleViolation, match="fraud-"):
            first.judge(swapped)
    proof = prove_input(honest.evidence, honest.data, 5)
    chunk = proof.chunk
    for wrong in (
        msgspec.structs.replace(chunk, data=chunk.data[:-1] + b"\7"),
        msgspec.structs.replace(chunk, data=chunk.data[:-1]),
        msgspec.structs.replace(chunk, path=chunk.path[:-1]),
        prove_input(honest.evidence, honest.data, size - 1).chunk,
    ):
        with pytest.raises(RuleViolation, match="fraud-chunk"):
            honest.judge(msgspec.structs.replace(proof, chunk=wrong))


Mutation = Callable[[CellOpening, Random], CellOpening]


def _opening_changed(change: Callable[[Opening, Random], Opening]) -> Mutation:
    def mutate(proof: CellOpening, rng: Random) -> CellOpening:
        openings = list(proof.openings)
        at = rng.randrange(len(openings))
        openings[at] = change(openings[at], rng)
        return msgspec.structs.replace(proof, openings=tuple(openings))

    return mutate


def _flipped(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _roots_changed(name: str) -> Mutation:
    def mutate(proof: CellOpening, rng: Random) -> CellOpening:
        roots: Roots = getattr(proof, name)
        changed = rng.choice(
            [
                Roots(roots.roots[1:], roots.siblings),
                Roots((*roots.roots, bytes(32)), roots.siblings),
                Roots(roots.roots, (*roots.siblings, bytes(32))),
                Roots(tuple(bytes(32) for _ in roots.roots), roots.siblings),
                Roots(roots.roots, roots.siblings[1:]),
            ]
        )
        return msgspec.structs.replace(proof, **{name: changed})

    return mutate


MUTATIONS: dict[str, Mutation] = {
    "leaf flipped": _opening_changed(lambda o, r: Opening(_flipped(o.leaves, r), o.siblings)),
    "leaf longer": _opening_changed(lambda o, r: Opening(o.leaves + bytes(4), o.siblings)),
    "leaf shorter": _opening_changed(lambda o, r: Opening(o.leaves[:-1], o.siblings)),
    "no leaf": _opening_changed(lambda o, r: Opening(b"", o.siblings)),
    "sibling more": _opening_changed(lambda o, r: Opening(o.leaves, (*o.siblings, bytes(32)))),
    "sibling less": _opening_changed(
        lambda o, r: Opening(o.leaves, o.siblings[1:] if o.siblings else (bytes(32),))
    ),
    "sibling flipped": _opening_changed(
        lambda o, r: Opening(
            o.leaves,
            (*o.siblings[:-1], _flipped(o.siblings[-1], r)) if o.siblings else (bytes(32),),
        )
    ),
    "inner node as leaf": _opening_changed(
        lambda o, r: Opening(bytes(64), o.siblings[1:] if o.siblings else (bytes(32),))
    ),
    "opening more": lambda p, r: msgspec.structs.replace(p, openings=(*p.openings, p.openings[0])),
    "opening less": lambda p, r: msgspec.structs.replace(p, openings=p.openings[:-1]),
    "trace roots": _roots_changed("trace"),
    "constant roots": _roots_changed("constants"),
    "cell beyond": lambda p, r: msgspec.structs.replace(p, cell=p.cell + 2**40),
    "op beyond": lambda p, r: msgspec.structs.replace(p, op=p.op + 4096),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_malformed_openings_are_refused(name: str) -> None:
    rng = Random(3)
    for seed in range(12):
        honest = scene_of(random_case(seed))
        position = rng.randrange(len(honest.posted.checked.program.ops))
        scene, cell = spoiled(honest, position + 1, rng)
        for world in (honest, scene):
            proof = prove_cell(world.evidence, position, cell)
            mutated = MUTATIONS[name](proof, rng)
            if mutated == proof:
                continue
            with pytest.raises(RuleViolation, match="fraud-"):
                world.judge(mutated)


@settings(max_examples=40, deadline=None)
@given(seeds, randoms)
def test_no_mutation_convicts_an_honest_worker(seed: int, rng: Random) -> None:
    scene = scene_of(random_case(seed))
    position = rng.randrange(len(scene.posted.checked.program.ops))
    cell = rng.randrange(scene.array(position + 1).size)
    data = encode_proof(FraudProof(JOB, prove_cell(scene.evidence, position, cell)))
    for _ in range(20):
        try:
            proof = decode_proof(_flipped(data, rng))
            assert judge(proof, scene.posted) is False
        except RuleViolation:
            continue


def test_a_proof_of_another_job_is_refused() -> None:
    scene = scene_of(random_case(2))
    fault = prove_cell(scene.evidence, 0, 0)
    with pytest.raises(RuleViolation, match="fraud-job"):
        judge(FraudProof(bytes(32), fault), scene.posted)


def test_another_cell_than_the_one_opened_is_refused() -> None:
    """A leaf holds several cells: one proof of one cell may fit its neighbours, never a lie."""
    scene = scene_of(random_case(11))
    for position in range(len(scene.posted.checked.program.ops)):
        proof = prove_cell(scene.evidence, position, 0)
        for cell in range(1, scene.array(position + 1).size):
            try:
                assert not scene.judge(msgspec.structs.replace(proof, cell=cell))
            except RuleViolation as error:
                assert error.rule in {"fraud-opening", "fraud-roots"}


def test_proofs_are_bounded_before_they_are_decoded() -> None:
    with pytest.raises(DecodeError, match="at most"):
        decode_proof(bytes(MAX_PROOF_BYTES + 1))


def test_tensors_and_leaves_that_do_not_exist() -> None:
    scene = scene_of(random_case(4))
    proof: Any = prove_leaf(scene.evidence, 0, 0)
    for changed in ({"tensor": scene.posted.tensors}, {"leaf": scene.posted.layout(0).leaves}):
        with pytest.raises(RuleViolation, match="fraud-leaf"):
            scene.judge(msgspec.structs.replace(proof, **changed))


def test_a_root_of_another_shape_opens_nothing() -> None:
    """The same numbers in rows of another length: the judge never takes them for the tensor."""
    honest = scene_of(random_case(6))
    last = honest.posted.tensors - 1
    layout = honest.posted.layout(last)
    flat = TensorLayout(layout.dtype, (layout.cells, 1), single=False)
    if flat.leaves == layout.leaves and flat.leaf_bytes == layout.leaf_bytes:
        flat = TensorLayout(layout.dtype, (1, layout.cells), single=False)
    array = honest.array(last).reshape(flat.shape)
    other = CommittedTensor(flat, array, PLAIN)
    scene = honest.with_tensor(last, other)
    with pytest.raises(RuleViolation, match="fraud-opening"):
        scene.judge(prove_leaf(scene.evidence, last, 0))
