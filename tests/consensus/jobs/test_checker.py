"""What every node computes about a job: its cost, its shapes, and the verdict on a result."""

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.consensus import records as r
from pouw.consensus.freivalds import PlainThinProducts, ThinProducts, check_macs
from pouw.consensus.jobs.checker import ResultChecker, Verdict, Workload
from pouw.core.commitment import operand_root
from pouw.core.errors import RuleViolation
from pouw.core.hashing import ZERO_HASH, Hash, u256
from pouw.core.transaction import SettleJob
from pouw.kernels.blas import BlasThinProducts
from pouw.kernels.freivalds import PROCESSORS, NativeThinProducts
from pouw.kernels.machine import features
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    COIN,
    PARAMS,
    SALT,
    Kit,
    World,
    layered_kit,
    narrowing,
    plain_kit,
)
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.metering import cost_of
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.ops import Matmul
from pouw.vm.types import Declaration, DType, Interval, TensorType

DATA = layered_kit().data
STEP = 2**18


@dataclass
class Counting:
    """Multiplies, and counts how often."""

    shapes: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        self.shapes.append((len(a), len(b_t), a.shape[1]))
        return ReferenceMultiplier().matmul(a, b_t)


@dataclass
class Watched(PlainThinProducts):
    """Checks, and counts how often."""

    checks: int = 0

    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        self.checks += 1
        return super().of_result(c, r)


def model_of(world: World, job: Hash) -> r.Model:
    return world.scratch().model(world.job(job).model)


@pytest.fixture
def job(world: World, layered: Hash) -> Hash:
    """A job that ALICE has claimed."""
    job = world.submit(layered, DATA)
    world.claim(job, ALICE)
    return job


def test_the_workload_of_a_recomputed_product(world: World, plain: Hash) -> None:
    model = world.scratch().model(plain)
    cost = cost_of(plain_kit().checked, 5)
    assert world.checker.workload(model, 5) == Workload(
        items=5,
        macs=5 * 4 * 32,
        check_macs=5 * 4 * 32,
        check_bytes=cost.bytes + 3 * STEP,
        window=PARAMS.claim_window_base + 1 + 1 + 1,
    )


def test_a_posted_product_is_metered_as_its_check_and_its_bytes(
    world: World, layered: Hash
) -> None:
    model = world.scratch().model(layered)
    cost = cost_of(layered_kit().checked, 2)
    assert world.checker.workload(model, 2) == Workload(
        items=2,
        macs=2 * (16 * 256 + 3 * 16),
        check_macs=check_macs(2, 16, 256) + 2 * 3 * 16,
        check_bytes=cost.bytes + 4 * 2 * 16 + 9 * STEP,
        window=PARAMS.claim_window_base + 1 + 1 + 1 + 1,
    )


