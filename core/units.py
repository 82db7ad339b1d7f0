"""Money: 1 POUW = 10⁹ base units. Amounts are integers; text appears only at the edges."""

import re
from typing import Final

from .codec import MAX_INT
from .errors import UserError

BASE_UNITS_PER_POUW: Final = 10**9
_DECIMALS: Final = 9
_AMOUNT: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?")


def parse_amount(text: str) -> int:
    """Read a decimal amount of POUW ("1.5") into base units, exactly. Raises UserError."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise UserError(
            f"'{text}' is not an amount: write POUW with at most {_DECIMALS} decimals, like 1.5"
        )
    whole, fraction = match.group(1), match.group(2) or ""
    units = int(whole) * BASE_UNITS_PER_POUW + int(fraction.ljust(_DECIMALS, "0"))
    if units > MAX_INT:
        raise UserError(f"'{text}' is more POUW than can ever exist")
    return units


def format_amount(units: int) -> str:
    """Write base units as decimal POUW without trailing zeros: 1500000000 → "1.5"."""
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), BASE_UNITS_PER_POUW)
    digits = f"{fraction:0{_DECIMALS}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
