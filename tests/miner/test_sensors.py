"""What a machine tells of its devices: read, cached, or unknown, never an error."""

from pathlib import Path

import pytest
from pouw.miner.sensors import CACHE_SECONDS, UNKNOWN, CpuSensor, NvidiaSensor, Reading, Sensors


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def hwmon(root: Path, number: int, driver: str, *millidegrees: str) -> None:
    folder = root / f"sys/class/hwmon/hwmon{number}"
    write(folder / "name", f"{driver}\n")
    for index, value in enumerate(millidegrees, 1):
        write(folder / f"temp{index}_input", f"{value}\n")


def stat(root: Path, *ticks: int) -> None:
    write(root / "proc/stat", f"cpu  {' '.join(map(str, ticks))}\ncpu0 1 2 3 4\n")


def test_the_hottest_core_counts_and_other_chips_do_not(tmp_path: Path) -> None:
    hwmon(tmp_path, 0, "nvme", "80000")
    hwmon(tmp_path, 1, "coretemp", "51000", "64500", "60000")
    assert CpuSensor(tmp_path).read().celsius == 64.5


def test_thermal_zones_are_asked_where_no_driver_is(tmp_path: Path) -> None:
    hwmon(tmp_path, 0, "nvme", "80000")
    for number, (kind, value) in enumerate([("acpitz", "27800"), ("x86_pkg_temp", "45000")]):
        write(tmp_path / f"sys/class/thermal/thermal_zone{number}/type", kind)
        write(tmp_path / f"sys/class/thermal/thermal_zone{number}/temp", value)
    assert CpuSensor(tmp_path).read().celsius == 45.0


@pytest.mark.parametrize("nonsense", ["", "hot", "-128000", "255000", "9" * 400, "\xff"])
def test_what_cannot_be_a_temperature_is_unknown(tmp_path: Path, nonsense: str) -> None:
    hwmon(tmp_path, 0, "k10temp", nonsense)
    assert CpuSensor(tmp_path).read().celsius is None


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert Sensors(tmp_path).read("cpu") == UNKNOWN


def test_utilisation_is_of_the_time_since_the_last_look(tmp_path: Path) -> None:
    stat(tmp_path, 100, 0, 100, 700, 100, 0, 0, 0, 55, 0)
    sensor = CpuSensor(tmp_path)
    stat(tmp_path, 160, 0, 115, 715, 110, 0, 0, 0, 99, 0)
    assert sensor.read().utilisation == pytest.approx(0.75)
    assert sensor.read().utilisation is None, "no time has passed"
    write(tmp_path / "proc/stat", "cpu much\n")
    assert sensor.read().utilisation is None


def test_a_reading_is_kept_for_a_while(tmp_path: Path) -> None:
    hwmon(tmp_path, 0, "coretemp", "50000")
    clock = Clock()
    sensors = Sensors(tmp_path, clock)
    assert sensors.read("cpu").celsius == 50
    hwmon(tmp_path, 0, "coretemp", "60000")
    clock.now += CACHE_SECONDS / 2
    assert sensors.read("cpu:1").celsius == 50, "all CPUs share one reading"
    clock.now += CACHE_SECONDS
    assert sensors.read("cpu").celsius == 60


def test_a_sensor_that_vanishes_becomes_unknown(tmp_path: Path) -> None:
    hwmon(tmp_path, 0, "coretemp", "50000")
    sensor = CpuSensor(tmp_path)
    assert sensor.read() == Reading(celsius=50.0)
    (tmp_path / "sys/class/hwmon/hwmon0/temp1_input").unlink()
    assert sensor.read() == UNKNOWN


@pytest.mark.parametrize("device", ["cuda:99", "cuda:x", "abacus", ""])
def test_devices_that_are_not_there_are_unknown(device: str) -> None:
    assert Sensors().read(device) == UNKNOWN


def test_a_gpu_that_is_not_there_is_unknown() -> None:
    assert NvidiaSensor(99).read() == UNKNOWN


def test_this_machine_is_read_without_trouble() -> None:
    reading = Sensors().read("cpu")
    assert reading.celsius is None or -50 < reading.celsius < 200
    assert reading.utilisation is None or 0 <= reading.utilisation <= 1
