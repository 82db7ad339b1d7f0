"""`pouw model`: publish a model, look models up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import click
import msgspec

from ..consensus.budget import Budget
from ..consensus.jobs.checker import ResultChecker
from ..core.codec import U63
from ..core.errors import RuleViolation, UserError
from ..core.hashing import Hash
from ..core.units import format_amount
from ..genesis import Params
from ..vm.check import CheckedProgram, check_program
from ..vm.limits import MAX_DIM, MAX_DIMS, MAX_ITEMS, MAX_PROGRAM_BYTES
from ..vm.multiplier import ReferenceMultiplier
from ..vm.program import decode_program
from ..vm.types import Declaration, DType, Int32, Interval, TensorType
from ..vm.weights import check_weights
from ..wallet import bodies, jobs
from ..wallet.answers import HexHash, ask
from ..wallet.builder import split
from ..wallet.client import RpcClient
from ..wallet.private_file import read_bounded
from .arguments import parse_id, parse_royalties, read_licence
from .common import Target, json_option, node_options, print_fields, print_json, print_rows
from .progress import shown_progress
from .purse import (
    Purse,
    confirm,
    require_network,
    spending_options,
    timeout_option,
    upload_fee,
    yes_option,
)
from .tensorfile import InputRule

_LISTED: Final = 100
_BASIS_POINTS_PER_PERCENT: Final = 100
_PATH: Final = click.Path(dir_okay=False, path_type=Path)
_Length = Annotated[int, msgspec.Meta(ge=1, le=MAX_DIM)]
_Dtype = Annotated[str, msgspec.Meta(pattern=r"^int(8|32)\Z")]


class TensorAnswer(msgspec.Struct, frozen=True):
    """A value of one item in `getmodel`."""

    dtype: _Dtype
    shape: Annotated[tuple[_Length, ...], msgspec.Meta(max_length=MAX_DIMS)]

    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return TensorType(DType[self.dtype.upper()], self.shape)


class InputAnswer(TensorAnswer, frozen=True):
    """The input in `getmodel`."""

    lo: Int32
    hi: Int32


class RoyaltyAnswer(msgspec.Struct, frozen=True):
    """A contributor's part of every bounty in `getmodel`."""

    to: str
    basis_points: U63


class ModelAnswer(msgspec.Struct, frozen=True):
    """`getmodel`, and each of `listmodels`."""

    id: HexHash
    name: str
    owner: str
    licence: str
    royalties: tuple[RoyaltyAnswer, ...]
    height: U63
    jobs: U63
    input: InputAnswer
    output: TensorAnswer
    max_items: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]
    macs_per_item: U63
    program: HexHash
    weights: HexHash

    @property
    def input_rule(self) -> InputRule:
        """What an input must satisfy."""
        interval = Interval(self.input.lo, self.input.hi)
        return InputRule(Declaration(self.input.type, interval), self.max_items)


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


@model.command(
    epilog="Example: pouw model register --program digits.program --weights digits.weights "
    "--name digits --licence 'CC BY 4.0' --royalty pouw1…=10"
)
@click.option("--program", "program_file", type=_PATH, required=True, help="Canonical program.")
@click.option("--weights", "weights_file", type=_PATH, required=True, help="The weights' bytes.")
@click.option("--name", required=True, help="What people see; need not be unique.")
@click.option("--licence", metavar="FILE|TEXT", default="", help="On what terms it may be used.")
@click.option(
    "--royalty",
    "shares",
    multiple=True,
    metavar="ADDRESS=PERCENT",
    help="A contributor's part of every bounty; repeatable.",
)
@yes_option
@timeout_option
@spending_options
@json_option
def register(
    program_file: Path,
    weights_file: Path,
    name: str,
    licence: str,
    shares: tuple[str, ...],
    yes: bool,
    timeout: int,
    purse: Purse,
    as_json: bool,
) -> None:
    """Publish a model for jobs to run on; print its id.

    Program, weights and licence are public for good. What an interrupted command uploaded is not
    paid for again when it is repeated.
    """
    params = purse.params
    program, weights = load_model(params, program_file, weights_file)
    royalties = parse_royalties(params, shares)
    offer = jobs.ModelOffer(name, program, weights, read_licence(licence), royalties)
    _check_offer(params, offer)
    purse.accounts()
    require_network(purse.target)
    fee = upload_fee(purse.target.client(), params, program, weights)
    click.echo(
        f"Program ({len(program)} bytes) and weights ({len(weights)} bytes) will be public for "
        f"good; putting them on the chain takes about {format_amount(fee)} POUW.",
        err=True,
    )
    if not yes:
        confirm("Register the model?")
    key = purse.key()
    with shown_progress() as progress:
        identity = jobs.register_model(purse.session(key, progress), offer, timeout)
    if as_json:
        print_json({"id": identity.hex(), "name": name})
    else:
        click.echo(identity.hex())


@model.command("list", epilog="Example: pouw model list --network testnet")
@click.option("--limit", type=click.IntRange(1, 1000), default=_LISTED, show_default=True)
@node_options
@json_option
def list_models(limit: int, target: Target, as_json: bool) -> None:
    """List the models registered last, newest first."""
    client = target.client()
    if as_json:
        print_json(client.call("listmodels", limit=limit))
        return
    models = ask(client, list[ModelAnswer], "listmodels", limit=limit)
    rows = [
        (each.id, each.name, each.input.type, each.output.type, each.macs_per_item, each.jobs)
        for each in models
    ]
    columns = ("id", "name", "input", "output", "MACs per item", "jobs")
    print_rows(columns, rows, "no model is registered")


@model.command(epilog="Example: pouw model show MODEL")
@click.argument("identity", metavar="MODEL")
@node_options
@json_option
def show(identity: str, target: Target, as_json: bool) -> None:
    """Show what a registered MODEL takes, gives and costs."""
    raw = parse_id(identity, "a model")
    client = target.client()
    if as_json:
        print_json(client.call("getmodel", id=raw.hex()))
        return
    found = find_model(client, raw)
    facts = msgspec.structs.asdict(found)
    facts["input"] = f"{found.input.type} in [{found.input.lo}, {found.input.hi}]"
    facts["output"] = str(found.output.type)
    facts["licence"] = found.licence.splitlines()
    facts["royalties"] = [f"{share.to} {_percent(share.basis_points)}" for share in found.royalties]
    print_fields(facts)


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
    bodies.register_model(params, offer.name, *roots, offer.licence, offer.royalties)


def _percent(basis_points: int) -> str:
    whole, rest = divmod(basis_points, _BASIS_POINTS_PER_PERCENT)
    return f"{whole}.{rest:02d} %"
