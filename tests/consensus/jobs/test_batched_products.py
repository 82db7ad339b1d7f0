"""Batched products of a job: metered, multiplied by every node, never numbered, mined or posted."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.consensus.freivalds import check_macs
from pouw.consensus.jobs.checker import ResultChecker, Verdict
from pouw.core.errors import RuleViolation
from pouw.tests.consensus.world import ALICE, PARAMS, Kit, World, narrowing
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.ops import BatchMatmul, Matmul, Reshape
from pouw.vm.types import Declaration, DType, Interval, TensorType


@dataclass
class Counting:
    """Multiplies, and keeps the shapes."""

    shapes: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        self.shapes.append((len(a), len(b_t), a.shape[1]))
        return ReferenceMultiplier().matmul(a, b_t)


def kit() -> Kit:
    """A posted product of k = 256, then items by themselves: k = 300, long enough to post."""
    builder = ProgramBuilder(Declaration(TensorType(DType.INT8, (2, 256)), Interval(-64, 63)))
    rng = np.random.default_rng(0)
    weights = builder.constant(rng.integers(-64, 64, (900, 256)), DType.INT8)
    product = builder.op(Matmul, builder.source(), weights)
    scale = builder.constant(np.array([1 << 20], np.int32), DType.INT32)
    narrow = builder.op(narrowing(30), product, scale)
    split = builder.op(partial(Reshape, shape=(3, 2, 300)), narrow)
    builder.op(BatchMatmul, split, split)
    return Kit(*builder.finish(), rng.integers(-64, 64, (2, 2, 256)).astype(np.int8).tobytes())


def test_every_node_multiplies_them_itself(world: World) -> None:
    job = world.submit(world.register(kit()), kit().data)
    world.claim(job, ALICE)
    counting = Counting()
    checker = ResultChecker(PARAMS, world, counting)
    model = world.scratch().model(world.job(job).model)
    good = world.settlement(job)
    assert len(good.products) == 1
    assert checker.check(world.job(job), model, good) == Verdict(True)
    assert counting.shapes == [(2, 2, 300)] * 6
    wrong = world.settlement(job, good.output[:-1] + bytes([good.output[-1] ^ 1]))
    assert not checker.check(world.job(job), model, wrong).accepted


def test_they_count_in_full_and_have_no_number(world: World) -> None:
    model = world.scratch().model(world.register(kit()))
    workload = world.checker.workload(model, 5)
    batched = 5 * 3 * 2 * 2 * 300
    assert workload.macs == 5 * 2 * 900 * 256 + batched
    assert workload.check_macs == check_macs(10, 900, 256) + batched
    assert [product.op for product in world.checker.posted_products(model, 5)] == [0]
    with pytest.raises(RuleViolation) as caught:
        world.checker.ticket_shape(model, 5, 1)
    assert caught.value.rule == "head-op"
