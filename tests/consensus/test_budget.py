"""The checking that one block may ask for."""

import pytest
from pouw.consensus.budget import Budget
from pouw.core.errors import RuleViolation
from pouw.genesis import TINY

MACS, BYTES = TINY.block_check_macs, TINY.block_check_bytes


@pytest.mark.parametrize(
    ("first", "second"),
    [((MACS, 0), (1, 0)), ((0, BYTES), (0, 1)), ((0, 0), (MACS + 1, 0)), ((1, 1), (0, BYTES))],
)
def test_neither_currency_may_be_overdrawn(first: tuple[int, int], second: tuple[int, int]) -> None:
    budget = Budget(TINY)
    budget.spend(*first)
    with pytest.raises(RuleViolation) as caught:
        budget.spend(*second)
    assert caught.value.rule == "block-budget"


def test_a_refused_request_takes_nothing() -> None:
    budget = Budget(TINY)
    with pytest.raises(RuleViolation):
        budget.spend(MACS, BYTES + 1)
    budget.spend(MACS, BYTES)
