"""Mining through the kernels gives what the CPU gives: winners, order and products."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand, Shape, Tag
from pouw.core.commitment import ZERO_OPERAND_ROOT
from pouw.core.hashing import digest, u64
from pouw.kernels import cpu
from pouw.kernels.gpu import mining
from pouw.kernels.gpu.mining import GpuMultiplier, MiningPass, NoisedOperandB
from pouw.kernels.gpu.weights import operands

CPU = torch.device("cpu")
SIGMA = digest("header", b"gpu")
SHAPE = Shape(48, 32, 256)


def operand(rows: int, k: int, seed: int) -> Operand:
    generator = np.random.default_rng(seed)
    return Operand.commit(generator.integers(-64, 63, (rows, k), np.int8, endpoint=True))


A, B = operand(SHAPE.m, SHAPE.k, 1), operand(SHAPE.n, SHAPE.k, 2)


def root(side: Operand | None) -> bytes:
    return ZERO_OPERAND_ROOT if side is None else side.tree.root


def values(side: Operand | None) -> NDArray[np.int8] | None:
    return None if side is None else side.values


@pytest.mark.parametrize(
    ("a", "b"), [(A, B), (A, None), (None, B), (None, None)], ids=["AB", "A0", "0B", "00"]
)
def test_equals_the_cpu(a: Operand | None, b: Operand | None) -> None:
    tag, difficulty = Tag(u64(9)), 3 * 256 * SHAPE.k
    theirs = cpu.MiningPass(
        cpu.NoisedOperandB(SIGMA, values(b), root(b), SHAPE.n, SHAPE.k),
        SHAPE.m,
        root(a),
        tag,
        difficulty,
    ).mine_rows(values(a), 0, SHAPE.m)
    noised = NoisedOperandB(CPU, SIGMA, values(b), root(b), SHAPE.n, SHAPE.k)
    ours = MiningPass(noised, SHAPE.m, root(a), tag, difficulty).mine_rows(values(a), 0, SHAPE.m)
    assert 0 < len(ours.winners) < ours.tiles == theirs.tiles
    assert ours.winners == theirs.winners
    if theirs.product is None:
        assert ours.product is None
    else:
        assert ours.product is not None
        assert ours.product.dtype == np.int32
        assert np.array_equal(ours.product, theirs.product)


def test_shards_and_blocks_keep_their_global_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    noised = NoisedOperandB(CPU, SIGMA, B.values, B.tree.root, SHAPE.n, SHAPE.k)
    one = MiningPass(noised, SHAPE.m, A.tree.root, Tag(), 1)
    whole = one.mine_rows(A.values, 0, SHAPE.m)
    monkeypatch.setattr(mining, "BLOCK_ELEMENTS", 16 * SHAPE.n)
    shards = [one.mine_rows(A.values[:16], 0, 16), one.mine_rows(A.values[16:], 16, SHAPE.m)]
    assert [winner for shard in shards for winner in shard.winners] == whole.winners
    products = [shard.product for shard in shards if shard.product is not None]
    assert whole.product is not None
    assert np.array_equal(np.concatenate(products), whole.product)


def test_operands_that_do_not_fit_are_refused() -> None:
    noised = NoisedOperandB(CPU, SIGMA, B.values, B.tree.root, SHAPE.n, SHAPE.k)
    one = MiningPass(noised, SHAPE.m, A.tree.root, Tag(), 1)
    for rows, low, high in ((A.values, 0, 16), (A.values[:8], 0, 8), (A.values, 16, 64)):
        with pytest.raises(ValueError, match=r"rows|operand A"):
            one.mine_rows(rows, low, high)
    with pytest.raises(ValueError, match="disagree"):
        one.mine_rows(None, 0, SHAPE.m)
    with pytest.raises(ValueError, match="outside"):
        one.mine_rows(np.full_like(A.values, 64), 0, SHAPE.m)
    with pytest.raises(ValueError, match="disagree"):
        NoisedOperandB(CPU, SIGMA, None, B.tree.root, SHAPE.n, SHAPE.k)


def test_weights_stay_on_the_device_from_one_header_to_the_next() -> None:
    cache = operands(CPU)
    held = cache.fetch(B.values, B.tree.root)
    seen = [
        NoisedOperandB(CPU, digest("header", name), B.values, B.tree.root, SHAPE.n, SHAPE.k)
        for name in (b"one", b"two")
    ]
    assert cache.fetch(B.values, B.tree.root) is held
    assert np.array_equal(held.numpy(), B.values)  # noise never touches it
    assert not torch.equal(seen[0].noised, seen[1].noised)
    with pytest.raises(ValueError, match="committed"):
        NoisedOperandB(CPU, SIGMA, B.values, B.tree.root, SHAPE.n, 128)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (17, 33, 130), (70, 5, 300), (3, 0, 5)])
def test_plain_products_of_any_shape(m: int, n: int, k: int) -> None:
    generator = np.random.default_rng(m)
    a, b_t = (generator.integers(-128, 127, (rows, k), np.int8, endpoint=True) for rows in (m, n))
    a.flags.writeable = False
    product = GpuMultiplier(CPU).matmul(a, b_t)
    assert product.dtype == np.int32
    assert np.array_equal(product, a.astype(np.int64) @ b_t.astype(np.int64).T)


@pytest.mark.parametrize(("k", "other"), [(128, 256), (16_385, 16_385)])
def test_plain_products_that_do_not_fit_are_refused(k: int, other: int) -> None:
    with pytest.raises(ValueError, match="cannot multiply"):
        GpuMultiplier(CPU).matmul(np.zeros((2, k), np.int8), np.zeros((2, other), np.int8))
