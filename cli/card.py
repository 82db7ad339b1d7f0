"""A model's card: the JSON document beside a model that tells people how to use it.

The chain keeps the text and reads nothing in it. By convention it is an object with some of:
`description`, `input` and `output` (how numbers are encoded, with their scales), `classes`,
`source`, `metrics`.
"""

import json
from pathlib import Path
from typing import Any, Final, cast

from ..core.errors import UserError
from ..core.transaction import MAX_CARD_CHARS
from ..wallet.private_file import read_bounded

_MAX_CARD_BYTES: Final = 4 * MAX_CARD_CHARS  # UTF-8


def read_card(file: Path) -> str:
    """Return the card in a file, without the white space that only costs fees.

    Raises UserError for a file that is missing, too long, or holds no JSON object: a card cannot
    be corrected once it is registered.
    """
    try:
        text = _compact(_parse(read_bounded(file, _MAX_CARD_BYTES).decode()))
        text.encode()
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text: a card is a JSON object") from None
    except UnicodeEncodeError:
        raise UserError(f"{file} has escapes that are not Unicode text") from None
    except ValueError as error:
        raise UserError(f"{file} is not a card: {error}") from None
    if len(text) > MAX_CARD_CHARS:
        raise UserError(
            f"{file} has {len(text)} characters, a card at most {MAX_CARD_CHARS}: "
            "shorten its texts or link to them"
        )
    return text


def card_lines(text: str) -> list[str]:
    """Return a registered card for people, whatever its owner wrote into it."""
    try:
        lines: list[str] = []
        for name, value in _parse(text).items():
            shown = value if isinstance(value, str) else _compact(value)
            lines += f"{name}: {shown}".splitlines()
    except ValueError:
        return text.splitlines()
    return lines


def _parse(text: str) -> dict[str, Any]:
    """Read a JSON object. Raises ValueError, which says why, for anything else."""
    try:
        card = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(card, dict):
        raise ValueError("it is no JSON object")
    return cast(dict[str, Any], card)


def _compact(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
