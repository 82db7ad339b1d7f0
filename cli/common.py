"""What all commands share: which node is meant, and how answers are shown."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.table import Table

from ..core.errors import UserError
from ..core.units import format_amount
from ..genesis import NETWORKS, Params, network
from ..node.config import DEFAULT_PORTS, LOOPBACK, default_data
from ..node.token import TOKEN_FILE
from ..wallet.client import RpcClient

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_NETWORK: Final = "mainnet"
_MAX_TOKEN_BYTES: Final = 256
_LOCAL_HOSTS: Final = (LOOPBACK, "localhost", "::1")
_ROOM: Final = 10_000
"""Columns to lay tables out in: hashes are copied, so a terminal wraps them but nothing cuts."""

network_option: Final = click.option(
    "--network",
    type=click.Choice(list(NETWORKS)),
    default=DEFAULT_NETWORK,
    envvar="POUW_NETWORK",
    show_default=True,
    help="Which network.",
)
data_option: Final = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="POUW_DATA",
    help="The node's data folder.  [default: $XDG_DATA_HOME/pouw/NETWORK]",
)
json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON value instead of a table."
)


@dataclass(frozen=True, slots=True)
class Target:
    """The node that a command talks to."""

    params: Params
    url: str
    token: str | None
    """None where no token was given and no token file can be read."""

    def client(self) -> RpcClient:
        """Return a client of the node. Raises UserError for an unusable URL or token."""
        return RpcClient(self.url, self.token)


def node_options(command: F) -> F:
    """Add --network, --data, --rpc and --token; the command gets them as `target: Target`."""

    @functools.wraps(command)
    def wrapped(
        *args: Any, network: str, data: Path | None, rpc: str | None, token: str | None, **rest: Any
    ) -> Any:
        return command(*args, target=find_target(network, data, rpc, token), **rest)

    options = (
        network_option,
        data_option,
        click.option(
            "--rpc", envvar="POUW_RPC", help="URL of the node.  [default: this machine's]"
        ),
        click.option(
            "--token",
            envvar="POUW_RPC_TOKEN",
            help=f"The node's token.  [default: {TOKEN_FILE} in the data folder]",
        ),
    )
    result: Any = wrapped
    for option in reversed(options):
        result = option(result)
    return result


def find_target(name: str, data: Path | None, rpc: str | None, token: str | None) -> Target:
    """Complete what was given by the network's defaults. Raises UserError on a bad network.

    A node elsewhere is not told the token of this machine's unless its folder is named.
    """
    params = network(name)
    url = rpc or f"http://{LOOPBACK}:{DEFAULT_PORTS[params.name].rpc}"
    if token is None and (data is not None or is_local(url)):
        token = read_token(data or default_data(params.name))
    return Target(params, url, token)


def is_local(url: str) -> bool:
    """Tell whether a URL names a node on this machine."""
    try:
        return urlsplit(url).hostname in _LOCAL_HOSTS
    except ValueError:
        return False


def read_token(folder: Path) -> str | None:
    """Return the token in a node's data folder, or None where it cannot be read."""
    try:
        with (folder / TOKEN_FILE).open(encoding="ascii", errors="replace") as file:
            return file.read(_MAX_TOKEN_BYTES).strip() or None
    except OSError:
        return None


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print names and values, one pair a line."""
    table = Table.grid(padding=(0, 2))
    for name, value in fields.items():
        table.add_row(name.replace("_", " "), _cell(value))
    _print_table(table)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print a table, or the sentence `empty` where there are no rows."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if table.row_count:
        _print_table(table)
    else:
        click.echo(empty)


def require_object(answer: Any, what: str) -> dict[str, Any]:
    """Return a node's answer as a JSON object. Raises UserError when it is none."""
    if not isinstance(answer, dict):
        raise UserError(f"the node answers {what} in a form unknown here")
    return answer


def pouw_text(units: Any) -> str:
    """Write base units that a node sent as POUW. Raises UserError for anything but an integer."""
    if not isinstance(units, int) or isinstance(units, bool):
        raise UserError("the node sent an amount in a form unknown here")
    return f"{format_amount(units)} POUW"


def existing(path: Path) -> bool:
    """Tell whether there is such a file. Raises UserError where nobody may look."""
    try:
        return path.exists()
    except OSError as error:
        raise UserError(f"cannot look for {path}: {error.strerror}") from None


def _print_table(table: Table) -> None:
    console = Console(width=_ROOM, markup=False, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    # One long value must not have every other line padded to its length.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cell(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return "\n".join(_cell(item) for item in value) or "–"
        case dict():
            return " ".join(f"{name}={_cell(item)}" for name, item in value.items())
        case _:
            return _printable(str(value))


def _printable(text: str) -> str:
    """Keep what strangers wrote from steering the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
