"""CPU cores in processes of their own: the same bytes, clear failures, nothing left behind."""

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pouw.consensus.ticket import Operand, Tag
from pouw.core.commitment import ZERO_OPERAND_ROOT
from pouw.core.errors import UserError
from pouw.miner.core_process import CoreLost, CoreProcess, open_cores
from pouw.miner.devices import Device

SIGMA = bytes(range(32))
EASY = 1 << 17


@pytest.fixture(scope="module")
def core() -> Iterator[CoreProcess]:
    (opened,) = open_cores(1)
    yield opened
    opened.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tiles=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    slabs=st.integers(2, 5),
    seed=st.integers(0, 2**32),
    zero=st.booleans(),
)
def test_a_core_mines_as_this_process_does(
    core: CoreProcess, device: Device, tiles: tuple[int, int], slabs: int, seed: int, zero: bool
) -> None:
    m, n, k = 16 * tiles[0], 16 * tiles[1], 128 * slabs
    random = np.random.default_rng(seed)
    a = Operand.commit(random.integers(-64, 64, (m, k), np.int8))
    b = None if zero else Operand.commit(random.integers(-64, 64, (n, k), np.int8))
    tag = Tag(random.bytes(8), random.bytes(32), seed % 7)
    root, rows = (ZERO_OPERAND_ROOT, None) if zero else (a.tree.root, a.values[16:])
    if m == 16:
        rows, first = (None if zero else a.values), 0
    else:
        first = 16
    results = [
        each.noise_b(SIGMA, b, n, k).start(m, root, tag, EASY).mine_rows(rows, first, m)
        for each in (core, device)
    ]
    ours, expected = results
    assert ours.winners == expected.winners
    assert ours.tiles == expected.tiles
    assert (ours.product is None) == (expected.product is None) == zero
    if ours.product is not None and expected.product is not None:
        assert np.array_equal(ours.product, expected.product)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (3, 5, 700), (17, 2, 128)])
def test_a_core_multiplies_plainly(core: CoreProcess, m: int, n: int, k: int) -> None:
    random = np.random.default_rng(m)
    a = random.integers(-64, 64, (m, k), np.int8)
    b_t = random.integers(-64, 64, (n, k), np.int8)
    expected = a.astype(np.int64) @ b_t.astype(np.int64).T
    assert np.array_equal(core.multiplier.matmul(a, b_t), expected)


def test_a_lost_process_says_why_and_can_be_opened_again(core: CoreProcess) -> None:
    one = np.ones((16, 256), np.int8)
    operand = Operand.commit(one)
    noised = core.noise_b(SIGMA, operand, 16, 256)
    with pytest.raises(CoreLost, match="disagree on being zero"):
        noised.start(16, ZERO_OPERAND_ROOT, Tag(), EASY).mine_rows(one, 0, 16)
    core.reopen()
    mined = core.noise_b(SIGMA, operand, 16, 256).start(16, operand.tree.root, Tag(), EASY)
    assert mined.mine_rows(one, 0, 16).product is not None
    os.kill(core.process_id, signal.SIGKILL)
    with pytest.raises(CoreLost, match="its process ended with status -9"):
        mined.mine_rows(one, 0, 16)
    core.close()
    with pytest.raises(CoreLost):
        core.matmul(one, one)


def test_a_process_that_does_not_start_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(UserError, match=r"^device cpu:0: its process ended with status 1$"):
        open_cores(2)
