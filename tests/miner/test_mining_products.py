"""Products mined across changing headers: exact, each row once, every winner a valid proof."""

from collections.abc import Iterator
from itertools import chain, pairwise, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.consensus.ticket import Operand
from pouw.genesis import MAINNET
from pouw.miner.devices import Device
from pouw.miner.meter import Meter
from pouw.miner.mining_products import MiningProducts
from pouw.miner.noised import NoisedOperands
from pouw.miner.rate import SpeedGauge
from pouw.miner.templates import Template
from pouw.tests.miner.scribe import ALWAYS, NEVER, Scribe, Watched, template
from pouw.vm.products import Product
from pouw.vm.types import Interval

JOB = bytes(range(100, 132))
RANGE = Interval(-64 * 63, 64 * 64)


class Bench:
    """A handler with everything around it."""

    def __init__(self, device: Device, templates: Iterator[Template | None]) -> None:
        self.device = Watched(device)
        self.scribe = Scribe()
        self.meter = Meter()
        self.weights: dict[int, Operand] = {}
        self.products = MiningProducts(
            self.device,
            NoisedOperands(self.device),
            self.scribe,
            self.meter,
            SpeedGauge(),
            JOB,
            self.weights,
            MAINNET,
            lambda: next(templates),
        )


def operands(m: int, n: int, k: int, seed: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    random = np.random.default_rng(seed)
    extreme = np.array([-64, 63], np.int8)
    if seed % 2:
        return random.choice(extreme, (m, k)), random.choice(extreme, (n, k))
    return random.integers(-64, 64, (m, k), np.int8), random.integers(-64, 64, (n, k), np.int8)


def plain(a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
    return (a.astype(np.int64) @ b_t.astype(np.int64).T).astype(np.int32)


def product(m: int, n: int, k: int, index: int = 3) -> Product:
    return Product(index, 0, m, n, k, 0, 1, RANGE)


@settings(max_examples=25, deadline=None)
@given(
    m=st.integers(1, 70),
    n=st.integers(1, 40),
    k=st.integers(385, 1100),
    seed=st.integers(0, 1000),
    changes=st.lists(st.sampled_from([None, 0, 1]), min_size=1, max_size=8),
)
def test_every_row_is_multiplied_once_whatever_happens_to_the_templates(
    device: Device, m: int, n: int, k: int, seed: int, changes: list[int | None]
) -> None:
    number, stream = 0, list[Template | None]()
    for change in changes:
        number += change or 0
        stream.append(None if change is None else template(number))
    bench = Bench(device, chain(stream, repeat(stream[-1])))
    a, b_t = operands(m, n, k, seed)
    result = bench.products.product(product(m, n, k), a, b_t)
    assert result.dtype == np.int32
    assert np.array_equal(result, plain(a, b_t))
    mined = sorted((first, last) for _, first, last in bench.device.mined)
    assert all(before[1] <= after[0] for before, after in pairwise(mined))
    rows = sum(last - first for first, last in mined)
    assert rows + bench.device.plain_rows == -(-m // 16) * 16
    assert len(bench.scribe.won) == len(mined), "every ticket wins: one block for each batch"
    for _, work in bench.scribe.won:
        assert (work.tag.job_id, work.tag.op, work.tag.nonce) == (JOB, 3, bytes(8))
    assert bench.meter.counts.useful <= m * n * k


def test_b_is_noised_once_for_each_header(device: Device) -> None:
    stream = [template(i) for i in (0, 0, 0, 1, 1, 2)]
    bench = Bench(device, iter(stream))
    a, b_t = operands(96, 32, 512, 0)
    assert np.array_equal(bench.products.product(product(96, 32, 512), a, b_t), plain(a, b_t))
    assert bench.device.noised == [template(i).sigma for i in range(3)]
    assert [(first, last) for _, first, last in bench.device.mined] == [
        (row, row + 16) for row in range(0, 96, 16)
    ]


def test_a_batch_is_no_larger_than_a_part_of_a_block(device: Device) -> None:
    difficulty = 4 * 32 * 32 * 512
    bench = Bench(device, repeat(template(0, difficulty)))
    a, b_t = operands(70, 32, 512, 0)
    bench.products.product(product(70, 32, 512), a, b_t)
    assert [last - first for _, first, last in bench.device.mined] == [32, 32, 16]


def test_nothing_found_leaves_the_product_exact(device: Device) -> None:
    bench = Bench(device, repeat(template(0, NEVER)))
    a, b_t = operands(300, 48, 640, 1)
    assert np.array_equal(bench.products.product(product(300, 48, 640), a, b_t), plain(a, b_t))
    assert bench.scribe.won == []
    assert bench.meter.counts.useful == 300 * 48 * 640
    assert bench.meter.counts.tickets == 19 * 3


def test_the_zero_matrix_is_an_operand_like_any_other(device: Device) -> None:
    bench = Bench(device, repeat(template(0)))
    a, b_t = np.zeros((20, 512), np.int8), np.zeros((10, 512), np.int8)
    result = bench.products.product(product(20, 10, 512), a, b_t)
    assert not result.any()
    assert bench.scribe.won


@pytest.mark.parametrize("k", [1, 128, 384])
def test_short_products_are_multiplied_plainly(device: Device, k: int) -> None:
    bench = Bench(device, repeat(template(0)))
    a, b_t = operands(33, 7, k, 0)
    assert np.array_equal(bench.products.product(product(33, 7, k), a, b_t), plain(a, b_t))
    assert bench.device.mined == []
    assert bench.meter.counts.useful == 33 * 7 * k


def test_long_products_are_kept_as_the_settlement_posts_them(device: Device) -> None:
    bench = Bench(device, repeat(template(0, ALWAYS << 40)))
    a, b_t = operands(64, 96, 2048, 0)
    result = bench.products.product(product(64, 96, 2048, index=2), a, b_t)
    bench.products.product(product(64, 96, 2047, index=4), *operands(64, 96, 2047, 0))
    bench.products.product(product(17, 96, 2048, index=5), *operands(17, 96, 2048, 0))
    assert bench.products.posted == {2: result.astype("<i4").tobytes()}


def test_weights_are_committed_once_for_all_jobs(device: Device) -> None:
    bench = Bench(device, repeat(template(0)))
    a, b_t = operands(16, 16, 512, 0)
    bench.products.product(product(16, 16, 512), a, b_t)
    committed = bench.weights[3]
    bench.products.product(product(16, 16, 512), a, b_t)
    assert bench.weights[3] is committed


def test_a_weight_is_noised_once_for_all_jobs_under_one_header(device: Device) -> None:
    bench = Bench(device, chain(repeat(template(0), 2), repeat(template(1))))
    a, b_t = operands(16, 16, 512, 0)
    for _ in range(4):
        result = bench.products.product(product(16, 16, 512), a, b_t)
        assert np.array_equal(result, plain(a, b_t))
    assert bench.device.noised == [template(0).sigma, template(1).sigma]
    assert len(bench.scribe.won) == 4


def test_what_the_checkpoint_raises_ends_the_execution(device: Device) -> None:
    class Enough(Exception):
        pass

    def stream() -> Iterator[Template | None]:
        yield template(0)
        raise Enough

    bench = Bench(device, stream())
    with pytest.raises(Enough):
        bench.products.product(product(64, 16, 512), *operands(64, 16, 512, 0))
    assert len(bench.device.mined) == 1
