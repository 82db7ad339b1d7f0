"""CPU mining against the plain reference, bit for bit: transcripts, winners and exact products."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand, Shape, Tag, check_head, check_opening
from pouw.consensus.ticket.noise import noise
from pouw.consensus.ticket.proof import make_head, make_opening
from pouw.consensus.ticket.seeds import seed_a, seed_b
from pouw.consensus.ticket.target import meets_target, target, ticket_digest
from pouw.consensus.ticket.transcript import lanes_bytes, lanes_of_tiles
from pouw.core.commitment import ZERO_OPERAND_ROOT
from pouw.core.hashing import digest, u64
from pouw.kernels import cpu
from pouw.kernels.cpu import MinedRows, MiningPass, NoisedOperandB
from pouw.kernels.tickets import Winner
from pouw.kernels.ways import Way, candidates

SIGMA = digest("header", b"mining")
TAG = Tag(u64(77))


@cache
def compiled(make: Callable[[], Way]) -> Way:
    """Compile each way once for all examples."""
    return make()


def operand(rows: int, k: int, seed: int) -> Operand:
    generator = np.random.default_rng(seed)
    return Operand.commit(generator.integers(-64, 63, (rows, k), np.int8, endpoint=True))


def root(side: Operand | None) -> bytes:
    return ZERO_OPERAND_ROOT if side is None else side.tree.root


def values(side: Operand | None) -> NDArray[np.int8] | None:
    return None if side is None else side.values


def mining_pass(
    shape: Shape, a: Operand | None, b: Operand | None, difficulty: int, tag: Tag = TAG
) -> MiningPass:
    noised = NoisedOperandB(SIGMA, values(b), root(b), shape.n, shape.k)
    return MiningPass(noised, shape.m, root(a), tag, difficulty)


def expected_winners(
    shape: Shape, a: Operand | None, b: Operand | None, difficulty: int
) -> list[Winner]:
    """Every winning tile by the reference, row by row."""
    b_seed = seed_b(SIGMA, root(b), shape.n, shape.k)
    a_seed = seed_a(b_seed, root(a), shape.m, TAG.nonce, TAG.job_id, TAG.op)
    a_noised = noise(a_seed, range(shape.m), shape.k)
    b_noised = noise(b_seed, range(shape.n), shape.k)
    if a is not None:
        a_noised += a.values
    if b is not None:
        b_noised += b.values
    lanes = lanes_of_tiles(a_noised, b_noised)
    limit = target(difficulty, shape.k)
    found: list[Winner] = []
    for row in range(shape.m // 16):
        for col in range(shape.n // 16):
            block = lanes_bytes(lanes[row, col])
            if meets_target(ticket_digest(a_seed, block, row, col), limit):
                found.append(Winner(row, col, block))
    return found


def by_tile(found: list[Winner]) -> list[Winner]:
    return sorted(found, key=lambda winner: (winner.tile_row, winner.tile_col))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(2, 6),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2**17]),
    st.integers(0, 2**32),
)
def test_mining_equals_the_reference(
    rows: int, cols: int, slabs: int, with_a: bool, with_b: bool, difficulty: int, seed: int
) -> None:
    shape = Shape(16 * rows, 16 * cols, 128 * slabs)
    a = operand(shape.m, shape.k, seed) if with_a else None
    b = operand(shape.n, shape.k, seed + 1) if with_b else None
    mined = mining_pass(shape, a, b, difficulty).mine_rows(values(a), 0, shape.m)
    assert by_tile(mined.winners) == expected_winners(shape, a, b, difficulty)
    assert mined.tiles == rows * cols
    check_product(mined, a, b)


def check_product(mined: MinedRows, a: Operand | None, b: Operand | None) -> None:
    if a is None or b is None:
        assert mined.product is None
    else:
        assert mined.product is not None
        assert mined.product.dtype == np.int32
        plain = a.values.astype(np.int64) @ b.values.astype(np.int64).T
        assert np.array_equal(mined.product, plain)


@pytest.mark.parametrize("make", candidates())
@settings(max_examples=6, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(2, 6), st.booleans(), st.booleans())
def test_every_way_to_multiply_mines_the_same(
    make: Callable[[], Way], rows: int, cols: int, slabs: int, with_a: bool, with_b: bool
) -> None:
    shape = Shape(16 * rows, 16 * cols, 128 * slabs)
    way = compiled(make)
    a = operand(shape.m, shape.k, rows) if with_a else None
    b = operand(shape.n, shape.k, cols) if with_b else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "best_way", lambda: way)
        mined = mining_pass(shape, a, b, 1).mine_rows(values(a), 0, shape.m)
    assert by_tile(mined.winners) == expected_winners(shape, a, b, 1)
    check_product(mined, a, b)


def test_several_blocks_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "ROW_BLOCK", 32)
    monkeypatch.setattr(cpu, "COLUMN_BLOCK", 64)
    shape = Shape(80, 112, 384)
    a, b = operand(shape.m, shape.k, 1), operand(shape.n, shape.k, 2)
    mined = mining_pass(shape, a, b, 1).mine_rows(a.values, 0, shape.m)
    assert by_tile(mined.winners) == expected_winners(shape, a, b, 1)
    check_product(mined, a, b)


def test_shards_keep_their_global_rows() -> None:
    shape = Shape(96, 64, 256)
    a, b = operand(shape.m, shape.k, 3), operand(shape.n, shape.k, 4)
    one = mining_pass(shape, a, b, 1)
    whole = one.mine_rows(a.values, 0, 96)
    shards = [one.mine_rows(a.values[low:high], low, high) for low, high in ((0, 48), (48, 96))]
    assert [winner for shard in shards for winner in by_tile(shard.winners)] == by_tile(
        whole.winners
    )
    products = [shard.product for shard in shards if shard.product is not None]
    assert whole.product is not None
    assert np.array_equal(np.concatenate(products), whole.product)


@pytest.mark.parametrize("value", [-64, 63])
def test_extreme_operands_at_the_longest_k_denoise_exactly(value: int) -> None:
    shape = Shape(16, 32, 16_384)
    a = Operand.commit(np.full((shape.m, shape.k), value, np.int8))
    b = Operand.commit(np.full((shape.n, shape.k), value, np.int8))
    mined = mining_pass(shape, a, b, 1).mine_rows(a.values, 0, shape.m)
    assert by_tile(mined.winners) == expected_winners(shape, a, b, 1)
    check_product(mined, a, b)


def test_noised_b_serves_every_a_and_nonce() -> None:
    """A template is noised once: passes over different A under it are all provable."""
    shape = Shape(48, 32, 512)
    b = operand(shape.n, shape.k, 5)
    noised = NoisedOperandB(SIGMA, b.values, b.tree.root, shape.n, shape.k)
    for a, tag in (
        (operand(shape.m, shape.k, 6), Tag(job_id=digest("job", b"j"), op=2)),
        (operand(shape.m, shape.k, 7), Tag(u64(2))),
        (None, Tag(u64(3))),
    ):
        mined = MiningPass(noised, shape.m, root(a), tag, 1).mine_rows(values(a), 0, shape.m)
        winner = mined.winners[-1]
        tile = (winner.tile_row, winner.tile_col)
        head = make_head(shape, tag, (root(a), b.tree.root), tile, winner.lanes)
        check_head(SIGMA, head, 1)
        check_opening(SIGMA, head, make_opening(a, b, tile))


def test_operands_that_do_not_fit_are_refused() -> None:
    shape = Shape(32, 32, 256)
    a, b = operand(shape.m, shape.k, 8), operand(shape.n, shape.k, 9)
    one = mining_pass(shape, a, b, 1)
    for rows, low, high in ((a.values, 0, 16), (a.values[:8], 0, 8), (a.values, 16, 48)):
        with pytest.raises(ValueError, match=r"rows|operand A"):
            one.mine_rows(rows, low, high)
    with pytest.raises(ValueError, match="disagree"):
        one.mine_rows(None, 0, 32)
    with pytest.raises(ValueError, match="outside"):
        one.mine_rows(np.full_like(a.values, 64), 0, 32)
    with pytest.raises(ValueError, match="disagree"):
        NoisedOperandB(SIGMA, None, b.tree.root, shape.n, shape.k)
    with pytest.raises(ValueError, match="committed"):
        NoisedOperandB(SIGMA, b.values[:16], b.tree.root, shape.n, shape.k)
