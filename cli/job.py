"""`pouw job`: have a model's answer computed, and fetch it."""

from pathlib import Path
from typing import Any, Final

import click
import msgspec
import numpy as np

from ..core.codec import U63
from ..core.errors import UserError
from ..core.hashing import Hash
from ..core.transaction import MAX_OUTPUT_BYTES
from ..core.units import format_amount, parse_amount
from ..genesis import Params
from ..wallet import jobs
from ..wallet.answers import HexHash, JobState, Quote, ask, ask_optional
from ..wallet.client import RpcClient
from .arguments import parse_id
from .common import Target, json_option, node_options, print_fields, print_json, print_rows
from .encoding import classes_of, input_rule, output_numbers
from .model import find_model
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
from .tensorfile import output_array, read_input, require_result_name, write_result
from .verify import verify

_LISTED: Final = 100
_STATUSES: Final = ("submitted", "claimed", "committed", "settled", "expired", "cancelled")
_SHOWN_VALUES: Final = 1_000
"""Values of a result shown in full on a terminal; of longer ones the beginnings and ends."""

_input_option: Final = click.option(
    "--input",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Raw values, or an .npy array [items, …]: of the model's element type, or of floats where "
    "its card tells how they are encoded.",
)


class JobQuote(Quote, frozen=True, kw_only=True):
    """`quotejob`, with what tells beforehand that a job would be refused."""

    items: U63
    check_macs: U63
    check_bytes: U63
    posted_bytes: U63
    """Results of long products, which the worker puts on the chain."""
    earliest_deadline: U63
    """Height before which no worker could deliver."""

    @property
    def overhead(self) -> int:
        """Base units that a job takes besides its bounty."""
        return self.burn + self.check_fee


class JobAnswer(JobState, frozen=True, kw_only=True):
    """`getjob`, and each of `listjobs`, as people want to see them."""

    id: HexHash
    model: HexHash
    input: HexHash
    check_fee: U63
    burn: U63
    items: U63
    macs: U63
    submitted: U63
    blocks: U63
    """Blocks that the job's own products mined."""


@click.group()
def job() -> None:
    """Submit AI jobs and fetch their results.

    Whatever is submitted is public for good: inputs and outputs, too.
    """


job.add_command(verify)


@job.command(epilog="Example: pouw job quote MODEL --input images.npy")
@click.argument("model")
@_input_option
@node_options
@json_option
def quote(model: str, file: Path, target: Target, as_json: bool) -> None:
    """Tell what the answer of MODEL on an input costs; nothing is sent."""
    identity = parse_id(model, "a model")
    height = require_network(target).height
    data = _load_input(target.client(), identity, file)
    quoted = _quote(target, identity, data)
    fee = upload_fee(target.client(), target.params, data)
    shares = _shares_of_a_block(target.params, quoted, len(data))
    if as_json:
        facts = msgspec.structs.asdict(quoted)
        print_json({**facts, "upload_fee": fee, "input_bytes": len(data), "of_a_block": shares})
        return
    print_fields(
        {
            "items": quoted.items,
            "multiply-accumulates": quoted.macs,
            "to be checked": f"{quoted.check_macs} MACs, {shares['check_macs']:.2%} of a block's",
            "touched by that": f"{quoted.check_bytes} bytes, {shares['check_bytes']:.2%}",
            "to be stored": f"{len(data) + quoted.posted_bytes} bytes, {shares['blob_bytes']:.2%}",
            "burned": _pouw(quoted.burn),
            "for checking": _pouw(quoted.check_fee),
            "upload, about": _pouw(fee),
            "least bounty": _pouw(quoted.min_bounty),
            "least deadline": f"{quoted.earliest_deadline - height} blocks",
            "in all, about": _pouw(quoted.overhead + fee + quoted.min_bounty),
        }
    )


