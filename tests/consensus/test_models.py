"""Registering models: blobs, royalties, programs, and what checking them may cost a block."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from pouw.consensus import records as r
from pouw.core.commitment import operand_root
from pouw.core.hashing import ZERO_HASH, Hash
from pouw.core.transaction import RegisterModel, RoyaltyShare, Transaction
from pouw.genesis import MAINNET
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    CAROL,
    PARAMS,
    Kit,
    World,
    layered_kit,
    narrowing,
    plain_kit,
)
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.operands import pad_operand
from pouw.vm.ops import Matmul, Relu
from pouw.vm.program import encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType


def share(key: bytes, points: int) -> RoyaltyShare:
    return RoyaltyShare(key, points)


def registration(
    world: World, program: Hash, weights: Hash, royalties: tuple[RoyaltyShare, ...] = ()
) -> Transaction:
    return world.sign(CAROL, RegisterModel("model", program, weights, "MIT", royalties))


def test_a_model_is_recorded_with_the_commitments_of_its_weights(world: World) -> None:
    kit = layered_kit()
    royalties = (share(BOB.address, 4000), share(CAROL.address, 1000))
    model = world.scratch().model(world.register(kit, royalties))
    first, second = (
        np.frombuffer(kit.weights, np.int8)[: 16 * 256].reshape(16, 256),
        np.frombuffer(kit.weights, np.int8)[16 * 256 + 4 :].reshape(3, 16),
    )
    assert model.weight_roots == (operand_root(first), operand_root(pad_operand(second)))
    assert (model.owner, model.royalties) == (CAROL.address, royalties)
    assert (model.height, model.jobs) == (world.height, 0)


@pytest.mark.parametrize(
    ("rule", "royalties"),
    [
        ("royalty-total", (share(ALICE.address, 5001),)),
        ("royalty-total", (share(ALICE.address, 65_535), share(BOB.address, 1))),
        ("royalty-zero", (share(ALICE.address, 5000), share(BOB.address, 0))),
        ("royalty-twice", (share(ALICE.address, 1), share(ALICE.address, 2))),
    ],
)
def test_royalties_are_bounded_and_distinct(
    world: World, rule: str, royalties: tuple[RoyaltyShare, ...]
) -> None:
    kit = plain_kit()
    program, weights = world.publish(encode_program(kit.program)), world.publish(kit.weights)
    world.refuse(rule, registration(world, program, weights, royalties))


def test_program_and_weights_must_be_valid(world: World) -> None:
    kit, other = plain_kit(), layered_kit()
    program, weights = world.publish(encode_program(kit.program)), world.publish(kit.weights)
    garbage, long = world.publish(b"\xff" * 100), world.publish(bytes(2**18 + 1))
    beyond = bytearray(kit.weights)
    beyond[0] = 64
    world.refuse("blob-missing", registration(world, ZERO_HASH, weights))
    world.refuse("blob-missing", registration(world, program, ZERO_HASH))
    world.refuse("encoding", registration(world, garbage, weights))
    world.refuse("encoding", registration(world, long, weights))
    world.refuse("weights-size", registration(world, program, world.publish(other.weights)))
    world.refuse("weights-range", registration(world, program, world.publish(bytes(beyond))))
    wrong = encode_program(msgspec.structs.replace(kit.program, version=2))
    world.refuse("program-version", registration(world, world.publish(wrong), weights))
    world.mine(registration(world, program, weights))


def relus(count: int) -> Kit:
    """A long program that moves next to nothing."""
    builder = ProgramBuilder(Declaration(TensorType(DType.INT8, (1,)), Interval(-64, 63)))
    last = builder.op(
        Matmul, builder.source(), builder.constant(np.ones((1, 1), np.int8), DType.INT8)
    )
    for _ in range(count):
        last = builder.op(Relu, last)
    return Kit(*builder.finish(), b"\x01")


def test_checking_programs_is_metered_by_ops_not_by_bytes(world: World) -> None:
    """Programs of 4096 idle ops cost 30 ms to check and next to nothing in bytes."""
    kit = relus(400)
    program, weights = world.publish(encode_program(kit.program)), world.publish(kit.weights)
    world.mine(registration(world, program, weights))
    twice = [
        world.sign(CAROL, RegisterModel("m", program, weights, "", ()), ahead=i) for i in range(2)
    ]
    assert world.params.block_check_bytes < 2 * 400 * 16_384
    world.refuse("block-budget", *twice)


def test_submitting_on_long_programs_is_metered_too(world: World) -> None:
    kit = relus(200)
    model = world.register(kit)
    world.publish(kit.data)
    jobs = [world.sign(ALICE, world.submission(model, kit.data), ahead=i) for i in range(3)]
    world.mine(*jobs[:2])
    jobs = [world.sign(BOB, world.submission(model, kit.data), ahead=i) for i in range(3)]
    world.refuse("block-budget", *jobs)


def test_committing_to_padded_weights_is_metered() -> None:
    """A weight of n×1 is one byte a row, but each row is hashed as 128."""
    world = World(replace(PARAMS, block_check_bytes=MAINNET.block_check_bytes))
    rows = 1 << 20
    builder = ProgramBuilder(Declaration(TensorType(DType.INT8, (1,)), Interval(-64, 63)))
    builder.op(Matmul, builder.source(), builder.constant(np.ones((rows, 1), np.int8), DType.INT8))
    kit = Kit(*builder.finish(), b"\x01")
    program, weights = world.publish(encode_program(kit.program)), world.publish(kit.weights)
    world.refuse("block-budget", registration(world, program, weights))


def test_a_weight_used_by_many_products_is_committed_to_once(world: World) -> None:
    builder = ProgramBuilder(Declaration(TensorType(DType.INT8, (16,)), Interval(-64, 63)))
    weight = builder.constant(np.eye(16, dtype=np.int8), DType.INT8)
    scale = builder.constant(np.array([1], np.int32), DType.INT32)
    last = builder.source()
    for _ in range(5):
        wide = builder.op(Matmul, last, weight)
        last = builder.op(narrowing(1), wide, scale)
    kit = Kit(*builder.finish(), bytes(16))
    model = world.scratch().model(world.register(kit))
    assert len(model.weight_roots) == 5
    assert set(model.weight_roots) == {operand_root(pad_operand(np.eye(16, dtype=np.int8)))}
    assert world.checker.commitment_bytes(model.program) == 16 * (128 + 1024)
    assert world.checker.loading_bytes(model.program) == (10 + 2 + 5) * 16_384


def test_settling_counts_for_the_model(world: World, plain: Hash) -> None:
    for jobs in (1, 2):
        job = world.submit(plain, plain_kit().data)
        world.settle(job, world.claim(job, ALICE))
        assert world.scratch().model(plain).jobs == jobs
    assert world.job(job).status == r.JobStatus.SETTLED


def test_registering_the_same_model_again_makes_another_model(world: World) -> None:
    first, second = world.register(plain_kit()), world.register(plain_kit())
    assert first != second
    assert world.scratch().model(first).program == world.scratch().model(second).program
