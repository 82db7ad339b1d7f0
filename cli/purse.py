"""The wallet that a command works with: its file, its password, and a session at a node."""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..core.blob import CHUNK_BYTES
from ..core.errors import UserError
from ..core.keys import PrivateKey, format_address
from ..genesis import Params
from ..node.config import default_data
from ..wallet import keystore
from ..wallet.answers import BlobState, Info, ask, ask_optional
from ..wallet.builder import DEFAULT_FEE_MULTIPLE, split
from ..wallet.client import RpcClient
from ..wallet.keystore import Account, Keystore
from ..wallet.private_file import read_bounded
from ..wallet.session import Pace, Progress, Session
from .common import Target, existing, node_options

F = TypeVar("F", bound=Callable[..., Any])

WALLET_FILE: Final = "wallet.json"
PASSWORD_VARIABLE: Final = "POUW_WALLET_PASSWORD"
DEFAULT_TIMEOUT: Final = 3_600
"""Seconds: as long as a transaction waits on mainnet until it expires."""

_MAX_SECRET_BYTES: Final = 4096
_KIB: Final = 1024
_POLLS_PER_BLOCK: Final = 4
_POLL_SECONDS: Final = (0.25, 5.0)
"""Bounds of the time between polls: neither a burden for the node nor a wait for nothing."""

wallet_option: Final = click.option(
    "--wallet",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="POUW_WALLET",
    help=f"The wallet file.  [default: $XDG_DATA_HOME/pouw/NETWORK/{WALLET_FILE}]",
)
password_option: Final = click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File whose first line is the password; else ${PASSWORD_VARIABLE}, else asked for.",
)
account_option: Final = click.option(
    "--account", metavar="LABEL", help="Which account.  [default: the first]"
)
timeout_option: Final = click.option(
    "--timeout",
    type=click.IntRange(1),
    default=DEFAULT_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait at most.",
)
yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask before spending.")


@dataclass(frozen=True, slots=True)
class Purse:
    """A wallet file, one account in it, and the node to spend through."""

    target: Target
    path: Path
    label: str | None
    """The account; None for the first."""
    password_file: Path | None

    @property
    def params(self) -> Params:
        """The network's parameters."""
        return self.target.params

    def keystore(self) -> Keystore:
        """Read the wallet without its password. Raises UserError, also for another network's."""
        opened = load_wallet(self.path, self.params.name)
        if opened.params.name != self.params.name:
            raise UserError(
                f"{self.path} is a wallet of {opened.params.name}, not {self.params.name}: "
                f"add --network {opened.params.name}"
            )
        return opened

    def accounts(self) -> tuple[Account, ...]:
        """Return the account that was named, or all. Raises UserError."""
        opened = self.keystore()
        return opened.accounts if self.label is None else (opened.account(self.label),)

    def key(self) -> PrivateKey:
        """Unlock the wallet, asking for the password if need be. Raises UserError."""
        opened = self.keystore()
        if self.label is not None:
            opened.account(self.label)  # before anybody types a password for nothing
        return keystore.unlock(self.path, read_password(self.password_file)).key(self.label)

    def session(self, key: PrivateKey, progress: Progress) -> Session:
        """Open a session of an unlocked key."""
        least, most = _POLL_SECONDS
        poll = min(most, max(least, self.params.target_spacing / _POLLS_PER_BLOCK))
        pace = Pace(poll_seconds=poll)
        return Session(self.target.client(), self.params, key, progress, pace)


def spending_options(command: F) -> F:
    """Add a node's options, --wallet, --account and --password-file; the command gets `purse`."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        target: Target,
        wallet: Path | None,
        account: str | None,
        password_file: Path | None,
        **rest: Any,
    ) -> Any:
        path = wallet_path(wallet, target.params.name)
        return command(*args, purse=Purse(target, path, account, password_file), **rest)

    result: Any = node_options(wrapped)
    for option in (password_option, account_option, wallet_option):
        result = option(result)
    return result


def wallet_path(given: Path | None, network: str) -> Path:
    """Return the wallet file that is meant."""
    return default_data(network) / WALLET_FILE if given is None else given


def load_wallet(path: Path, network: str) -> Keystore:
    """Read what a wallet file shows without its password. Raises UserError."""
    if not existing(path):
        raise UserError(
            f"there is no wallet {path}: make one with `pouw wallet new --network {network}`, "
            "or name another with --wallet"
        )
    return keystore.load(path)


def read_password(file: Path | None) -> str:
    """Return the password of an existing wallet. Raises UserError when nobody can be asked."""
    given = _given_password(file)
    return _ask_password("Wallet password") if given is None else given


def choose_password(file: Path | None) -> str:
    """Return a new wallet's password, asked for twice. Raises UserError."""
    given = _given_password(file)
    if given is None:
        given = _ask_password("New password", confirmation_prompt="The same again")
    if not given:
        raise UserError("choose a password: an empty one protects nothing")
    return given


def first_line(file: Path, what: str) -> str:
    """Return the first line of a small text file that holds `what`. Raises UserError."""
    try:
        lines = read_bounded(file, _MAX_SECRET_BYTES).decode().splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{file} does not hold text") from None
    if not lines or not lines[0].strip():
        raise UserError(f"{file} is empty: {what} belongs in its first line")
    return lines[0]


def confirm(question: str) -> None:
    """Ask whoever sits at a terminal; a script goes on. Raises UserError when the answer is no."""
    if sys.stdin.isatty() and not click.confirm(question, err=True):
        raise UserError("nothing was sent")


def require_network(target: Target) -> Info:
    """Return the node's tip. Raises UserError when it serves another network."""
    info = ask(target.client(), Info, "getinfo")
    if info.chain_id != target.params.chain_id:
        raise UserError(
            f"the node at {target.url} serves {info.network[:64]!r}, not {target.params.name}"
        )
    return info


def upload_fee(client: RpcClient, params: Params, *blobs: bytes) -> int:
    """Return about what uploading blobs costs in base units, less what is on the chain already."""
    missing = 0
    for data in blobs:
        blob = ask_optional(client, BlobState, "getblob", root=split(data)[0].hex())
        done = 0 if blob is None else blob.next_chunk * CHUNK_BYTES
        missing += max(0, len(data) - done)
    return -(-missing // _KIB) * DEFAULT_FEE_MULTIPLE * params.min_fee_per_kib


def address_text(params: Params, address: bytes) -> str:
    """Write an address as the network's people see it."""
    return format_address(address, params.address_prefix)


def _given_password(file: Path | None) -> str | None:
    if file is not None:
        return first_line(file, "the password")
    return os.environ.get(PASSWORD_VARIABLE)


def _ask_password(prompt: str, **options: Any) -> str:
    if not sys.stdin.isatty():
        raise UserError(
            f"no password: set {PASSWORD_VARIABLE}, name a --password-file, or use a terminal"
        )
    return str(click.prompt(prompt, hide_input=True, err=True, **options))
