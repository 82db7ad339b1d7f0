"""Types of parameters: the form is checked before a method runs."""

from typing import Annotated, Any, Final, TypeAlias

import msgspec

from ...core.codec import U63
from .errors import Code, RpcFailure

Answer: TypeAlias = dict[str, Any]
"""A JSON object."""

HexHash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""Thirty-two bytes."""
Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]*\Z")]
"""Any bytes; the request's size bounds them."""
AddressText = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""bech32m."""
Height = U63
Natural = U63

MAX_LISTED: Final = 1_000
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LISTED)]
"""How many entries of a list to return at most."""


def unhex(name: str, text: str) -> bytes:
    """Read a `Hex` parameter. Raises RpcFailure on half a byte."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise RpcFailure(
            Code.INVALID_PARAMS, f"{name} has an odd number of hexadecimal digits"
        ) from None
