"""`pouw wallet`: keys and their file, balances, payments."""

import sys
from pathlib import Path
from typing import Any, Final

import click

from ..core.errors import UserError
from ..core.keys import parse_address
from ..core.units import format_amount, parse_amount
from ..genesis import network as network_params
from ..wallet import bodies, keystore
from ..wallet.answers import AccountState, ask
from ..wallet.hd import account_path
from ..wallet.keystore import Account, Keystore, UnlockedWallet
from ..wallet.mnemonic import WORD_COUNTS, generate_phrase, phrase_entropy
from ..wallet.private_file import read_bounded
from .arguments import parse_payments
from .common import existing, json_option, network_option, print_json, print_rows
from .progress import shown_progress
from .purse import (
    Purse,
    account_option,
    address_text,
    choose_password,
    load_wallet,
    password_option,
    read_password,
    spending_options,
    timeout_option,
    wallet_option,
    wallet_path,
)

_MAX_PHRASE_BYTES: Final = 4096
_PHRASE_COLUMNS: Final = 4
_FOLDER_MODE: Final = 0o700
_label_option: Final = click.option(
    "--account", "label", metavar="LABEL", default="main", show_default=True, help="Its name."
)


@click.group()
def wallet() -> None:
    """Keys, balances and payments."""


@wallet.command(epilog="Example: pouw wallet new --network testnet --words 12")
@wallet_option
@network_option
@click.option(
    "--words",
    type=click.Choice([str(count) for count in WORD_COUNTS]),
    default="24",
    show_default=True,
    help="Length of the recovery phrase.",
)
@_label_option
@password_option
@click.option("--show-words", is_flag=True, help="Print the words even where nobody may watch.")
@json_option
def new(
    wallet: Path | None,
    network: str,
    words: str,
    label: str,
    password_file: Path | None,
    show_words: bool,
    as_json: bool,
) -> None:
    """Make a wallet with a new key, and show the words that bring it back.

    The words are shown on a terminal only, unless --show-words asks for them.
    """
    path = _unused_path(wallet, network)
    phrase = generate_phrase(int(words))
    created = _create(path, network, phrase, label, password_file)
    visible = show_words or (sys.stdout.isatty() and not as_json)
    facts = _facts_of_new(path, created)
    if as_json:
        print_json({**facts, "words": phrase} if visible else facts)
        return
    _print_new(facts)
    if visible:
        click.echo("\nWrite these words down: they bring the wallet back when its file is lost.")
        click.echo("Whoever reads them owns the money.\n")
        _print_words(phrase)
    else:
        click.echo("The words were not shown: `pouw wallet words` does so.", err=True)


