"""Paying."""

from ..core.errors import RuleViolation
from ..core.transaction import Transfer
from .state import State


def apply_transfer(state: State, sender: bytes, body: Transfer) -> None:
    """Move money to every output. Raises RuleViolation "transfer-empty", "transfer-zero"."""
    if not body.outputs:
        raise RuleViolation("transfer-empty", "a transfer needs an output")
    if any(output.amount == 0 for output in body.outputs):
        raise RuleViolation("transfer-zero", "an output of nothing")
    state.debit(sender, sum(output.amount for output in body.outputs), "the transfer")
    for output in body.outputs:
        state.credit(output.to, output.amount)
