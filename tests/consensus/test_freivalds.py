"""Freivalds' check: every right product passes, every kind of wrong one fails."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.freivalds import (
    COLUMNS,
    PlainThinProducts,
    challenge_matrix,
    check_macs,
    is_posted,
    product_is_right,
)
from pouw.genesis import MAINNET, TINY, Params
from pouw.vm.products import Product
from pouw.vm.types import Interval

PLAIN = PlainThinProducts()
JOB, WORKER = b"j" * 32, b"w" * 32
ROOTS = b"a" * 32, b"b" * 32, b"c" * 32
Case: TypeAlias = tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int64], NDArray[np.int8]]


def case(seed: int, m: int, n: int, k: int) -> Case:
    rng = np.random.default_rng(seed)
    a = rng.integers(-64, 64, (m, k), dtype=np.int8)
    b_t = rng.integers(-64, 64, (n, k), dtype=np.int8)
    root = seed.to_bytes(32, "big")
    r = challenge_matrix(JOB, 0, (root, root, root), (m, n, k), WORKER)
    return a, b_t, a.astype(np.int64) @ b_t.astype(np.int64).T, r


def accepts(a: Any, b_t: Any, c: NDArray[np.int64], r: Any) -> bool:
    return product_is_right(PLAIN, a, b_t, c.astype(np.int32), r)


CASES = st.builds(
    case, st.integers(0, 2**64), st.integers(1, 20), st.integers(1, 40), st.integers(1, 300)
)


@given(CASES)
def test_the_right_product_passes(right: Case) -> None:
    assert accepts(*right)


@given(CASES, st.data())
def test_one_wrong_element_is_found(right: Case, data: st.DataObject) -> None:
    a, b_t, c, r = right
    wrong = c.copy()
    row = data.draw(st.integers(0, c.shape[0] - 1))
    column = data.draw(st.integers(0, c.shape[1] - 1))
    wrong[row, column] += data.draw(
        st.sampled_from([1, -1, 2**7, 2**8, 2**16, 2**24, -(2**24), 3 * 2**24, 2**30])
    )
    assert not accepts(a, b_t, wrong, r)


SPOIL: dict[str, Callable[[NDArray[np.int64]], Any]] = {
    "a row by one": lambda c: np.add.at(c, 3, 1),
    "a column by one": lambda c: np.add.at(c.T, 3, -1),
    "a row by 2^24": lambda c: np.add.at(c, 0, 2**24),
    "everything by 2^31, wrapped": lambda c: np.bitwise_xor(c, 2**31, out=c),
    "two elements that cancel in a plain sum": lambda c: np.add.at(c, (0, [0, 1]), [1, -1]),
    "zeros": lambda c: c.fill(0),
    "two rows exchanged": lambda c: c.__setitem__([0, 1], c[[1, 0]]),
    "largest values": lambda c: c.fill(2**31 - 1),
    "smallest values": lambda c: c.fill(-(2**31)),
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL.keys())
def test_wrong_products_are_found(spoil: Callable[[NDArray[np.int64]], Any]) -> None:
    for seed in range(20):
        a, b_t, c, r = case(seed, 8, 32, 512)
        wrong = c.copy()
        spoil(wrong)
        assert not accepts(a, b_t, wrong, r)


@pytest.mark.parametrize("shift", [2**32, -(2**32), 2**33])
def test_the_check_is_over_the_integers_not_modulo_two_to_the_32(shift: int) -> None:
    a, b_t, c, r = case(1, 4, 16, 256)
    wrong: Any = c.copy()
    wrong[2, 5] += shift
    assert np.array_equal(wrong.astype(np.int32), c)
    assert not product_is_right(PLAIN, a, b_t, wrong, r)


def test_extreme_operands() -> None:
    n, k = 4096, 1024
    a, b_t = np.full((1, k), -64, np.int8), np.full((n, k), -64, np.int8)
    c = np.full((1, n), 64 * 64 * k, np.int32)
    r = np.full((n, COLUMNS), -128, np.int8)
    assert product_is_right(PLAIN, a, b_t, c, r)
    c[0, -1] += 1
    assert not product_is_right(PLAIN, a, b_t, c, r)


def test_the_challenge_is_the_one_of_the_protocol() -> None:
    m, n, k, op = 3, 5, 256, 7
    key = blake3(
        JOB
        + op.to_bytes(4, "little")
        + b"".join(ROOTS)
        + b"".join(x.to_bytes(4, "little") for x in (m, n, k))
        + WORKER,
        derive_key_context="pouw v1 freivalds",
    ).digest()
    drawn = blake3(key=key).digest(16 * n)
    expected = [[b - 256 if b > 127 else b for b in drawn[16 * i : 16 * i + 16]] for i in range(n)]
    matrix = challenge_matrix(JOB, op, ROOTS, (m, n, k), WORKER)
    assert matrix.dtype == np.int8
    assert matrix.tolist() == expected


def test_everything_known_binds_the_challenge() -> None:
    def draw(
        job: bytes = JOB,
        op: int = 0,
        roots: tuple[bytes, bytes, bytes] = ROOTS,
        shape: tuple[int, int, int] = (3, 5, 256),
        worker: bytes = WORKER,
    ) -> bytes:
        return challenge_matrix(job, op, roots, shape, worker).tobytes()

    other = b"x" * 32
    drawn = [
        draw(),
        draw(job=other),
        draw(op=1),
        draw(roots=(other, *ROOTS[1:])),
        draw(roots=(ROOTS[0], other, ROOTS[2])),
        draw(roots=(*ROOTS[:2], other)),
        draw(shape=(4, 5, 256)),
        draw(shape=(3, 6, 256))[: 16 * 5],
        draw(shape=(3, 5, 257)),
        draw(worker=other),
    ]
    assert len(set(drawn)) == len(drawn)


def test_cost() -> None:
    assert check_macs(2, 3, 5) == 16 * (3 * 5 + 2 * 5 + 2 * 3)


def posted(m: int, n: int, k: int, params: Params) -> bool:
    return is_posted(Product(0, 0, m, n, k, 0, 1, Interval(-1, 1)), params)


@pytest.mark.parametrize(
    ("m", "n", "k", "expected"),
    [
        (4096, 4096, 4096, True),
        (4096, 4096, 2048, True),
        (4096, 4096, 2047, False),
        (33, 4096, 4096, True),
        (32, 4096, 4096, False),
        (33, 1 << 20, 2048, True),
        (32, 1 << 20, 16384, False),
        (1 << 20, 32, 16384, False),
        (1 << 20, 33, 16384, True),
        (1, 1, 16384, False),
    ],
)
def test_a_product_is_posted_where_checking_is_cheaper(
    m: int, n: int, k: int, expected: bool
) -> None:
    assert posted(m, n, k, MAINNET) == expected


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 16_384))
def test_whatever_is_posted_costs_half_as_much_to_check(m: int, n: int, k: int) -> None:
    assert posted(m, n, k, MAINNET) == (k >= 2048 and 32 * (n * k + m * k + m * n) <= m * n * k)
    assert posted(m, n, k, TINY) == (k >= 256)
