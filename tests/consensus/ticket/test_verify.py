"""Every rule of a proof has a proof that breaks it; the attacks of protocol §9 on tickets fail."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand, Shape, Tag, check_head, check_opening, prove
from pouw.consensus.ticket.denoise import noised_product
from pouw.consensus.ticket.noise import noise
from pouw.consensus.ticket.proof import make_opening, noised_tile
from pouw.consensus.ticket.seeds import head_seeds, seed_a, seed_b
from pouw.consensus.ticket.target import target, ticket_digest
from pouw.consensus.ticket.transcript import fold, lanes_bytes, tile_lanes
from pouw.core.commitment import leaf
from pouw.core.errors import BodyMismatch, RuleViolation
from pouw.core.hashing import digest, u64
from pouw.core.ticket import Head, Opening

SIGMA = digest("header", b"this header")
JOB = digest("job", b"this job")
SHAPE = Shape(64, 48, 384)
TILE = (2, 1)


def values(rows: int, k: int, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-64, 63, (rows, k), np.int8, endpoint=True)


A = Operand.commit(values(SHAPE.m, SHAPE.k, 1))
B = Operand.commit(values(SHAPE.n, SHAPE.k, 2))
HEAD, OPENING = prove(SIGMA, SHAPE, Tag(job_id=JOB, op=4), A, B, TILE)
FREE_HEAD, FREE_OPENING = prove(SIGMA, SHAPE, Tag(u64(9)), None, B, TILE)


def head_with(head: Head = HEAD, **changes: Any) -> Head:
    return msgspec.structs.replace(head, **changes)


def opening_with(**changes: Any) -> Opening:
    return msgspec.structs.replace(OPENING, **changes)


def broken_rule(head: Head, opening: Opening = OPENING, sigma: bytes = SIGMA) -> str:
    with pytest.raises(RuleViolation) as caught:
        check_head(sigma, head, 1)
        check_opening(sigma, head, opening)
    return caught.value.rule


def mismatched(head: Head, opening: Opening) -> None:
    check_head(SIGMA, head, 1)
    with pytest.raises(BodyMismatch):
        check_opening(SIGMA, head, opening)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(2, 5),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_honest_proofs_pass(
    rows: int, cols: int, slabs: int, with_a: bool, with_b: bool, data: st.DataObject
) -> None:
    shape = Shape(16 * rows, 16 * cols, 128 * slabs)
    a = Operand.commit(values(shape.m, shape.k, 3)) if with_a else None
    b = Operand.commit(values(shape.n, shape.k, 4)) if with_b else None
    tile = (data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1)))
    head, opening = prove(SIGMA, shape, Tag(u64(5)), a, b, tile)
    check_head(SIGMA, head, 1)
    check_opening(SIGMA, head, opening)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("ticket-shape", {"m": 0}),
        ("ticket-shape", {"m": 65}),
        ("ticket-shape", {"m": 2**20 + 16}),
        ("ticket-shape", {"m": 2**32 - 16}),
        ("ticket-shape", {"n": 0}),
        ("ticket-shape", {"n": 40}),
        ("ticket-shape", {"n": 2**20 + 16}),
        ("ticket-shape", {"k": 0}),
        ("ticket-shape", {"k": 128}),
        ("ticket-shape", {"k": 385}),
        ("ticket-shape", {"k": 16_512}),
        ("ticket-shape", {"k": 2**32 - 128}),
        ("ticket-tile", {"tile_row": 4}),
        ("ticket-tile", {"tile_col": 3}),
        ("ticket-tile", {"tile_col": 2**32 - 1}),
        ("ticket-job", {"nonce": u64(1)}),
        ("ticket-job", {"job_id": bytes(32)}),
    ],
)
def test_heads_off_the_rules_are_refused(rule: str, changes: dict[str, Any]) -> None:
    with pytest.raises(RuleViolation) as caught:
        check_head(SIGMA, head_with(**changes), 1)
    assert caught.value.rule == rule


def test_ticket_wins_up_to_its_own_number() -> None:
    a_seed, _ = head_seeds(SIGMA, HEAD)
    number = int.from_bytes(ticket_digest(a_seed, HEAD.lanes, *TILE), "little")
    difficulty = 2**256 * 256 * SHAPE.k // number
    assert target(difficulty, SHAPE.k) >= number
    check_head(SIGMA, HEAD, difficulty)
    with pytest.raises(RuleViolation) as caught:
        check_head(SIGMA, HEAD, difficulty + 1)
    assert caught.value.rule == "ticket-target"


def test_difficulty_must_be_positive() -> None:
    with pytest.raises(RuleViolation) as caught:
        check_head(SIGMA, HEAD, 0)
    assert caught.value.rule == "ticket-difficulty"


@pytest.mark.parametrize(
    "changes",
    [
        {"op": 5},
        {"job_id": digest("job", b"another job")},
        {"job_id": bytes(32), "op": 0},
        {"tile_row": 1},
        {"tile_col": 2},
        {"m": 96},
        {"lanes": bytes(128)},
    ],
)
def test_a_valid_proof_fits_no_other_head(changes: dict[str, Any]) -> None:
    """Job tag removed or swapped, another tile, m or transcript: another ticket altogether."""
    head = head_with(**changes)
    moved = make_opening(A, B, (head.tile_row, head.tile_col))
    if "m" in changes:
        mismatched(head, moved)
    else:
        assert broken_rule(head, moved) == "ticket-lanes"


def test_a_job_cannot_be_added_to_a_valid_proof() -> None:
    tagged = head_with(FREE_HEAD, job_id=JOB, nonce=u64(0))
    assert broken_rule(tagged, FREE_OPENING) == "ticket-lanes"


def test_a_proof_is_bound_to_header_and_nonce() -> None:
    """The header hash binds miner, parent and time, so a replay by another miner fails too."""
    assert broken_rule(HEAD, sigma=digest("header", b"another miner")) == "ticket-lanes"
    assert broken_rule(head_with(FREE_HEAD, nonce=u64(10)), FREE_OPENING) == "ticket-lanes"


def test_swapped_operands_are_another_proof() -> None:
    head = head_with(m=48, n=64, root_a=HEAD.root_b, root_b=HEAD.root_a, tile_row=1, tile_col=2)
    assert broken_rule(head, make_opening(B, A, (1, 2))) == "ticket-lanes"


@pytest.mark.parametrize("side", ["A", "B"])
def test_committed_values_out_of_range_are_refused(side: str) -> None:
    for value in (64, -65, 127, -128):
        operand = (A if side == "A" else B).values.copy()
        operand[16 * (TILE[0] if side == "A" else TILE[1]) + 7, 300] = value
        committed = Operand.commit(operand)
        pair = (committed, B) if side == "A" else (A, committed)
        head, opening = prove(SIGMA, SHAPE, Tag(), *pair, TILE)
        assert broken_rule(head, opening) == "ticket-range"


def test_only_the_committed_rows_open() -> None:
    unaligned = A.values[33:49].tobytes()
    repeated = A.values[32:33].repeat(16, axis=0).tobytes()
    other_tile = A.values[:16].tobytes()
    for rows in (unaligned, repeated, other_tile, b"", OPENING.a_rows[:-1], OPENING.b_rows):
        mismatched(HEAD, opening_with(a_rows=rows))
    mismatched(HEAD, opening_with(b_rows=OPENING.a_rows))


def test_only_the_committed_path_opens() -> None:
    path = OPENING.b_path
    for siblings in ((), path[:-1], (*path, bytes(32)), path[::-1], OPENING.a_path[:1] + path[1:]):
        mismatched(HEAD, opening_with(b_path=siblings))


def test_the_zero_operand_opens_to_nothing() -> None:
    for changes in ({"a_rows": bytes(16 * SHAPE.k)}, {"a_path": (bytes(32),)}):
        mismatched(FREE_HEAD, msgspec.structs.replace(FREE_OPENING, **changes))


def test_one_root_opens_under_one_shape() -> None:
    """The same bytes cut into rows of another length, or counted as more rows, do not open."""
    wide = Operand.commit(values(64, 256, 7))
    head, opening = prove(SIGMA, Shape(16, 64, 256), Tag(), None, wide, (0, 0))
    halves = head_with(head, n=32, k=512)
    longer = msgspec.structs.replace(
        opening, b_rows=wide.values[:32].tobytes(), b_path=opening.b_path[1:]
    )
    mismatched(halves, longer)
    mismatched(head_with(head, n=64 - 16), opening)


def test_an_inner_node_is_not_a_leaf() -> None:
    """Rows of k = 256 bytes made of hashes of other rows do not stand in for them."""
    wide = Operand.commit(values(256, 256, 8))
    head, opening = prove(SIGMA, Shape(16, 256, 256), Tag(), None, wide, (0, 0))
    hashes = b"".join(leaf(row.tobytes()) for row in wide.values)
    forged = msgspec.structs.replace(opening, b_rows=hashes[: 16 * 256], b_path=opening.b_path[-1:])
    mismatched(head_with(head, n=32), forged)


def noised(head: Head, a_seed: bytes, b_seed: bytes) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    return (
        noised_tile(a_seed, A.tile(TILE[0]), TILE[0], head.k),
        noised_tile(b_seed, B.tile(TILE[1]), TILE[1], head.k),
    )


def test_noise_seeded_before_the_commitment_is_refused() -> None:
    """Operands chosen after their noise could cancel it: the seeds bind both roots."""
    early_b = seed_b(SIGMA, bytes(32), SHAPE.n, SHAPE.k)
    early_a = seed_a(early_b, bytes(32), SHAPE.m, bytes(8), JOB, 4)
    lanes = tile_lanes(*noised(HEAD, early_a, early_b))
    assert broken_rule(head_with(lanes=lanes)) == "ticket-lanes"


def test_a_fold_of_the_final_product_alone_is_refused() -> None:
    product = noised_product(*noised(HEAD, *head_seeds(SIGMA, HEAD)))
    assert broken_rule(head_with(lanes=lanes_bytes(fold(product)[0, 0]))) == "ticket-lanes"


def test_a_product_without_noise_is_refused() -> None:
    lanes = tile_lanes(A.tile(TILE[0]), B.tile(TILE[1]))
    assert broken_rule(head_with(lanes=lanes)) == "ticket-lanes"


def test_rank_and_fold_period_are_not_the_provers_choice() -> None:
    """A fold every 64 or 256 columns, or noise of another rank, gives other lanes."""
    a_rows, b_rows = noised(HEAD, *head_seeds(SIGMA, HEAD))
    for period in (64, 384):
        state = np.zeros(32, np.uint32)
        for end in range(period, SHAPE.k + 1, period):
            sums = noised_product(a_rows[:, :end], b_rows[:, :end])
            state = (state << np.uint32(13)) | (state >> np.uint32(19))
            state ^= fold(sums)[0, 0]
        assert broken_rule(head_with(lanes=lanes_bytes(state))) == "ticket-lanes"
    a_seed, b_seed = head_seeds(SIGMA, HEAD)
    one_slab = np.tile(noise(a_seed, range(32, 48), 128), 3)
    lanes = tile_lanes(A.tile(TILE[0]) + one_slab, noised(HEAD, a_seed, b_seed)[1])
    assert broken_rule(head_with(lanes=lanes)) == "ticket-lanes"
