"""Figures of this machine."""

import threading

import pytest
from pouw.miner.bench import Interrupted, Row, measure, together
from pouw.miner.devices import Device


def test_a_row_names_its_shape_and_three_speeds(device: Device) -> None:
    (row,) = measure([device], (32, 64, 512), 2, threading.Event())
    assert (row["m"], row["n"], row["k"]) == (32, 64, 512)
    assert row["device"] == device.name
    speeds = [float(row[f"{kind}_macs_per_s"]) for kind in ("plain", "useful", "idle")]
    assert all(speed > 0 for speed in speeds)
    assert row["useful_ratio"] == pytest.approx(speeds[1] / speeds[0], abs=1e-3)
    assert row["idle_tickets_per_s"] == pytest.approx(speeds[2] / (256 * 512), abs=0.1)
    assert row["useful_tickets_per_s"] == pytest.approx(speeds[1] / (256 * 512), abs=0.1)
    assert float(row["verify_ms"]) > 0


def test_several_devices_have_a_row_each(device: Device) -> None:
    rows = measure([device, device], (16, 16, 256), 1, threading.Event())
    assert [row["device"] for row in rows] == [device.name] * 2


def test_measuring_ends_when_told(device: Device) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        measure([device], (16, 16, 256), 1, stop)


def test_devices_add_up_at_one_shape() -> None:
    figures = (("cpu", 256, 5), ("cuda:0", 256, 40), ("cpu", 512, 9), ("cuda:0", 512, 30))
    rows: list[Row] = [
        {"device": name, "m": 16, "n": 16, "k": k, "idle_macs_per_s": speed}
        for name, k, speed in figures
    ]
    assert together(rows) == 45
