"""Amounts as programs write them: an integer of base units, or POUW as text."""

from typing import TypeAlias

from ..core.codec import MAX_INT
from ..core.errors import UserError
from ..core.units import format_amount, parse_amount

Amount: TypeAlias = int | str
"""Base units, or POUW as decimal text: 1_500_000_000 is "1.5"."""


def base_units(amount: Amount) -> int:
    """Return an amount in base units.

    Raises UserError for what is no amount; a float is none, because it would be rounded.
    """
    if isinstance(amount, str):
        return parse_amount(amount)
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise UserError(
            f"{amount!r} is not an amount: write base units as an integer, or POUW as text ('1.5')"
        )
    if not 0 <= amount <= MAX_INT:
        raise UserError(f"{amount} base units are not an amount: 0 to {MAX_INT}")
    return amount


def pouw(units: int) -> str:
    """Write base units for people."""
    return f"{format_amount(units)} POUW"
