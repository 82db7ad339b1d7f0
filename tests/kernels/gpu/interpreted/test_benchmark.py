"""What the GPU benchmark times is checked first, and its checks find a wrong bit."""

import time
from collections.abc import Callable

import pytest
import torch
from pouw.benchmarks import matmul_cuda
from pouw.benchmarks.matmul_cuda import Case, WrongResult, row
from pouw.kernels.gpu.configurations import FLAT
from pouw.kernels.gpu.mining import Launched

SHAPE = (16, 48, 256)
KEYS = [
    "m",
    "n",
    "k",
    "plain_gops",
    "plain_triton_gops",
    "useful_gops",
    "idle_gops",
    "useful_ratio",
    "idle_ratio",
    "useful_vs_triton",
]


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(torch.device("cpu"), *SHAPE)


def test_a_row_is_checked_and_complete(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul_cuda, "_WARM_UPS", 0)
    found = row(case, 1, milliseconds)
    assert list(found) == KEYS
    assert [found[name] for name in "mnk"] == list(SHAPE)


def test_both_plain_products_are_the_denoised_one(case: Case) -> None:
    mined = case.useful(1)
    assert mined.how == FLAT
    assert mined.product is not None
    assert case.plain_triton().equal(mined.product)
    assert case.plain()[: SHAPE[0]].equal(mined.product)


@pytest.mark.parametrize(
    ("part", "what"),
    [("product", "denoised product"), ("lanes", "transcript"), ("won", "ticket")],
)
def test_one_wrong_bit_is_found(
    case: Case, part: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = case.useful

    def wrong(difficulty: int) -> Launched:
        launched = right(difficulty)
        tensor = getattr(launched, part)
        if part == "won":
            tensor[0] = 0
        else:
            tensor.view(-1)[0] ^= 1
        return launched

    monkeypatch.setattr(case, "useful", wrong)
    with pytest.raises(WrongResult, match=what):
        case.check()