@job.command(epilog="Example: pouw job submit MODEL --input images.npy --bounty 2 --wait")
@click.argument("model")
@_input_option
@click.option("--bounty", metavar="AMOUNT", help="For the worker, in POUW.  [default: as quoted]")
@click.option(
    "--deadline",
    type=click.IntRange(1),
    metavar="BLOCKS",
    help="When to be refunded at the latest.  [default: room for three workers]",
)
@click.option("--wait", is_flag=True, help="Until the job is settled or refunded.")
@yes_option
@timeout_option
@spending_options
@json_option
def submit(
    model: str,
    file: Path,
    bounty: str | None,
    deadline: int | None,
    wait: bool,
    yes: bool,
    timeout: int,
    purse: Purse,
    as_json: bool,
) -> None:
    """Ask for the answer of MODEL on an input; print the job's id.

    Input and output are public for good. What is not used of the price comes back when the job is
    cancelled, or expires at its deadline.
    """
    identity = parse_id(model, "a model")
    reward = None if bounty is None else parse_amount(bounty)
    purse.accounts()
    target, client = purse.target, purse.target.client()
    height = require_network(target).height
    data = _load_input(client, identity, file)
    quoted = _quote(target, identity, data)
    if deadline is not None:
        _check_deadline(purse.params, deadline, quoted.earliest_deadline - height)
    reward = quoted.min_bounty if reward is None else reward
    _tell_price(quoted, reward, upload_fee(client, purse.params, data))
    if not yes:
        confirm("Submit the job?")
    key = purse.key()
    with shown_progress() as progress:
        session = purse.session(key, progress)
        submitted = jobs.submit_job(session, identity, data, timeout, reward, deadline)
        if not as_json:
            click.echo(submitted.hex())
        elif wait:
            click.echo(f"submitted as {submitted.hex()}", err=True)
        state = jobs.wait_for_job(session, submitted, timeout) if wait else None
    _tell_end(submitted, state, as_json)


@job.command(epilog="Example: pouw job status JOB")
@click.argument("identity", metavar="JOB")
@node_options
@json_option
def status(identity: str, target: Target, as_json: bool) -> None:
    """Show where JOB stands."""
    raw = parse_id(identity, "a job")
    client = target.client()
    found = ask_optional(client, JobAnswer, "getjob", id=raw.hex())
    if found is None:
        raise UserError(f"no job {raw.hex()} on this chain: check its id")
    if as_json:
        print_json(client.call("getjob", id=raw.hex()))
        return
    facts: dict[str, Any] = {"id": found.id, **msgspec.structs.asdict(found)}
    for name in ("bounty", "check_fee", "burn"):
        facts[name] = _pouw(facts[name])
    print_fields(facts)


@job.command(epilog="Example: pouw job result JOB --output answer.npy")
@click.argument("identity", metavar="JOB")
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the values here, to .npy or raw to .bin, instead of printing them.",
)
@click.option(
    "--floats", is_flag=True, help="What the integers stand for, as the model's card tells it."
)
@node_options
@json_option
def result(identity: str, file: Path | None, floats: bool, target: Target, as_json: bool) -> None:
    """Fetch the result of a settled JOB, which every node has checked."""
    raw = parse_id(identity, "a job")
    if file is not None:
        require_result_name(file)
    client = target.client()
    found = jobs.read_result(client, raw)
    values = output_array(found.output, found.dtype, found.shape)
    classes: list[str] = []
    if floats:
        used = find_model(
            client, bytes.fromhex(ask(client, JobAnswer, "getjob", id=raw.hex()).model)
        )
        values = output_numbers(used, found.output)
        classes = classes_of(used, values)
    facts: dict[str, Any] = {
        "job": raw.hex(),
        "worker": found.worker,
        "block": found.block.hex(),
        "height": found.height,
        "dtype": str(values.dtype),
        "shape": list(values.shape),
    }
    if classes:
        facts["classes"] = classes
    if file is not None:
        write_result(file, values)
        facts["file"] = str(file)
    if as_json:
        print_json(facts if file is not None else {**facts, "values": values.tolist()})
        return
    shown = {"shape": " × ".join(map(str, values.shape)), "classes": " ".join(classes) or None}
    print_fields({name: shown.get(name, fact) for name, fact in facts.items()})
    if file is None:
        click.echo(np.array2string(values, threshold=_SHOWN_VALUES, separator=", "))


