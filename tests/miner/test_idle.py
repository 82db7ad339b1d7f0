"""Idle mining: shapes on the grid, valid proofs, fresh nonces, a cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus.ticket.constants import MAX_DEPTH, MAX_ROWS, MIN_DEPTH, RANK, TILE
from pouw.miner.devices import GPU_IDLE_COLUMNS, Device
from pouw.miner.idle import BATCH_SECONDS, IdleMiner, idle_shape
from pouw.miner.meter import Meter
from pouw.miner.rate import TokenBucket
from pouw.tests.miner.scribe import ALWAYS, NEVER, Scribe, Watched, template

SMALLEST = TILE * TILE * MIN_DEPTH


@given(st.integers(0, 10**16), st.sampled_from([16, 2048, 16384]))
def test_shapes_lie_on_the_grid_and_within_the_budget(budget: int, columns: int) -> None:
    shape = idle_shape(budget, columns)
    assert shape.m % TILE == shape.n % TILE == shape.k % RANK == 0
    assert shape.m <= MAX_ROWS
    assert shape.n <= columns
    assert shape.k <= MAX_DEPTH
    macs = shape.m * shape.n * shape.k
    assert SMALLEST <= macs <= max(budget, SMALLEST)
    assert macs * 4 > min(budget, MAX_ROWS * shape.n * shape.k), "and use most of it"


def test_a_batch_of_a_fast_gpu_takes_as_long_as_one_of_a_slow_cpu() -> None:
    budget = int(BATCH_SECONDS * 10**15)
    shape = idle_shape(budget, GPU_IDLE_COLUMNS)
    assert shape.m * shape.n * shape.k > 0.9 * budget


def test_winners_are_valid_and_nonces_differ(device: Device) -> None:
    scribe, meter = Scribe(), Meter()
    miner = IdleMiner(device, scribe, meter, None)
    for number in range(6):
        miner.mine(template(number // 3))
    assert len(scribe.won) == 6
    nonces = [int.from_bytes(work.tag.nonce, "little") for _, work in scribe.won]
    first = nonces[0]
    assert nonces == [(first + i) % 2**64 for i in range(6)]
    assert meter.counts.idle == 6 * SMALLEST
    assert meter.counts.tickets == 6
    assert meter.counts.useful == 0


def test_b_is_noised_once_for_each_header(device: Device) -> None:
    watched = Watched(device)
    miner = IdleMiner(watched, Scribe(), Meter(), None)
    for number in (0, 0, 1, 1, 1):
        miner.mine(template(number, ALWAYS))
    assert watched.noised == [template(0).sigma, template(1).sigma]


@pytest.mark.parametrize("rate", [1_000_000, 50_000_000])
def test_a_cap_bounds_the_batch_and_asks_for_patience(device: Device, rate: int) -> None:
    meter = Meter()
    miner = IdleMiner(device, Scribe(), meter, TokenBucket(rate))
    assert miner.delay() == 0
    batches = 0
    while miner.delay() == 0:
        miner.mine(template(0, NEVER))
        batches += 1
    assert meter.counts.idle // batches <= rate * 0.1
    assert 0 < miner.delay() <= 0.1
    free = IdleMiner(device, Scribe(), Meter(), None)
    free.mine(template(0, NEVER))
    assert free.delay() == 0
