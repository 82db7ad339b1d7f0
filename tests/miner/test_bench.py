"""Figures of this machine."""

import pytest
from pouw.miner.bench import measure
from pouw.miner.devices import Device


def test_a_row_names_its_shape_and_three_speeds(device: Device) -> None:
    row = measure(device, (32, 64, 512), 2)
    assert (row["m"], row["n"], row["k"]) == (32, 64, 512)
    speeds = [row[f"{kind}_macs_per_s"] for kind in ("plain", "useful", "idle")]
    assert all(speed > 0 for speed in speeds)
    assert row["useful_ratio"] == pytest.approx(speeds[1] / speeds[0], abs=1e-3)