@job.command(epilog="Example: pouw job cancel JOB")
@click.argument("identity", metavar="JOB")
@timeout_option
@spending_options
@json_option
def cancel(identity: str, timeout: int, purse: Purse, as_json: bool) -> None:
    """Take JOB back, which nobody has claimed yet, and be refunded."""
    raw = parse_id(identity, "a job")
    purse.accounts()
    require_network(purse.target)
    state = jobs.job_state(purse.target.client(), raw)
    if state.status != "submitted":
        raise UserError(f"job {raw.hex()} cannot be cancelled any more: it is {state.status}")
    key = purse.key()
    with shown_progress() as progress:
        progress("waiting for a block", 0, 1)
        jobs.cancel_job(purse.session(key, progress), raw, timeout)
    if as_json:
        print_json({"job": raw.hex(), "status": "cancelled"})
    else:
        click.echo(f"job {raw.hex()} is cancelled; {_pouw(state.bounty)} of bounty came back")


@job.command("list", epilog="Example: pouw job list --status submitted")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 1000), default=_LISTED, show_default=True)
@node_options
@json_option
def list_jobs(status: str | None, limit: int, target: Target, as_json: bool) -> None:
    """List the jobs submitted last, newest first."""
    client = target.client()
    if as_json:
        print_json(client.call("listjobs", status=status, limit=limit))
        return
    found = ask(client, list[JobAnswer], "listjobs", status=status, limit=limit)
    rows = [
        (each.id, each.status, _pouw(each.bounty), each.items, each.macs, each.deadline)
        for each in found
    ]
    columns = ("id", "status", "bounty", "items", "MACs", "deadline")
    print_rows(columns, rows, "no such job")


def _load_input(client: RpcClient, model: Hash, file: Path) -> bytes:
    """Read an input and hold it to the model. Raises UserError."""
    found = find_model(client, model)
    data = read_input(file, input_rule(found))
    size = found.input_rule.items_of(len(data)) * found.output.type.bytes
    if size > MAX_OUTPUT_BYTES:
        raise UserError(
            f"{file}: the output would have {size} bytes, a settlement holds {MAX_OUTPUT_BYTES}: "
            "send fewer items"
        )
    return data


def _quote(target: Target, model: Hash, data: bytes) -> JobQuote:
    """Ask for a job's price. Raises UserError also for one that no block could check."""
    params = target.params
    quoted = ask(target.client(), JobQuote, "quotejob", model=model.hex(), input_size=len(data))
    for needed, allowed, unit in (
        (quoted.check_macs, params.max_job_macs, "MACs"),
        (quoted.check_bytes, params.max_job_bytes, "bytes"),
    ):
        if needed > allowed:
            raise UserError(
                f"checking the job takes {needed} {unit}, {params.name} allows {allowed}: "
                "send fewer items"
            )
    return quoted


def _shares_of_a_block(params: Params, quoted: JobQuote, size: int) -> dict[str, float]:
    """Return what part a job takes of what one block may have checked and stored."""
    return {
        "check_macs": quoted.check_macs / params.block_check_macs,
        "check_bytes": quoted.check_bytes / params.block_check_bytes,
        "blob_bytes": (size + quoted.posted_bytes) / params.max_chunk_bytes,
    }


def _check_deadline(params: Params, blocks: int, least: int) -> None:
    """Raise UserError for a deadline that no worker could meet, or that is too far."""
    if blocks < least:
        raise UserError(f"no worker could deliver within {blocks} blocks: allow {least} or more")
    if blocks > params.max_deadline_blocks:
        raise UserError(f"a deadline is at most {params.max_deadline_blocks} blocks away")


def _tell_price(quoted: JobQuote, bounty: int, upload: int) -> None:
    total = bounty + quoted.overhead + upload
    click.echo("The input and the output will be public, for good.", err=True)
    click.echo(
        f"The job takes about {_pouw(total)}: bounty {_pouw(bounty)}, "
        f"burned {_pouw(quoted.burn)}, for checking {_pouw(quoted.check_fee)}, "
        f"upload {_pouw(upload)}.",
        err=True,
    )


def _tell_end(identity: Hash, state: JobState | None, as_json: bool) -> None:
    """Say how a job ended that was waited for. Raises UserError unless it was settled."""
    if as_json:
        answer = {"job": identity.hex(), "status": "submitted" if state is None else state.status}
        print_json(answer if state is None else {**answer, "worker": state.worker})
    if state is None:
        return
    if state.status != "settled":
        raise UserError(f"job {identity.hex()} is {state.status}: it has no result")
    if not as_json:
        click.echo(f"settled; see `pouw job result {identity.hex()}`", err=True)


def _pouw(units: int) -> str:
    return f"{format_amount(units)} POUW"