@wallet.command("import", epilog="Example: pouw wallet import --words-file words.txt")
@wallet_option
@network_option
@click.option(
    "--words-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the words.  [default: asked for, or read from standard input]",
)
@_label_option
@password_option
@json_option
def import_words(
    wallet: Path | None,
    network: str,
    words_file: Path | None,
    label: str,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """Make a wallet file from the words of an earlier one."""
    path = _unused_path(wallet, network)
    phrase = _read_phrase(words_file)
    phrase_entropy(phrase)  # before anybody types a password for nothing
    facts = _facts_of_new(path, _create(path, network, phrase, label, password_file))
    if as_json:
        print_json(facts)
    else:
        _print_new(facts)


@wallet.command(epilog="Example: pouw wallet words --wallet wallet.json")
@wallet_option
@network_option
@password_option
@json_option
def words(wallet: Path | None, network: str, password_file: Path | None, as_json: bool) -> None:
    """Show the recovery words; whoever reads them owns the money."""
    opened = _load(wallet, network)
    phrase = keystore.unlock(opened.path, read_password(password_file)).phrase
    if as_json:
        print_json({"words": phrase})
    elif sys.stdout.isatty():
        _print_words(phrase)
    else:
        click.echo(phrase)


@wallet.command(epilog="Example: pouw wallet address --account savings")
@wallet_option
@network_option
@account_option
@click.option("--all", "every", is_flag=True, help="Those of all accounts, one a line.")
@json_option
def address(
    wallet: Path | None, network: str, account: str | None, every: bool, as_json: bool
) -> None:
    """Print the address to be paid at; no password is needed."""
    if every and account is not None:
        raise click.UsageError("--all and --account exclude each other")
    opened = _load(wallet, network)
    first = opened.accounts[0] if account is None else opened.account(account)
    chosen = opened.accounts if every else (first,)
    if as_json:
        facts = [_describe(opened, each) for each in chosen]
        print_json(facts if every else facts[0])
        return
    for each in chosen:
        click.echo(address_text(opened.params, each.address))


@wallet.command(epilog="Example: pouw wallet accounts --wallet wallet.json")
@wallet_option
@network_option
@json_option
def accounts(wallet: Path | None, network: str, as_json: bool) -> None:
    """List the accounts of a wallet; no password is needed."""
    _print_accounts(_load(wallet, network), as_json)


@wallet.command("add-account", epilog="Example: pouw wallet add-account savings")
@click.argument("label")
@wallet_option
@network_option
@password_option
@json_option
def add_account(
    label: str, wallet: Path | None, network: str, password_file: Path | None, as_json: bool
) -> None:
    """Take the next account from the wallet's words, under a LABEL of your own."""
    path = _load(wallet, network).path
    keystore.add_account(path, read_password(password_file), label)
    _print_accounts(keystore.load(path), as_json)


@wallet.command(epilog="Example: pouw wallet balance --network testnet")
@click.argument("address", required=False)
@spending_options
@json_option
def balance(address: str | None, purse: Purse, as_json: bool) -> None:
    """Show what the wallet's accounts, or any ADDRESS, have on the chain.

    `waiting` counts the account's own transactions that no block holds yet.
    """
    if address is None:
        asked = [
            (account.label, address_text(purse.params, account.address))
            for account in purse.accounts()
        ]
    else:
        raw = parse_address(address, purse.params.address_prefix)
        asked = [(None, address_text(purse.params, raw))]
    client = purse.target.client()
    states = [ask(client, AccountState, "getaccount", address=text) for _, text in asked]
    rows = [
        (label, text, state.balance, state.pending_nonce - state.nonce)
        for (label, text), state in zip(asked, states, strict=True)
    ]
    total = sum(state.balance for state in states)
    if as_json:
        names = ("account", "address", "balance", "waiting")
        print_json(
            {"accounts": [dict(zip(names, row, strict=True)) for row in rows], "total": total}
        )
        return
    shown = [
        (label, text, f"{format_amount(units)} POUW", waiting)
        for label, text, units, waiting in rows
    ]
    print_rows(("account", "address", "balance", "waiting"), shown, "no account")
    if len(rows) > 1:
        click.echo(f"{format_amount(total)} POUW in all")


@wallet.command(epilog="Example: pouw wallet send dpouw1… 12.5 --network devnet --wait")
@click.argument("payments", nargs=-1, required=True, metavar="TO AMOUNT [TO AMOUNT ...]")
@click.option("--fee", metavar="AMOUNT", help="In POUW.  [default: by size]")
@click.option("--wait", is_flag=True, help="Until a block includes it.")
@timeout_option
@spending_options
@json_option
def send(
    payments: tuple[str, ...],
    fee: str | None,
    wait: bool,
    timeout: int,
    purse: Purse,
    as_json: bool,
) -> None:
    """Pay POUW to addresses, all in one transaction; print its id."""
    body = bodies.transfer(parse_payments(purse.params, payments))
    fee_units = None if fee is None else parse_amount(fee)
    paid = sum(output.amount for output in body.outputs)
    key = purse.key()
    with shown_progress() as progress:
        session = purse.session(key, progress)
        sent = session.send(body, fee=fee_units)
        answer: dict[str, Any] = {"id": sent.id.hex(), "paid": paid, "status": "pending"}
        if wait:
            click.echo(f"sent as {sent.id.hex()}", err=True)
            progress("waiting for a block", 0, 1)
            status = session.wait_included(sent, "the payment", session.patience(timeout))
            answer |= {"status": "included", "height": status.height}
    if as_json:
        print_json(answer)
        return
    click.echo(sent.id.hex())
    if wait:
        click.echo(f"{format_amount(paid)} POUW paid in block {answer['height']}")


def _load(given: Path | None, network: str) -> Keystore:
    return load_wallet(wallet_path(given, network), network)


def _unused_path(given: Path | None, network: str) -> Path:
    """Return where a new wallet goes, before anybody types anything for nothing."""
    path = wallet_path(given, network)
    if existing(path):
        raise UserError(f"{path} exists already and is never overwritten: name another --wallet")
    if given is not None and not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}: make it first")
    return path


def _create(
    path: Path, network: str, phrase: str, label: str, password_file: Path | None
) -> UnlockedWallet:
    params = network_params(network)
    password = choose_password(password_file)
    try:
        path.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path.parent}: {error.strerror}") from None
    return keystore.create(path, params, phrase, password, label)


def _read_phrase(file: Path | None) -> str:
    """Read recovery words from a file, a person or standard input. Raises UserError."""
    if file is None and sys.stdin.isatty():
        return str(click.prompt("Recovery words", err=True))
    if file is None:
        data = sys.stdin.buffer.read(_MAX_PHRASE_BYTES + 1)
        if len(data) > _MAX_PHRASE_BYTES:
            raise UserError("the recovery words are too many: a phrase has 12 or 24")
    else:
        data = read_bounded(file, _MAX_PHRASE_BYTES)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UserError("the recovery words are not text") from None


def _facts_of_new(path: Path, created: UnlockedWallet) -> dict[str, Any]:
    account = created.accounts[0]
    return {
        "wallet": str(path),
        "network": created.params.name,
        "account": account.label,
        "address": address_text(created.params, account.address),
    }


def _print_new(facts: dict[str, Any]) -> None:
    click.echo(f"A wallet of {facts['network']} is in {facts['wallet']}")
    click.echo(f"account '{facts['account']}' has the address {facts['address']}")


def _print_words(phrase: str) -> None:
    numbered = [f"{i:2d} {word:<10}" for i, word in enumerate(phrase.split(), start=1)]
    for start in range(0, len(numbered), _PHRASE_COLUMNS):
        click.echo("  ".join(numbered[start : start + _PHRASE_COLUMNS]).rstrip())


def _describe(opened: Keystore, account: Account) -> dict[str, Any]:
    return {
        "account": account.label,
        "address": address_text(opened.params, account.address),
        "path": account_path(account.index),
    }


def _print_accounts(opened: Keystore, as_json: bool) -> None:
    facts = [_describe(opened, account) for account in opened.accounts]
    if as_json:
        print_json(facts)
    else:
        print_rows(tuple(facts[0]), [tuple(fact.values()) for fact in facts], "no account")
