"""The kernels compile for GPUs that are not there, and the machine code is what was designed."""

from collections import Counter
from functools import cache
from typing import Any

import pytest
from pouw.consensus.ticket.constants import MAX_DEPTH
from pouw.kernels.gpu.configurations import (
    SQUARE,
    SQUARE_HOPPER,
    Configuration,
    Family,
    legal,
)
from pouw.kernels.gpu.denoise import exact_kernel, selected_sums_kernel
from pouw.kernels.gpu.noise import (
    add_noise_kernel,
    draw_keys_kernel,
    draw_left_kernel,
    noise_kernel,
    rank_kernel,
)
from pouw.kernels.gpu.product import folding, lanes_kernel, launch, plain_kernel
from pouw.kernels.gpu.tickets import winning_kernel
from pouw.tests.kernels.gpu.compiling import Compiled, compiled, compiled_for_amd

SHARED_LIMITS = {80: 163 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10}
"""Largest shared memory of a block by compute capability (CUDA C++ Programming Guide)."""
AMD_SHARED_LIMIT = 64 << 10
"""Of gfx942 (AMD Instinct MI300 instruction set architecture, local data share)."""
CASES = [
    *(
        (capability, how)
        for capability in (80, 90)
        for how in legal(Family.HOPPER if capability == 90 else Family.NVIDIA)
    ),
    (89, SQUARE),
    (100, SQUARE),
]
"""(capability, configuration): all there are on the architectures they are made for, the largest on
two more."""
SIZES = {"m": "i32", "n": "i32", "k": "i32"}
OPERANDS = {"a": "*i8", "b": "*i8"}
FACTORS = {f"{side}_{part}": "*i8" for side in "ab" for part in ("negated", "low", "high")}
PRODUCTS = {
    "plain": (plain_kernel, {**OPERANDS, "product": "*i32", **SIZES}),
    "lanes": (lanes_kernel, {**OPERANDS, "lanes": "*i32", **SIZES}),
    "exact": (exact_kernel, {**OPERANDS, **FACTORS, "lanes": "*i32", "product": "*i32", **SIZES}),
}
FOLDING = ("lanes", "exact")
SMALL: list[tuple[Any, dict[str, int], dict[str, str]]] = [
    (
        draw_left_kernel,
        {"BLOCK": 256},
        {"seed": "*i32", "left": "*i32", "first": "i32", "rows": "i32"},
    ),
    (draw_keys_kernel, {"BLOCK": 256}, {"seed": "*i32", "keys": "*i32", "slabs": "i32"}),
    (rank_kernel, {}, {"keys": "*i32", "orders": "*i32", "inverse": "*i32"}),
    (
        noise_kernel,
        {"BLOCK": 32},
        {"left": "*i8", "orders": "*i32", "noised": "*i8", "rows": "i32", "k": "i32"},
    ),
    (
        add_noise_kernel,
        {"BLOCK": 32},
        {"operand": "*i8", "left": "*i8", "orders": "*i32", "noised": "*i8"}
        | {"rows": "i32", "k": "i32"},
    ),
    (
        selected_sums_kernel,
        {"BLOCK": 16},
        {"operand": "*i8", "inverse": "*i32", "low": "*i8", "high": "*i8"}
        | {"rows": "i32", "slabs": "i32"},
    ),
    (
        winning_kernel,
        {"BLOCK": 64},
        {"seed": "*i32", "limit": "*i32", "lanes": "*i32", "won": "*i32"}
        | {"first_row": "i32", "columns": "i32", "tiles": "i32"},
    ),
]


def keywords(name: str, how: Configuration, kind: Family) -> tuple[dict[str, Any], int, int]:
    """Return a product kernel's constants, warps and stages, as its launcher passes them."""
    constants = launch(how) if name == "plain" else folding(how, kind)
    return constants, constants.pop("num_warps"), constants.pop("num_stages")


def family_of(capability: int) -> Family:
    return Family.HOPPER if capability == 90 else Family.NVIDIA


@cache
def product(name: str, how: Configuration, capability: int) -> Compiled:
    kernel, types = PRODUCTS[name]
    constants, warps, stages = keywords(name, how, family_of(capability))
    return compiled(kernel, types, constants, capability, warps, stages)


@pytest.mark.parametrize(
    ("name", "capability", "how"),
    [
        (name, capability, how)
        for capability, how in CASES
        for name in PRODUCTS
        if name != "plain" or how == SQUARE_HOPPER  # it is a part of the others
    ],
)
def test_products_fit_the_machine(name: str, capability: int, how: Configuration) -> None:
    """No configuration spills, exceeds shared memory or moves lanes between threads."""
    built = product(name, how, capability)
    assert built.stack == 0
    assert built.shared <= SHARED_LIMITS[capability]
    assert built.counts["IGMMA"] + built.counts["IMMA"] > 0
    assert built.counts["SHFL"] == 0


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("plain", SQUARE_HOPPER),
        *((name, how) for name in FOLDING for how in legal(Family.HOPPER) if how.rows >= 64),
    ],
)
def test_hopper_multiplies_by_warp_groups(name: str, how: Configuration) -> None:
    built = product(name, how, 90)
    assert built.counts["IGMMA"] > 0
    assert built.counts["IMMA"] == 0
    assert "wgmma.mma_async.sync.aligned" in built.ptx
    assert ".s32.s8.s8" in built.ptx


@pytest.mark.parametrize("name", FOLDING)
@pytest.mark.parametrize("capability", [80, 90])
def test_folding_a_slab_takes_half_an_instruction_a_sum(name: str, capability: int) -> None:
    """Four XORs of three for the eight sums of a lane, one turn, and nothing through memory."""
    for how in legal(family_of(capability)):
        if how.rows < 64:
            continue
        built = product(name, how, capability)
        sums = how.rows * how.columns // (32 * how.warps)
        folds = Counter(built.loop)
        assert sums // 2 <= folds["LOP3"] <= sums // 2 + 4
        assert folds["STS"] + folds["STSM"] == 0


@pytest.mark.parametrize("name", PRODUCTS)
def test_two_blocks_share_a_hopper_multiprocessor(name: str) -> None:
    """65 536 registers and 228 KB, of which each block reserves 1 KB."""
    built = product(name, SQUARE_HOPPER, 90)
    assert 2 * built.registers * 32 * SQUARE_HOPPER.warps <= 65_536
    assert 2 * (built.shared + 1024) <= 228 << 10


def test_ampere_saturates_and_the_depth_makes_that_harmless() -> None:
    """Every partial sum of int8 products over k ≤ 16 384 is at most k · 128 · 128 = 2²⁸ in size."""
    assert "satfinite" in product("lanes", SQUARE, 80).ptx
    assert MAX_DEPTH * 128 * 128 == 2**28 < 2**31


@pytest.mark.parametrize("name", FOLDING)
@pytest.mark.parametrize("how", legal(Family.AMD))
def test_amd_multiplies_on_matrix_cores_and_keeps_its_registers(
    name: str, how: Configuration
) -> None:
    kernel, types = PRODUCTS[name]
    built = compiled_for_amd(kernel, types, *keywords(name, how, Family.AMD))
    assert built.spills == built.scratch == 0
    assert built.shared <= AMD_SHARED_LIMIT
    assert "v_mfma_i32_" in built.assembly


@pytest.mark.parametrize(("kernel", "constants", "types"), SMALL)
def test_small_kernels_stay_in_registers(
    kernel: Any, constants: dict[str, int], types: dict[str, str]
) -> None:
    assert compiled(kernel, types, constants, 90).stack == 0
