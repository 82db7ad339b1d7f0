"""Registering models: blobs, royalties, programs, versions, and what checking them may cost."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from pouw.consensus import records as r
from pouw.core.codec import decode, encode
from pouw.core.commitment import operand_root
from pouw.core.errors import DecodeError, RuleViolation
from pouw.core.hashing import ZERO_HASH, Hash
from pouw.core.keys import PrivateKey
from pouw.core.transaction import (
    MAX_CARD_CHARS,
    MAX_LICENCE_CHARS,
    RegisterModel,
    RoyaltyShare,
    Transaction,
)
from pouw.genesis import MAINNET
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    OWNER,
    PARAMS,
    Kit,
    World,
    layered_kit,
    narrowing,
    plain_kit,
)
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.limits import MAX_PRODUCTS
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
    assert (model.previous, model.version, model.card) == (ZERO_HASH, 1, "")


def test_a_fresh_model_has_no_history_but_its_height(world: World) -> None:
    identity = world.register(plain_kit())
    history = world.scratch().model_history(identity)
    assert history == r.ModelHistory(world.height, 0, ZERO_HASH)
    with pytest.raises(RuleViolation, match="model-unknown"):
        world.scratch().model_history(ZERO_HASH)


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
    assert world.params.block_check_bytes < 2 * 400 * 2**18
    world.refuse("block-budget", *twice)


def test_submitting_on_long_programs_is_metered_too() -> None:
    world = World(replace(PARAMS, max_job_bytes=1 << 30))
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
    assert world.checker.commitment_bytes(model.program) == 16 * (128 + 2**15)
    assert world.checker.loading_bytes(model.program) == (10 + 2 + 5) * 2**18


def test_settling_counts_for_the_model(world: World, plain: Hash) -> None:
    for jobs in (1, 2):
        job = world.submit(plain, plain_kit().data)
        world.settle(job, world.claim(job, ALICE))
        assert world.scratch().model_history(plain).jobs == jobs
    assert world.job(job).status == r.JobStatus.SETTLED


def test_registering_the_same_model_again_makes_another_model(world: World) -> None:
    first, second = world.register(plain_kit()), world.register(plain_kit())
    assert first != second
    assert world.scratch().model(first).program == world.scratch().model(second).program


# Versions and texts ---------------------------------------------------------------------------


def version(
    world: World, previous: Hash, key: PrivateKey = CAROL, *, ahead: int = 0, name: str = "next"
) -> Transaction:
    """Register the plain kit again in the place of another model."""
    kit = plain_kit()
    program, weights = world.publish(encode_program(kit.program)), world.publish(kit.weights)
    body = RegisterModel(name, program, weights, "", (), "{}", previous)
    return world.sign(key, body, ahead=ahead)


def test_versions_form_a_chain(world: World, plain: Hash) -> None:
    raw = world.state[r.model_key(plain)]
    second = version(world, plain)
    world.mine(second)
    third = version(world, second.id)
    world.mine(third)
    state = world.scratch()
    assert [state.model(each).version for each in (plain, second.id, third.id)] == [1, 2, 3]
    assert state.model(third.id).previous == second.id
    assert state.model_history(plain).successor == second.id
    assert state.model_history(second.id).successor == third.id
    assert state.model_history(third.id).successor == ZERO_HASH
    assert world.state[r.model_key(plain)] == raw


def test_two_versions_may_be_registered_in_one_block(world: World, plain: Hash) -> None:
    second = version(world, plain)
    third = version(world, second.id, ahead=1)
    world.mine(second, third)
    assert world.scratch().model(third.id).version == 3


def test_a_replaced_model_still_takes_jobs_and_keeps_its_successor(
    world: World, plain: Hash
) -> None:
    second = version(world, plain)
    world.mine(second)
    job = world.submit(plain, plain_kit().data)
    world.settle(job, world.claim(job, ALICE))
    history = world.scratch().model_history(plain)
    assert (history.jobs, history.successor) == (1, second.id)
    assert world.scratch().model_history(second.id).jobs == 0


def test_only_a_registered_model_can_be_replaced(world: World, plain: Hash) -> None:
    job = world.submit(plain, plain_kit().data)
    for nothing in (b"\x01" * 32, job):
        world.refuse("model-previous", version(world, nothing))
    second = version(world, plain)
    world.refuse("model-previous", version(world, second.id), version(world, plain, ahead=1))


def test_only_its_owner_replaces_a_model(world: World, plain: Hash) -> None:
    world.refuse("model-owner", version(world, plain, BOB))
    world.mine(version(world, plain))


def test_a_model_is_replaced_once(world: World, plain: Hash) -> None:
    second = version(world, plain)
    other = version(world, plain, ahead=1, name="other")
    world.refuse("model-replaced", second, other)
    world.mine(second)
    world.refuse("model-replaced", version(world, plain, name="other"))


def test_the_number_of_versions_is_bounded(world: World, plain: Hash) -> None:
    for number, rule in ((r.MAX_MODEL_VERSION - 1, None), (r.MAX_MODEL_VERSION, "model-version")):
        model = world.scratch().model(plain)
        aged = msgspec.structs.replace(model, version=number)
        world.state[r.model_key(plain)] = encode(aged)
        if rule is not None:
            world.refuse(rule, version(world, plain))
        else:
            last = version(world, plain)
            world.mine(last)
            assert world.scratch().model(last.id).version == r.MAX_MODEL_VERSION
            plain = last.id
    beyond = encode(msgspec.structs.replace(aged, version=r.MAX_MODEL_VERSION + 1))
    with pytest.raises(DecodeError):
        decode(r.Model, beyond, r.RECORD_LIMIT)


def test_a_refused_version_leaves_the_old_one_unreplaced(world: World, plain: Hash) -> None:
    program = world.publish(encode_program(plain_kit().program))
    broken = RegisterModel("next", program, ZERO_HASH, "", (), "", plain)
    world.refuse("blob-missing", world.sign(CAROL, broken))
    assert world.scratch().model_history(plain).successor == ZERO_HASH


def test_the_longest_texts_are_kept_and_no_rule_reads_them(world: World) -> None:
    kit = plain_kit()
    program, weights = world.publish(encode_program(kit.program)), world.publish(kit.weights)
    card, licence = "\U0001d54f" * MAX_CARD_CHARS, "\U0001d54f" * MAX_LICENCE_CHARS
    shares = tuple(share(bytes([i]) * 32, 1) for i in range(32))
    signed = world.sign(CAROL, RegisterModel("m", program, weights, licence, shares, card))
    world.mine(signed)
    model = world.scratch().model(signed.id)
    assert (model.card, model.licence, model.royalties) == (card, licence, shares)


def test_the_record_of_the_most_products_a_block_can_check_stays_within_its_bound(
    world: World, plain: Hash
) -> None:
    """A program has a bounded number of products, which bounds how many roots a model can have."""
    text = "\U0001d54f" * MAX_CARD_CHARS
    model = msgspec.structs.replace(
        world.scratch().model(plain),
        licence=text,
        card=text,
        royalties=(share(ALICE.address, 65_535),) * 32,
        weight_roots=(b"r" * 32,) * MAX_PRODUCTS,
    )
    data = encode(model)
    assert 4 * len(data) < r.RECORD_LIMIT
    assert decode(r.Model, data, r.RECORD_LIMIT) == model


# Royalties ------------------------------------------------------------------------------------


def test_royalties_are_paid_at_every_settlement(world: World) -> None:
    """Two owners of data and two jobs, one of whose workers is such an owner."""
    royalties = (share(BOB.address, 3333), share(CAROL.address, 1))
    model = world.register(plain_kit(), royalties)
    first_bounty, second_bounty = 10 * COIN + 9_999, 3 * COIN + 1
    balances = {key: world.balance(key) for key in (OWNER, ALICE, BOB, CAROL)}
    gained = dict.fromkeys(balances, 0)
    for bounty, worker in ((first_bounty, ALICE), (second_bounty, BOB)):
        job = world.submit(model, plain_kit().data, bounty=bounty)
        world.settle(job, world.claim(job, worker))
        record = world.job(job)
        to_bob, to_carol = bounty * 3333 // 10_000, bounty // 10_000
        gained[BOB] += to_bob
        gained[CAROL] += to_carol
        gained[worker] += bounty - to_bob - to_carol
        gained[OWNER] -= bounty + record.burn + record.check_fee
        assert {key: world.balance(key) - balances[key] for key in balances} == gained
    assert (to_bob, to_carol) == (999_900_000, 300_000)


def test_the_smallest_bounties_round_in_the_workers_favour(world: World) -> None:
    royalties = tuple(share(key.address, 2500) for key in (BOB, CAROL))
    model = world.register(plain_kit(), royalties)
    for bounty, part in ((0, 0), (1, 0), (3, 0), (4, 1), (7, 1)):
        balances = {key: world.balance(key) for key in (ALICE, BOB, CAROL)}
        job = world.submit(model, plain_kit().data, bounty=bounty)
        world.settle(job, world.claim(job, ALICE))
        gained = [world.balance(key) - balances[key] for key in (ALICE, BOB, CAROL)]
        assert gained == [bounty - 2 * part, part, part]
