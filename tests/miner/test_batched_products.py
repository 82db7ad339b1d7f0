"""A job's batched products: exact, multiplied plainly, counted, and broken off with the job."""

from itertools import repeat

import numpy as np
import pytest
from pouw.genesis import TINY
from pouw.miner.devices import Device
from pouw.miner.meter import Meter
from pouw.miner.mining_products import MiningProducts
from pouw.miner.noised import NoisedOperands
from pouw.miner.rate import SpeedGauge
from pouw.miner.templates import Template
from pouw.tests.miner.scribe import Scribe, Watched, template


class Ended(Exception):
    """The job is no longer ours."""


def products(device: Watched, scribe: Scribe, meter: Meter, ended: bool) -> MiningProducts:
    templates = repeat(template(0))

    def checkpoint() -> Template | None:
        if ended:
            raise Ended
        return next(templates)

    return MiningProducts(
        device=device,
        noised=NoisedOperands(device),
        solutions=scribe,
        meter=meter,
        gauge=SpeedGauge(),
        job=bytes(32),
        weights={},
        params=TINY,
        checkpoint=checkpoint,
    )


def test_batches_are_multiplied_plainly_and_not_posted(device: Device) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-64, 64, (6, 5, 512)).astype(np.int8)
    b_t = rng.integers(-64, 64, (3, 4, 512)).astype(np.int8)
    watched, scribe, meter = Watched(device), Scribe(), Meter()
    handler = products(watched, scribe, meter, ended=False)
    result = handler.batch(a, b_t)
    wide = a.reshape(2, 3, 5, 512).astype(np.int64) @ b_t.astype(np.int64).swapaxes(1, 2)
    assert result.dtype == np.int32 and np.array_equal(result, wide.reshape(6, 5, 4))
    assert watched.mined == [] and scribe.won == [] and handler.posted == {}
    assert meter.counts.useful == 6 * 5 * 4 * 512


def test_a_job_that_ended_is_not_multiplied_on(device: Device) -> None:
    watched = Watched(device)
    one = np.ones((1, 1, 1), np.int8)
    with pytest.raises(Ended):
        products(watched, Scribe(), Meter(), ended=True).batch(one, one)
    assert watched.plain_rows == 0
