"""Choosing the exact multiplier: held to plain integers, and without torch where there is none."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.kernels.blas import BlasMultiplier
from pouw.node import multiplier as module
from pouw.node.multiplier import ExactMultiplier, chosen_multiplier, is_exact
from pouw.vm.multiplier import ReferenceMultiplier


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 700), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_chosen_multiplier_equals_plain_integers(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(-64, 64, (m, k), dtype=np.int8)
    b_t = rng.integers(-64, 64, (n, k), dtype=np.int8)
    product = ExactMultiplier().matmul(a, b_t)
    assert product.dtype == np.int32
    assert np.array_equal(product, ReferenceMultiplier().matmul(a, b_t))


class _OffByOne:
    """Right but for one element of a long product."""

    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        product = ReferenceMultiplier().matmul(a, b_t)
        if a.shape[1] > 4_000:
            product[-1, -1] += 1
        return product


def test_the_self_test_finds_a_wrong_multiplier() -> None:
    assert is_exact(ReferenceMultiplier())
    assert is_exact(BlasMultiplier())
    assert not is_exact(_OffByOne())


def test_an_inexact_torch_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        CpuMultiplier = _OffByOne

    def imports(*_: Any) -> type[Module]:
        return Module

    monkeypatch.setattr(module.importlib, "import_module", imports)
    assert isinstance(chosen_multiplier.__wrapped__(), BlasMultiplier)


def test_a_torch_that_does_not_load_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: str) -> None:
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(module.importlib, "import_module", fails)
    assert isinstance(chosen_multiplier.__wrapped__(), BlasMultiplier)


def test_a_machine_without_torch_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    def finds_nothing(_: str) -> None:
        return None

    monkeypatch.setattr(module, "find_spec", finds_nothing)
    assert isinstance(chosen_multiplier.__wrapped__(), BlasMultiplier)


def test_importing_the_node_does_not_import_torch() -> None:
    script = "import sys, pouw.node.service; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
