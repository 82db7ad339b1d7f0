"""A device is opened only if every byte it computes in the self-test is right."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pouw.consensus.ticket import Operand, Tag
from pouw.core.errors import UserError
from pouw.core.hashing import digest
from pouw.kernels.gpu import checking, mining
from pouw.kernels.gpu.configurations import Configuration, Family, candidates
from pouw.kernels.gpu.selftest import SHAPES
from pouw.kernels.gpu.tuning import tuner
from pouw.miner.devices import open_gpu

CPU = torch.device("cpu")


def test_a_right_device_is_opened_and_mines() -> None:
    device = open_gpu("cuda:0", CPU)
    generator = np.random.default_rng(5)
    a, b = (Operand.commit(generator.integers(-64, 64, (16, 256), np.int8)) for _ in range(2))
    expected = a.values.astype(np.int64) @ b.values.astype(np.int64).T
    assert device.name == "cuda:0"
    assert np.array_equal(device.multiplier.matmul(a.values, b.values), expected)
    noised = device.noise_b(digest("header", b"x"), b, 16, 256)
    mined = noised.start(16, a.tree.root, Tag(), 1).mine_rows(a.values, 0, 16)
    assert mined.product is not None
    assert np.array_equal(mined.product, expected)
    assert len(mined.winners) == 1
    idle = device.noise_b(digest("header", b"x"), None, 16, 256).start(16, bytes(32), Tag(), 1)
    assert idle.mine_rows(None, 0, 16).product is None


@pytest.mark.parametrize("family", Family)
def test_every_list_of_candidates_is_exercised(family: Family) -> None:
    chosen = {candidates(family, shape.m) for shape in SHAPES}
    assert chosen == {candidates(family, rows) for rows in range(16, 1024, 16)}


def one_bit_off(result: torch.Tensor) -> torch.Tensor:
    result.view(-1)[-1] ^= 1
    return result


def one_product_bit_off(result: tuple[torch.Tensor, torch.Tensor]) -> object:
    return result[0], one_bit_off(result[1])


def one_winner_short(result: torch.Tensor) -> torch.Tensor:
    return result[:-1]


@pytest.mark.parametrize(
    ("step", "fault", "what"),
    [
        ("plain_product", one_bit_off, "a plain product"),
        ("add_noise", one_bit_off, "the tickets"),
        ("winning_tiles", one_winner_short, "the tickets"),
        ("exact_product", one_product_bit_off, "a denoised product"),
    ],
)
def test_one_wrong_bit_anywhere_refuses_the_device(
    step: str, fault: Callable[..., object], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(mining, step)

    def wrong(*arguments: object) -> object:
        return fault(right(*arguments))

    monkeypatch.setattr(mining, step, wrong)
    with pytest.raises(UserError, match=rf"^device cuda:0: it computes {what} .*--device cpu$"):
        open_gpu("cuda:0", CPU)


def test_a_configuration_that_is_not_exact_refuses_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = checking.plain_product

    def wrong(a: torch.Tensor, b_t: torch.Tensor, how: Configuration) -> torch.Tensor:
        return one_bit_off(right(a, b_t, how))

    monkeypatch.setattr(checking, "plain_product", wrong)
    tuner.cache_clear()
    with pytest.raises(UserError, match="it computes plain products in blocks of 16×64 diff"):
        open_gpu("cuda:0", CPU)


def test_kernels_that_do_not_run_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(mining, "plain_product", broken)
    with pytest.raises(UserError, match=r"do not run here \(no compiler\); use --device cpu$"):
        open_gpu("cuda:0", CPU)
