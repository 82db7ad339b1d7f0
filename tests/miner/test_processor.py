"""The CPU's description, and how many of its cores may be used."""

import os
from pathlib import Path

import pytest
from pouw.miner.processor import describe_processor, usable_cores

INTEL = """processor\t: 0
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu avx2 avx512_vnni{more}

processor\t: 1
model name\t: another
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (INTEL.format(more=""), "Intel(R) Xeon(R) Processor, int8 on AVX-512 VNNI"),
        (INTEL.format(more=" amx_int8"), "Intel(R) Xeon(R) Processor, int8 on AMX"),
        ("Model : Raspberry Pi 4\nFeatures : fp asimd\n", "Raspberry Pi 4"),
        ("Model : Board\nFeatures : fp asimddp\n", "Board, int8 on NEON dot products"),
    ],
)
def test_model_and_instructions_are_told(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert describe_processor(tmp_path / "cpuinfo") == expected


def test_without_facts_the_architecture_is_told(tmp_path: Path) -> None:
    assert describe_processor(tmp_path / "none") == os.uname().machine


def test_hardware_threads_of_a_core_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def four(_process: int) -> set[int]:
        return {0, 1, 2, 3}

    monkeypatch.setattr(os, "sched_getaffinity", four, raising=False)
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    quota = tmp_path / "cpu.max"
    assert usable_cores(tmp_path, quota) == 2
    assert usable_cores(tmp_path / "unknown", quota) == 4
    for text, expected in (("max 100000", 2), ("150000 100000", 1), ("50000 100000", 1)):
        quota.write_text(text + "\n")
        assert usable_cores(tmp_path, quota) == expected
