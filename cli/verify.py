"""`pouw job verify`: re-check a settled job from its data, and say what was checked."""

from pathlib import Path
from typing import Any, Final

import click
import structlog

from ..core.errors import UserError
from ..core.hashing import Hash
from ..node.freivalds import ExactThinProducts
from ..node.logs import configure_logs
from ..node.multiplier import ExactMultiplier
from .arguments import parse_id
from .audit import TRUSTED, Check, Wrong, audit
from .common import Target, json_option, node_options, print_json
from .evidence import Evidence, fetch_evidence, load_evidence, save_evidence
from .progress import shown_progress
from .purse import require_network

_folder: Final = click.Path(file_okay=False, path_type=Path)


@click.command(epilog="Example: pouw job verify JOB --save evidence")
@click.argument("identity", metavar="JOB")
@click.option("--save", type=_folder, help="Write all data into this new folder.")
@click.option("--offline", type=_folder, help="Read the data from such a folder, ask no node.")
@node_options
@json_option
def verify(
    identity: str, save: Path | None, offline: Path | None, target: Target, as_json: bool
) -> None:
    """Check the result of a settled JOB again, from its data alone.

    Recomputes the job on this machine and ends with an error unless all holds. A folder written
    with --save is all that --offline needs, on any machine.
    """
    if save is not None and offline is not None:
        raise click.UsageError("either --save or --offline")
    job = parse_id(identity, "a job")
    if not structlog.is_configured():  # what the multipliers say must not mix with the answer
        configure_logs()
    evidence = _collect(job, offline, target)
    if save is not None:
        size = save_evidence(evidence, save)
        click.echo(f"{size:,} bytes in {save}", err=True)
    checks: list[Check] = []
    wrong: Wrong | None = None
    try:
        for check in audit(evidence, target.params, ExactMultiplier(), ExactThinProducts()):
            checks.append(check)
            if not as_json:
                click.echo(f"holds  {check.name:<14} {check.seconds:8.3f} s  {check.said}")
    except Wrong as failure:
        wrong = failure
    if as_json:
        print_json(_report(job, checks, wrong))
    if wrong is not None:
        raise UserError(f"job {job.hex()} does not hold: {wrong}")
    if not as_json:
        click.echo(f"job {job.hex()} is right. Not checked, but trusted:")
        for each in TRUSTED:
            click.echo(f"  - {each}")


def _collect(job: Hash, offline: Path | None, target: Target) -> Evidence:
    """Fetch or read the data. Raises UserError, also for a folder about something else."""
    if offline is None:
        require_network(target)
        with shown_progress() as progress:
            return fetch_evidence(target.client(), target.params.name, job, progress)
    evidence = load_evidence(offline)
    if (evidence.network, evidence.job) != (target.params.name, job):
        raise UserError(
            f"{offline} is about job {evidence.job.hex()} of {evidence.network}: "
            "name both as they are there"
        )
    return evidence


def _report(job: Hash, checks: list[Check], wrong: Wrong | None) -> dict[str, Any]:
    return {
        "job": job.hex(),
        "holds": wrong is None,
        "checks": [
            {"check": each.name, "seconds": round(each.seconds, 6), "holds": each.said}
            for each in checks
        ],
        "wrong": None if wrong is None else {"check": wrong.check, "reason": wrong.reason},
        "trusted": list(TRUSTED),
    }
