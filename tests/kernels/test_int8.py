"""Every way to multiply int8 is exact where it claims to be, and the self-test catches one that is
not."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.kernels.int8 import (
    MIN_DEPTH,
    exact_product,
    is_exact,
    product_direct,
    product_in_float64,
    product_in_halves,
)


def drawn(rows: int, k: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-128, 128, (rows, k), generator=generator, dtype=torch.int8)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(MIN_DEPTH, 400), st.integers(0, 2**32))
def test_products_equal_integer_arithmetic(m: int, n: int, k: int, seed: int) -> None:
    left, right_t = drawn(m, k, seed), drawn(n, k, seed + 1)
    expected = left.to(torch.int64) @ right_t.to(torch.int64).t()
    for way in (exact_product(), product_in_halves, product_in_float64):
        out = torch.full((m, n), 7, dtype=torch.int32)
        way(left, right_t, out)
        assert torch.equal(out.to(torch.int64), expected)


def test_halves_stay_within_seven_bits() -> None:
    """The halves of a full-range operand must be such that saturating hardware adds them right."""
    seen: list[torch.Tensor] = []
    values = torch.arange(-128, 128).to(torch.int8).reshape(1, -1)
    low = values >> 1
    seen += [low, values - low]
    for half in seen:
        assert int(half.min()) >= -64
        assert int(half.max()) <= 64
    assert torch.equal(seen[0] + seen[1], values)


def saturating(left: torch.Tensor, right_t: torch.Tensor, out: torch.Tensor) -> None:
    """What hardware without VNNI does: neighbouring products are added in saturating 16 bits."""
    shifted = left.to(torch.int64) + 128
    right = right_t.to(torch.int64)
    total = -128 * right.sum(dim=1).expand_as(out)
    for at in range(0, left.shape[1], 2):
        pair = shifted[:, at : at + 2] @ right[:, at : at + 2].t()
        total = total + pair.clamp(-(2**15), 2**15 - 1)
    out.copy_(total)


def test_self_test_rejects_saturating_hardware() -> None:
    assert not is_exact(saturating)
    assert is_exact(product_in_float64)
    assert is_exact(exact_product())


def test_halves_are_exact_on_saturating_hardware() -> None:
    left, right_t = drawn(9, 64, 1), drawn(8, 64, 2)
    left[0], right_t[0] = -128, 127
    left[1], right_t[1] = 127, -128
    low = right_t >> 1
    expected = torch.empty((9, 8), dtype=torch.int32)
    first, second = torch.empty_like(expected), torch.empty_like(expected)
    product_in_float64(left, right_t, expected)
    saturating(left, low, first)
    saturating(left, right_t - low, second)
    assert torch.equal(first + second, expected)


def test_direct_agrees_within_seven_bits() -> None:
    left, right_t = drawn(33, 200, 3), drawn(40, 200, 4) >> 1
    expected, actual = (torch.empty((33, 40), dtype=torch.int32) for _ in range(2))
    product_in_float64(left, right_t, expected)
    product_direct(left, right_t, actual)
    assert torch.equal(actual, expected)
