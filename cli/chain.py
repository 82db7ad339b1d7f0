"""`pouw chain`: blocks, supply and usefulness as a node tells them; test vectors without a node."""

import json
from pathlib import Path
from typing import Any, Final

import click

from ..consensus.ticket.vectors import check_vectors
from ..core.codec import MAX_INT
from ..core.errors import UserError
from .common import (
    Target,
    json_option,
    node_options,
    pouw_text,
    print_fields,
    print_json,
    require_object,
)

_MAX_VECTOR_BYTES: Final = 64 << 20
_ID_DIGITS: Final = 64


@click.group()
def chain() -> None:
    """Blocks, supply, usefulness, test vectors."""


@chain.command(epilog="Example: pouw chain vectors tests/vectors/pouw_v1.json")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def vectors(file: Path, as_json: bool) -> None:
    """Recompute every test vector in FILE; name the first field that differs."""
    compared = check_vectors(_read_json(file))
    if not compared:
        raise UserError(f"{file} holds no test vector")
    if as_json:
        print_json({"file": str(file), "fields": compared, "equal": True})
    else:
        click.echo(f"{file}: all {compared} fields equal")


@chain.command(epilog="Example: pouw chain block 1")
@click.argument("which", metavar="HEIGHT|ID")
@node_options
@json_option
def block(which: str, target: Target, as_json: bool) -> None:
    """Show a block by its height or id."""
    answer = _ask(target, "getblock", id=_height_or_id(which))
    if as_json:
        print_json(answer)
    else:
        print_fields(answer)


@chain.command(epilog="Example: pouw chain supply")
@node_options
@json_option
def supply(target: Target, as_json: bool) -> None:
    """Add up all money in the state and compare it with what was emitted and burned."""
    answer = _ask(target, "getsupply")
    if as_json:
        print_json(answer)
        return
    amounts = ("emitted", "burned", "circulating")
    print_fields({**answer, **{name: pouw_text(answer.get(name)) for name in amounts}})


@chain.command(epilog="Example: pouw chain usefulness --blocks 100")
@click.option(
    "--blocks",
    type=click.IntRange(1, MAX_INT),
    metavar="COUNT",
    default=1_000,
    show_default=True,
    help="How many of the last.",
)
@node_options
@json_option
def usefulness(blocks: int, target: Target, as_json: bool) -> None:
    """Show how much of the last blocks' work served a paid job."""
    answer = _ask(target, "getusefulness", blocks=blocks)
    if as_json:
        print_json(answer)
    else:
        print_fields(answer)


def _ask(target: Target, method: str, **params: Any) -> dict[str, Any]:
    return require_object(target.client().call(method, **params), method)


def _height_or_id(text: str) -> int | str:
    """Read a height or a block id. Raises UserError."""
    lowered = text.lower()
    if text.isascii() and text.isdigit() and len(text) < _ID_DIGITS and int(text) <= MAX_INT:
        return int(text)
    if len(text) == _ID_DIGITS and all(c in "0123456789abcdef" for c in lowered):
        return lowered
    raise UserError(f"'{text}' is neither a height nor a block id of {_ID_DIGITS} hex digits")


def _read_json(file: Path) -> Any:
    """Read a JSON file of bounded size. Raises UserError."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_VECTOR_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > _MAX_VECTOR_BYTES:
        raise UserError(f"{file} is longer than {_MAX_VECTOR_BYTES} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON: {error}") from None
