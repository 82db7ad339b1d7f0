"""What people type, read into values: ids, payments, royalties, licences."""

import errno
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click

from ..core.errors import UserError
from ..core.hashing import Hash
from ..core.keys import parse_address
from ..core.transaction import MAX_LICENCE_CHARS
from ..core.units import parse_amount
from ..genesis import Params
from ..wallet.private_file import read_bounded

_ID: Final = re.compile(r"[0-9a-f]{64}")
_PERCENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%?")
_FILE_NAME: Final = re.compile(r"(?!\w+:)\S*(?:/|\.(?:txt|md|rst|html|pdf))", re.IGNORECASE)
"""A file rather than a text or a URL."""
_MAX_LICENCE_BYTES: Final = 4 * MAX_LICENCE_CHARS  # UTF-8


def parse_id(text: str, what: str) -> Hash:
    """Read the id of `what` ("a job"): 64 hex digits. Raises UserError."""
    lowered = text.strip().lower()
    if not _ID.fullmatch(lowered):
        raise UserError(f"'{text}' is not the id of {what}: it has 64 hex digits")
    return bytes.fromhex(lowered)


def parse_payments(params: Params, words: Sequence[str]) -> list[tuple[bytes, int]]:
    """Read TO AMOUNT TO AMOUNT … into (address, base units). Raises UserError, UsageError."""
    if len(words) % 2:
        raise click.UsageError(f"write TO AMOUNT for each payment: '{words[-1]}' stands alone")
    return [
        (parse_address(to, params.address_prefix), parse_amount(amount))
        for to, amount in zip(words[::2], words[1::2], strict=True)
    ]


def parse_royalties(params: Params, shares: Iterable[str]) -> list[tuple[bytes, int]]:
    """Read each ADDRESS=PERCENT into (address, basis points). Raises UserError."""
    royalties: dict[bytes, int] = {}
    for share in shares:
        to, separator, percent = share.partition("=")
        match = _PERCENT.fullmatch(percent.strip())
        if not separator or match is None:
            raise UserError(f"'{share}' is not a royalty: write ADDRESS=PERCENT, like {to}=2.5")
        address = parse_address(to, params.address_prefix)
        if address in royalties:
            raise UserError(f"'{to}' has two royalties: add them up")
        royalties[address] = 100 * int(match[1]) + int((match[2] or "").ljust(2, "0"))
    return list(royalties.items())


def read_licence(text: str) -> str:
    """Return the content of the file of this name, or the text itself.

    Raises UserError also for what looks like the name of a file that is not there: a licence
    cannot be corrected once it is registered.
    """
    try:
        if Path(text).is_file():
            text = read_bounded(Path(text), _MAX_LICENCE_BYTES).decode().strip()
        elif _FILE_NAME.fullmatch(text):
            raise UserError(f"there is no licence file {text}")
    except UnicodeDecodeError:
        raise UserError(f"the licence in {text} is not UTF-8 text") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # too long for a name, hence a text
            raise UserError(f"cannot read {text}: {error.strerror}") from None
    if not text.isascii():
        _require_unicode(text)
    return text


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError("the licence has characters that are not Unicode text") from None
