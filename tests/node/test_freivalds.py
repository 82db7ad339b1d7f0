"""Choosing the thin products: held to plain integers, and without LLVM where there is none."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.consensus.freivalds import COLUMNS, PlainThinProducts, product_is_right
from pouw.kernels.blas import BlasThinProducts
from pouw.node import freivalds as module
from pouw.node.freivalds import ExactThinProducts, chosen_thin_products, is_exact


def test_the_chosen_products_check() -> None:
    rng = np.random.default_rng(1)
    a, b_t = (rng.integers(-64, 64, (rows, 300), np.int8) for rows in (20, 70))
    r = rng.integers(-128, 128, (70, COLUMNS), np.int8)
    c = (a.astype(np.int64) @ b_t.astype(np.int64).T).astype(np.int32)
    assert product_is_right(ExactThinProducts(), a, b_t, c, r)
    c[19, 69] ^= 1
    assert not product_is_right(ExactThinProducts(), a, b_t, c, r)


class _NoWeight(PlainThinProducts):
    def of_weight(self, b_t: NDArray[np.int8], r: NDArray[np.int8]) -> NDArray[np.int64]:
        return super().of_weight(b_t, r).astype(np.int16).astype(np.int64)


class _NarrowOperand(PlainThinProducts):
    def of_operand(self, a: NDArray[np.int8], b_r: NDArray[np.int64]) -> NDArray[np.int64]:
        return super().of_operand(a, b_r).astype(np.int32).astype(np.int64)


class _NarrowResult(PlainThinProducts):
    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        return super().of_result(c, r).astype(np.int32).astype(np.int64)


@pytest.mark.parametrize("wrong", [_NoWeight, _NarrowOperand, _NarrowResult])
def test_the_self_test_finds_what_wraps(wrong: type[PlainThinProducts]) -> None:
    assert is_exact(PlainThinProducts())
    assert is_exact(BlasThinProducts())
    assert not is_exact(wrong())


def test_inexact_code_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        native_thin_products = _NarrowResult

    def imports(*_: Any) -> type[Module]:
        return Module

    monkeypatch.setattr(module.importlib, "import_module", imports)
    assert isinstance(chosen_thin_products.__wrapped__(), BlasThinProducts)


def test_code_that_does_not_load_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: str) -> None:
        raise OSError("libllvmlite.so: cannot open shared object file")

    monkeypatch.setattr(module.importlib, "import_module", fails)
    assert isinstance(chosen_thin_products.__wrapped__(), BlasThinProducts)


def test_a_machine_without_llvm_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def finds_nothing(_: str) -> None:
        return None

    monkeypatch.setattr(module, "find_spec", finds_nothing)
    assert isinstance(chosen_thin_products.__wrapped__(), BlasThinProducts)


def test_importing_the_node_compiles_nothing() -> None:
    script = "import sys, pouw.node.service; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