def test_the_window_leaves_room_to_post_products(world: World, layered: Hash) -> None:
    """Posting goes through the chunk room of blocks; a window without it is a trap."""
    model = world.scratch().model(layered)
    items = 65_000
    window = world.checker.workload(model, items).window
    posted = 4 * items * 16
    assert posted > 5 * PARAMS.max_chunk_bytes
    without = ResultChecker(
        replace(PARAMS, max_chunk_bytes=1 << 62), world, ReferenceMultiplier()
    ).workload(model, items)
    assert window - (without.window - 1) == -(-2 * posted // PARAMS.max_chunk_bytes)


def test_long_products_are_posted_from_the_parameter_on(world: World, layered: Hash) -> None:
    model = world.scratch().model(layered)
    for least, count in ((16, 2), (17, 1), (256, 1), (257, 0)):
        params = replace(PARAMS, posted_product_min_k=least)
        checker = ResultChecker(params, world, ReferenceMultiplier())
        assert len(checker.posted_products(model, 2)) == count
    (product,) = world.checker.posted_products(model, 2)
    assert (product.index, product.m, product.n, product.k) == (0, 2, 16, 256)


def test_a_product_that_is_cheaper_to_recompute_is_neither_posted_nor_metered_so(
    world: World, layered: Hash
) -> None:
    """Of n = 16 columns a check takes at least the MACs of the product, however many rows."""
    model = world.scratch().model(layered)
    for gain, count in ((0, 1), (1, 0), (2, 0)):
        params = replace(PARAMS, posted_product_gain=gain)
        checker = ResultChecker(params, world, ReferenceMultiplier())
        assert len(checker.posted_products(model, 1_000)) == count
        work = checker.workload(model, 1_000)
        assert (work.check_macs == work.macs) == (count == 0)


def test_shapes_are_those_of_the_ticket_grid(world: World, layered: Hash) -> None:
    model = world.scratch().model(layered)
    assert world.checker.ticket_shape(model, 2, 0) == (16, 16, 256)
    assert world.checker.ticket_shape(model, 17, 1) == (32, 16, 128)
    with pytest.raises(RuleViolation) as caught:
        world.checker.ticket_shape(model, 2, 2)
    assert caught.value.rule == "head-op"


def test_an_input_is_measured_in_items_and_judged(world: World, layered: Hash) -> None:
    model = world.scratch().model(layered)
    assert world.checker.measure(model, world.publish(DATA)).items == 2
    for rule, data in (("input-size", DATA + b"\0"), ("input-range", b"\x40" * 256)):
        root = world.publish(data)
        for _ in range(2):  # a refusal is not remembered as anything else
            with pytest.raises(RuleViolation) as caught:
                world.checker.measure(model, root)
            assert caught.value.rule == rule


def test_a_right_result_is_accepted_and_only_short_products_are_multiplied(
    world: World, job: Hash
) -> None:
    settlement = world.settlement(job)
    counting = Counting()
    checker = ResultChecker(PARAMS, world, counting)
    for _ in range(3):
        verdict = checker.check(world.job(job), model_of(world, job), settlement)
        assert verdict == Verdict(True)
    assert counting.shapes == [(2, 3, 16)]


@pytest.mark.parametrize("thin", [None, BlasThinProducts(), NativeThinProducts])
def test_the_verdict_is_the_same_whatever_checks_it(
    world: World, job: Hash, thin: ThinProducts | type[NativeThinProducts] | None
) -> None:
    if isinstance(thin, type):
        if not PROCESSORS[-1][0] <= features():
            pytest.skip("this processor has no VNNI")
        thin = thin(PROCESSORS[-1][1])
    (right,) = world.posted(job)
    for by in (0, 1, 2**24, -(2**31)):
        product = right.astype(np.int64)
        product[1, 5] += by
        settlement = world.settlement(job, products=(product.astype(np.int32),))
        checker = ResultChecker(PARAMS, world, ReferenceMultiplier(), thin)
        judged = checker.check(world.job(job), model_of(world, job), settlement)
        assert judged.accepted == (by == 0)


def test_posted_products_are_checked_with_what_the_node_has(world: World, job: Hash) -> None:
    watched = Watched()
    checker = ResultChecker(PARAMS, world, ReferenceMultiplier(), watched)
    assert checker.check(world.job(job), model_of(world, job), world.settlement(job)).accepted
    assert watched.checks == 1


def verdict(
    world: World, job: Hash, settlement: SettleJob, *mined: tuple[int, Hash, Hash]
) -> Verdict:
    entries = tuple(r.Provenance(*entry, u256(1), 1) for entry in mined)
    record = msgspec.structs.replace(world.job(job), provenance=entries)
    return world.checker.check(record, model_of(world, job), settlement)


def test_the_reason_names_what_is_wrong_first(world: World, job: Hash) -> None:
    good = world.settlement(job)
    (right,) = world.posted(job)
    wrong = world.settlement(job, products=(right + 1,))
    output = world.settlement(job, b"\0" + good.output[1:])
    assert verdict(world, job, good).accepted
    assert "output" in verdict(world, job, output).reason
    assert "posted product 0" in verdict(world, job, wrong).reason
    assert "posted product 0" in verdict(world, job, wrong, honest(world, job, 1)).reason
    lie = (1, b"l" * 32, honest(world, job, 1)[2])
    assert "product 1" in verdict(world, job, good, honest(world, job, 0), lie).reason


def honest(world: World, job: Hash, op: int) -> tuple[int, Hash, Hash]:
    head = world.head(job, op)
    return op, head.root_a, head.root_b


def test_every_mined_root_must_be_the_operands(world: World, job: Hash) -> None:
    good = world.settlement(job)
    both = honest(world, job, 0), honest(world, job, 1)
    assert verdict(world, job, good, *both).accepted
    for op in (0, 1):
        index, root_a, root_b = both[op]
        for lie in (
            (index, b"l" * 32, root_b),
            (index, ZERO_HASH, root_b),
            (index, root_a, b"l" * 32),
            (index, *both[1 - op][1:]),
        ):
            assert not verdict(world, job, good, lie).accepted
            assert not verdict(world, job, good, *both, lie).accepted
    assert verdict(world, job, good).accepted  # what was remembered is not mixed up


def test_the_roots_are_of_padded_operands(world: World, job: Hash) -> None:
    _, a, _, _ = world.trace(job)[1].products[0]
    assert a.shape == (2, 256)
    assert honest(world, job, 0)[1] == operand_root(np.pad(a, ((0, 14), (0, 0))))
    good = world.settlement(job)
    unpadded = operand_root(a)
    assert not verdict(world, job, good, (0, unpadded, honest(world, job, 0)[2])).accepted


def test_posted_products_are_taken_in_program_order(world: World) -> None:
    width = PARAMS.posted_product_min_k
    rng = np.random.default_rng(3)
    builder = ProgramBuilder(Declaration(TensorType(DType.INT8, (width,)), Interval(-64, 63)))
    scale = builder.constant(np.array([1 << 20], np.int32), DType.INT32)
    last = builder.source()
    for _ in range(2):
        weight = rng.integers(-64, 64, (width, width), dtype=np.int8)
        product = builder.op(Matmul, last, builder.constant(weight, DType.INT8))
        last = builder.op(narrowing(32), product, scale)
    kit = Kit(*builder.finish(), rng.integers(-64, 64, (3, width), dtype=np.int8).tobytes())
    job = world.submit(world.register(kit), kit.data, bounty=COIN)
    world.claim(job, ALICE)
    good = world.settlement(job)
    assert verdict(world, job, good).accepted
    swapped = msgspec.structs.replace(good, products=good.products[::-1])
    assert "posted product 0" in verdict(world, job, swapped).reason
    first, second = world.posted(job)
    late = world.settlement(job, products=(first, second + np.eye(3, width, dtype=np.int32)))
    assert "posted product 1" in verdict(world, job, late).reason


def test_the_verdict_depends_on_the_worker_only_through_the_challenge(
    world: World, job: Hash
) -> None:
    good = world.settlement(job)
    record = msgspec.structs.replace(world.job(job), worker=BOB.address)
    assert world.checker.check(record, model_of(world, job), good).accepted
    (right,) = world.posted(job)
    wrong = world.settlement(job, products=(right + 1,))
    assert not world.checker.check(record, model_of(world, job), wrong).accepted


@pytest.mark.parametrize("changes", [{"salt": bytes(32)}, {"job": b"j" * 32}])
def test_results_are_remembered_by_all_that_they_say(
    world: World, job: Hash, changes: dict[str, Any]
) -> None:
    good = world.settlement(job)
    assert good.salt == SALT
    other = msgspec.structs.replace(good, **changes)
    assert verdict(world, job, good).accepted
    assert verdict(world, job, other).accepted
    empty = msgspec.structs.replace(other, output=b"\0")
    assert not verdict(world, job, empty).accepted
