"""The kernels compile for GPUs that are not there, and the machine code is what was designed."""

from pathlib import Path
from typing import Any

import pytest
from pouw.consensus.ticket.constants import MAX_DEPTH
from pouw.kernels.gpu.denoise import exact_kernel, selected_sums_kernel
from pouw.kernels.gpu.noise import add_noise_kernel, draw_left_kernel
from pouw.kernels.gpu.product import (
    SQUARE_HOPPER,
    Configuration,
    configuration,
    lanes_kernel,
    launch,
    plain_kernel,
)
from pouw.kernels.gpu.tickets import winning_kernel
from pouw.tests.kernels.gpu.compiling import Compiled, compiled

SHARED_LIMITS = {80: 163 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10}
"""Largest shared memory of a block by compute capability (CUDA C++ Programming Guide)."""
CASES = [(80, 16), (80, 64), (80, 4096), (89, 4096), (90, 16), (90, 64), (90, 4096), (100, 4096)]
"""(capability, rows): each way to cut up a product on the two architectures it is tuned for."""
SIZES = {"m": "i32", "n": "i32", "k": "i32"}
OPERANDS = {"a": "*i8", "b": "*i8"}
FACTORS = {f"{side}_{part}": "*i8" for side in "ab" for part in ("negated", "low", "high")}
PRODUCTS = {
    "plain": (plain_kernel, {**OPERANDS, "product": "*i32", **SIZES}),
    "lanes": (lanes_kernel, {**OPERANDS, "lanes": "*i32", **SIZES}),
    "exact": (exact_kernel, {**OPERANDS, **FACTORS, "lanes": "*i32", "product": "*i32", **SIZES}),
}
SMALL = [
    (draw_left_kernel, 128, {"seed": "*i32", "left": "*i32", "first": "i32", "rows": "i32"}),
    (
        add_noise_kernel,
        32,
        {"operand": "*i8", "stride": "i32", "left": "*i8", "orders": "*i32", "noised": "*i8"}
        | {"rows": "i32", "k": "i32"},
    ),
    (
        selected_sums_kernel,
        16,
        {"operand": "*i8", "inverse": "*i32", "low": "*i8", "high": "*i8"}
        | {"rows": "i32", "slabs": "i32"},
    ),
    (
        winning_kernel,
        64,
        {"seed": "*i32", "limit": "*i32", "lanes": "*i32", "wins": "*i8"}
        | {"first_row": "i32", "columns": "i32", "tiles": "i32"},
    ),
]


def product(name: str, how: Configuration, capability: int, folder: Path) -> Compiled:
    kernel, types = PRODUCTS[name]
    constants = launch(how)
    warps, stages = constants.pop("num_warps"), constants.pop("num_stages")
    return compiled(kernel, types, constants, capability, folder, warps, stages)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(("capability", "rows"), CASES)
def test_products_fit_the_machine(name: str, capability: int, rows: int, tmp_path: Path) -> None:
    """No configuration spills, exceeds shared memory or moves lanes between threads."""
    built = product(name, configuration(rows, capability // 10), capability, tmp_path)
    assert built.stack == 0
    assert built.shared <= SHARED_LIMITS[capability]
    assert built.counts["IGMMA"] + built.counts["IMMA"] > 0
    assert built.counts["SHFL"] == 0


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("rows", [64, 4096])
def test_hopper_multiplies_by_warp_groups(name: str, rows: int, tmp_path: Path) -> None:
    built = product(name, configuration(rows, 9), 90, tmp_path)
    assert built.counts["IGMMA"] > 0
    assert built.counts["IMMA"] == 0
    assert "wgmma.mma_async.sync.aligned" in built.ptx
    assert ".s32.s8.s8" in built.ptx


@pytest.mark.parametrize("name", PRODUCTS)
def test_two_blocks_share_a_hopper_multiprocessor(name: str, tmp_path: Path) -> None:
    """65 536 registers and 228 KB, of which each block reserves 1 KB."""
    built = product(name, SQUARE_HOPPER, 90, tmp_path)
    assert 2 * built.registers * 32 * SQUARE_HOPPER.warps <= 65_536
    assert 2 * (built.shared + 1024) <= 228 << 10


def test_ampere_saturates_and_the_depth_makes_that_harmless(tmp_path: Path) -> None:
    """Every partial sum of int8 products over k ≤ 16 384 is at most k · 128 · 128 = 2²⁸ in size."""
    built = product("lanes", configuration(4096, 8), 80, tmp_path)
    assert "satfinite" in built.ptx
    assert MAX_DEPTH * 128 * 128 == 2**28 < 2**31


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(("kernel", "block", "types"), SMALL)
def test_small_kernels_stay_in_registers(
    kernel: Any, block: int, types: dict[str, str], capability: int, tmp_path: Path
) -> None:
    built = compiled(kernel, types, {"BLOCK": block}, capability, tmp_path)
    assert built.stack == 0
    assert built.counts["SHFL"] == 0
