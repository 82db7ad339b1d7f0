"""Blocks go to miners in proportion to the work they do, by Pearson's chi-square test.

Two miners of different speed, each at a node of its own, on a network whose difficulty stands
still. What each has computed is read from its own metrics. `POUW_SHARE_BLOCKS` sets the length of
the run by hand; the few hundred blocks of a usual run tell 3:1 from 1:1 beyond any doubt.
"""

import os
import time
from pathlib import Path

import pytest
from pouw.devnet.cluster import Cluster
from pouw.devnet.process import free_port
from pouw.genesis import SPRINT
from pouw.tests.functional.metrics import macs_done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

BLOCKS = int(os.environ.get("POUW_SHARE_BLOCKS", "300"))
RATES = ("60M", "20M")
"""MAC/s: together almost five blocks a second."""
LIMIT = 15.14
"""A fair race exceeds this with probability 10⁻⁴ (one degree of freedom)."""
WAIT_SECONDS = 1000.0


def chi_square(counts: list[int], weights: list[float]) -> float:
    """Pearson's statistic of counts against shares in proportion to `weights`."""
    total = sum(counts)
    expected = [total * weight / sum(weights) for weight in weights]
    return sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))


def test_miners_win_in_proportion_to_their_work(tmp_path: Path) -> None:
    ports = [free_port() for _ in RATES]
    options = [
        ("--no-jobs", "--idle-rate", rate, "--metrics", str(port))
        for rate, port in zip(RATES, ports, strict=True)
    ]
    with Cluster(tmp_path / "net", 2, options, SPRINT) as cluster:
        cluster.start()
        client = cluster.nodes[0].client()
        first = client.call("getinfo")["height"]
        before = [macs_done(port) for port in ports]
        end = time.monotonic() + WAIT_SECONDS
        while (height := client.call("getinfo")["height"]) < first + BLOCKS:
            cluster.check_alive()
            assert time.monotonic() < end, f"{height - first} of {BLOCKS} blocks in time"
            time.sleep(0.2)
        work = [macs_done(port) - start for port, start in zip(ports, before, strict=True)]
        payouts = [
            client.call("getblock", height=number)["payout"]
            for number in range(first + 1, first + BLOCKS + 1)
        ]
        counts = [payouts.count(cluster.address(worker)) for worker in cluster.workers]
    assert sum(counts) == BLOCKS
    assert chi_square(counts, work) < LIMIT, f"blocks {counts} for MACs {work}"
    assert chi_square(counts, [1.0, 1.0]) > LIMIT, "equal luck would explain it as well"
    assert work[0] > 2 * work[1], "the miners were not of different speed"
