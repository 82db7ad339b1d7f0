"""The CPU: its model, how it multiplies int8, and how many cores this process may use."""

import os
import platform
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_TOPOLOGY: Final = Path("/sys/devices/system/cpu")
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
_INSTRUCTIONS: Final = (
    ("amx_int8", "AMX"),
    ("avx512_vnni", "AVX-512 VNNI"),
    ("avx_vnni", "AVX VNNI"),
    ("avx2", "AVX2"),
    ("i8mm", "I8MM"),
    ("asimddp", "NEON dot products"),
)
"""Flags of /proc/cpuinfo and the int8 instructions they announce, the fastest first."""
_MODEL_KEYS: Final = ("model name", "Model")
_FLAG_KEYS: Final = ("flags", "Features")


def describe_processor(cpuinfo: Path = _CPUINFO) -> str:
    """Return the CPU's model and the best int8 instructions that it has."""
    facts = _facts(cpuinfo)
    model = next((facts[key] for key in _MODEL_KEYS if key in facts), platform.machine())
    flags = " ".join(facts.get(key, "") for key in _FLAG_KEYS).split()
    for flag, name in _INSTRUCTIONS:
        if flag in flags:
            return f"{model}, int8 on {name}"
    return model


def usable_cores(topology: Path = _TOPOLOGY, quota: Path = _QUOTA) -> int:
    """Return the physical cores that this process may run on, at least 1.

    Two hardware threads of one core share its multipliers and count once; a container's share of
    the machine's time is a bound as well.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    numbers = range(os.cpu_count() or 1) if affinity is None else affinity(0)
    cores = {_siblings(topology, number) for number in numbers}
    return max(1, min(len(cores), _allowance(quota)))


def _siblings(topology: Path, number: int) -> str:
    try:
        return (topology / f"cpu{number}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)


def _allowance(quota: Path) -> int:
    """Return the whole cores of a control group's quota ("200000 100000"); none is no bound."""
    try:
        granted, period = quota.read_text().split()
        return int(granted) // int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return 1 << 16


def _facts(cpuinfo: Path) -> dict[str, str]:
    """Return the first value of each key; the cores of one machine hardly differ."""
    facts: dict[str, str] = {}
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return facts
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            facts.setdefault(key.strip(), value.strip())
    return facts
