"""`pouw model`: publish a model or a new version of one, look models up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import msgspec

from ..consensus.budget import Budget
from ..consensus.jobs.checker import ResultChecker
from ..core.errors import RuleViolation, UserError
from ..core.hashing import ZERO_HASH, Hash
from ..core.keys import parse_address
from ..core.units import format_amount
from ..genesis import Params
from ..vm.check import CheckedProgram, check_program
from ..vm.limits import MAX_PROGRAM_BYTES
from ..vm.multiplier import ReferenceMultiplier
from ..vm.program import decode_program
from ..vm.weights import check_weights
from ..wallet import bodies, jobs
from ..wallet.answers import ask
from ..wallet.builder import split
from ..wallet.client import RpcClient, RpcError
from ..wallet.private_file import read_bounded
from .arguments import parse_id, parse_royalties, read_licence
from .card import card_lines, read_card
from .common import Target, json_option, node_options, print_fields, print_json, print_rows
from .modelanswers import ModelAnswer, ModelPage, ModelSummary, PriceAnswer, VersionAnswer
from .modelimport import import_model
from .progress import shown_progress
from .purse import (
    Purse,
    address_text,
    confirm,
    require_network,
    spending_options,
    timeout_option,
    upload_fee,
    yes_option,
)

_LISTED: Final = 100
_BASIS_POINTS_PER_PERCENT: Final = 100
_PATH: Final = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Files:
    """Blobs that are not on any chain yet, by root."""

    content: Mapping[Hash, bytes]

    def blob(self, root: bytes) -> bytes:
        """See `BlobSource`."""
        return self.content[root]


@click.group()
def model() -> None:
    """Register models and look them up."""


model.add_command(import_model)


@model.command(
    epilog="Example: pouw model register --program digits.program --weights digits.weights "
    "--name digits --licence 'CC BY 4.0' --card digits.json --royalty pouw1…=10"
)
@click.option("--program", "program_file", type=_PATH, required=True, help="Canonical program.")
@click.option("--weights", "weights_file", type=_PATH, required=True, help="The weights' bytes.")
@click.option("--name", required=True, help="What people see; need not be unique.")
@click.option("--licence", metavar="FILE|TEXT", default="", help="On what terms it may be used.")
@click.option(
    "--card",
    "card_file",
    type=_PATH,
    help="JSON object for people: description, encoding of numbers, classes, source, metrics.",
)
@click.option(
    "--royalty",
    "shares",
    multiple=True,
    metavar="ADDRESS=PERCENT",
    help="A contributor's part of every bounty; repeatable.",
)
@click.option("--replaces", metavar="MODEL", help="Your model of which this is the next version.")
@yes_option
@timeout_option
@spending_options
@json_option
def register(
    program_file: Path,
    weights_file: Path,
    name: str,
    licence: str,
    card_file: Path | None,
    shares: tuple[str, ...],
    replaces: str | None,
    yes: bool,
    timeout: int,
    purse: Purse,
    as_json: bool,
) -> None:
    """Publish a model for jobs to run on; print its id.

    Program, weights, licence and card are public for good. What an interrupted command uploaded is
    not paid for again when it is repeated.
    """
    params = purse.params
    previous = ZERO_HASH if replaces is None else parse_id(replaces, "a model")
    program, weights = load_model(params, program_file, weights_file)
    offer = jobs.ModelOffer(
        name,
        program,
        weights,
        read_licence(licence),
        parse_royalties(params, shares),
        "" if card_file is None else read_card(card_file),
        previous,
    )
    _check_offer(params, offer)
    purse.accounts()
    require_network(purse.target)
    client = purse.target.client()
    replaced = None if replaces is None else _replaceable(client, previous)
    fee = upload_fee(client, params, program, weights)
    click.echo(
        f"Program ({len(program)} bytes) and weights ({len(weights)} bytes) will be public for "
        f"good; putting them on the chain takes about {format_amount(fee)} POUW.",
        err=True,
    )
    if not yes:
        confirm("Register the model?")
    key = purse.key()
    if replaced is not None and replaced.owner != address_text(params, key.address):
        raise UserError(
            f"model {replaced.id} belongs to {replaced.owner}: only that account can replace it; "
            "choose it with --account, or leave --replaces away"
        )
    with shown_progress() as progress:
        identity = jobs.register_model(purse.session(key, progress), offer, timeout)
    if as_json:
        print_json({"id": identity.hex(), "name": name})
    else:
        click.echo(identity.hex())


@model.command("list", epilog="Example: pouw model list --name digits --network testnet")
@click.option("--owner", metavar="ADDRESS", help="Only this owner's.")
@click.option("--name", metavar="PART", default="", help="Only those with this in their name.")
@click.option("--limit", type=click.IntRange(1, 1000), default=_LISTED, show_default=True)
@click.option("--after", metavar="MODEL", help="Go on behind this model.")
@node_options
@json_option
def list_models(
    owner: str | None, name: str, limit: int, after: str | None, target: Target, as_json: bool
) -> None:
    """List registered models, newest first."""
    if owner is not None:
        parse_address(owner, target.params.address_prefix)
    found, behind = _models(
        target.client(),
        limit,
        None if after is None else parse_id(after, "a model").hex(),
        {"owner": owner, "name": name},
    )
    if as_json:
        print_json([msgspec.to_builtins(each) for each in found])
        return
    rows = [
        (
            each.id,
            each.name,
            each.version,
            each.input.type,
            each.output.type,
            each.macs_per_item,
            each.jobs,
            each.successor is not None,
        )
        for each in found
    ]
    columns = ("id", "name", "version", "input", "output", "MACs per item", "jobs", "replaced")
    filtered = owner is not None or name
    print_rows(columns, rows, "no such model" if filtered else "no model is registered")
    if behind is not None:
        click.echo(f"there may be more: add --after {behind}", err=True)


@model.command(epilog="Example: pouw model show MODEL")
@click.argument("identity", metavar="MODEL")
@node_options
@json_option
def show(identity: str, target: Target, as_json: bool) -> None:
    """Show what a registered MODEL takes, gives and costs, who made it, and its versions."""
    raw = parse_id(identity, "a model")
    client = target.client()
    if as_json:
        print_json(client.call("getmodel", id=raw.hex()))
        return
    found = find_model(client, raw)
    versions = ask(client, list[VersionAnswer], "listversions", id=found.id)
    facts = msgspec.structs.asdict(found)
    facts["version"] = f"{found.version} of {versions[-1].version}" if versions else found.version
    facts["versions"] = [f"{each.version}: {each.id} ({each.jobs} jobs)" for each in versions]
    facts["input"] = f"{found.input.type} in [{found.input.lo}, {found.input.hi}]"
    facts["output"] = str(found.output.type)
    facts["one_item_costs"] = _price_of_one(client, found.id)
    facts["royalties"] = [f"{share.to} {_percent(share.basis_points)}" for share in found.royalties]
    facts["licence"] = found.licence.splitlines()
    facts["card"] = card_lines(found.card)
    print_fields(facts)
    if found.successor is not None and versions:
        click.echo(f"a newer version exists: `pouw model show {versions[-1].id}`", err=True)


def _models(
    client: RpcClient, limit: int, after: str | None, wanted: Mapping[str, str | None]
) -> tuple[list[ModelSummary], str | None]:
    """Read pages until `limit` models are found or none is left; return where to go on, too."""
    found: list[ModelSummary] = []
    while True:
        room = limit - len(found)
        page = ask(client, ModelPage, "listmodels", limit=room, after=after, **wanted)
        found += page.models[:room]
        if page.next is None or page.next == after or len(found) == limit:
            return found, page.next
        after = page.next


def _replaceable(client: RpcClient, identity: Hash) -> ModelAnswer:
    """Return a model that may be replaced. Raises UserError where there is none, or it was."""
    found = find_model(client, identity)
    if found.successor is not None:
        newest = ask(client, list[VersionAnswer], "listversions", id=found.id)[-1:]
        hint = f": replace the newest, {newest[0].id}" if newest else ""
        raise UserError(f"model {found.id} has been replaced already{hint}")
    return found


def _price_of_one(client: RpcClient, identity: str) -> str:
    """Return what a job of one item takes, or why there is none. Raises UserError."""
    try:
        price = ask(client, PriceAnswer, "quotejob", model=identity, items=1)
    except RpcError as error:
        return f"no job: {error}"
    total = price.min_bounty + price.burn + price.check_fee
    return f"about {format_amount(total)} POUW"


def find_model(client: RpcClient, identity: Hash) -> ModelAnswer:
    """Return a registered model. Raises UserError where there is none."""
    return ask(client, ModelAnswer, "getmodel", id=identity.hex())


def load_model(params: Params, program_file: Path, weights_file: Path) -> tuple[bytes, bytes]:
    """Read a program and its weights, and hold them to all that registering them will.

    Raises UserError naming the file and what is wrong in it.
    """
    program = read_bounded(program_file, MAX_PROGRAM_BYTES)
    try:
        checked = check_program(decode_program(program))
    except RuleViolation as violation:
        raise UserError(f"{program_file}: {violation}") from None
    weights = _read_weights(weights_file, checked)
    try:
        check_weights(checked, weights)
    except RuleViolation as violation:
        raise UserError(f"{weights_file}: {violation}") from None
    _check_budget(params, program, weights)
    return program, weights


def _read_weights(path: Path, checked: CheckedProgram) -> bytes:
    """Read exactly as many bytes as the program's constants take. Raises UserError."""
    expected = checked.weight_bytes
    if not expected:
        raise UserError("the program has no constants: a model has weights")
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if size not in (None, expected):
        raise UserError(f"{path} has {size} bytes, the program's constants take {expected}")
    return read_bounded(path, expected)


def _check_budget(params: Params, program: bytes, weights: bytes) -> None:
    """Raise UserError for a model too large for any block to register."""
    root, _ = split(program)
    checker = ResultChecker(params, _Files({root: program}), ReferenceMultiplier())
    try:
        budget = Budget(params)
        budget.spend(0, len(program) + len(weights))
        budget.spend(0, checker.loading_bytes(root) + checker.commitment_bytes(root))
    except RuleViolation as violation:
        raise UserError(f"the model is too large for {params.name}: {violation.detail}") from None


def _check_offer(params: Params, offer: jobs.ModelOffer) -> None:
    """Raise UserError for what could not be registered, before anything is uploaded."""
    roots = split(offer.program)[0], split(offer.weights)[0]
    bodies.register_model(
        params,
        offer.name,
        *roots,
        offer.licence,
        offer.royalties,
        offer.card,
        offer.previous,
    )


def _percent(basis_points: int) -> str:
    whole, rest = divmod(basis_points, _BASIS_POINTS_PER_PERCENT)
    return f"{whole}.{rest:02d} %"
