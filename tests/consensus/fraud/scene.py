"""A job with its trace, honest or spoiled, and what the chain would hold of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pouw.consensus.fraud.prove import Evidence
from pouw.consensus.fraud.values import Fault, FraudProof, decode_proof, encode_proof
from pouw.consensus.fraud.verify import Posted, judge
from pouw.core.blob import blob_root
from pouw.core.commitment import leaf, node
from pouw.core.hashing import Hash, digest
from pouw.tests.vm.programs import Case
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.multiproof import sibling_places
from pouw.vm.products import plain_products
from pouw.vm.tensor import encode_output
from pouw.vm.tensor_layout import TensorLayout
from pouw.vm.trace import (
    TRACE_LABEL,
    Committed,
    CommittedTensor,
    Openable,
    PlainRowHasher,
    RootTree,
    TraceCommitter,
    commit_constants,
)
from pouw.vm.types import Array

PLAIN = PlainRowHasher()
JOB = digest("tx", b"a job")


@dataclass(frozen=True)
class Scene:
    """One job: what the worker has and what the chain knows."""

    evidence: Evidence
    posted: Posted
    data: bytes
    output: bytes

    def judge(self, fault: Fault) -> bool:
        """Judge a fault as it would arrive: encoded and decoded."""
        proof = decode_proof(encode_proof(FraudProof(JOB, fault)))
        return judge(proof, self.posted)

    def array(self, number: int) -> Array:
        """Return a tensor of the trace."""
        tensor = self.evidence.trace.tensors[number]
        assert isinstance(tensor, CommittedTensor)
        return tensor.array

    def with_tensor(self, number: int, tensor: Openable) -> "Scene":
        """Return the scene where the worker posted another tensor in one place."""
        tensors = list(self.evidence.trace.tensors)
        tensors[number] = tensor
        tree = RootTree(TRACE_LABEL, [one.root for one in tensors])
        trace = Committed(tuple(tensors), tree)
        return replace(
            self,
            evidence=replace(self.evidence, trace=trace),
            posted=replace(self.posted, trace_root=trace.root),
        )

    def with_cell(self, number: int, cell: int, value: int) -> "Scene":
        """Return the scene where one cell of a tensor was posted otherwise."""
        array = self.array(number).copy()
        array.reshape(-1)[cell] = value
        layout = self.evidence.trace.tensors[number].layout
        return self.with_tensor(number, CommittedTensor(layout, array, PLAIN))


def scene_of(case: Case) -> Scene:
    """Execute a case and commit to its trace."""
    checked = check_program(case.program)
    items = len(case.data) // checked.input_type.bytes
    committer = TraceCommitter(checked, items, PLAIN)
    handler = plain_products(ReferenceMultiplier())
    execution = execute(checked, case.weights, case.data, handler, committer.observe)
    trace = committer.trace()
    constants = commit_constants(checked, case.weights, PLAIN)
    output = encode_output(checked, execution.output)
    posted = Posted(
        job=JOB,
        checked=checked,
        items=items,
        constants_root=constants.root,
        input_root=blob_root(case.data),
        trace_root=trace.root,
        output_root=blob_root(output),
    )
    return Scene(Evidence(checked, items, trace, constants), posted, case.data, output)


class SpelledTensor:
    """A tensor given leaf by leaf, and by what stands where it has no leaves: any of it wrong."""

    def __init__(
        self, layout: TensorLayout, leaves: Sequence[bytes], padding: dict[int, Hash]
    ) -> None:
        self.layout = layout
        self._leaves = leaves
        count = 1 << layout.height
        level = [leaf(data) for data in leaves]
        level += [padding.get(i, bytes(32)) for i in range(len(leaves), count)]
        self._levels = [level]
        while len(level) > 1:
            level = [node(level[i], level[i + 1]) for i in range(0, len(level), 2)]
            self._levels.append(level)
        self.root = layout.root(level[0])

    def leaves(self, numbers: Sequence[int]) -> bytes:
        return b"".join(self._leaves[number] for number in numbers)

    def siblings(self, numbers: Sequence[int]) -> tuple[Hash, ...]:
        places = sibling_places(numbers, self.layout.height)
        return tuple(self._levels[level][index] for level, index in places)


def leaves_of(layout: TensorLayout, array: Array) -> list[bytes]:
    """Return the leaves of a value."""
    return [row.tobytes() for row in layout.leaf_data(array, 0, layout.leaves)]


def another(value: int, dtype: np.dtype[np.signedinteger], shift: int) -> int:
    """Return a number of the type other than this one."""
    bounds = np.iinfo(dtype)
    span = int(bounds.max) - int(bounds.min) + 1
    return (value - int(bounds.min) + 1 + shift % (span - 1)) % span + int(bounds.min)
