"""One runner for all benchmarks; prints a table, or one JSON object with --json."""

import importlib
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click
import structlog

from ..core.errors import PouwError

NAMES: Final = ("matmul", "ticket", "freivalds", "models", "mempool", "fraud")


@click.command(epilog="Example: python -m pouw.benchmarks ticket --json")
@click.argument("name", required=False, type=click.Choice(NAMES))
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda:0 where supported.")
@click.option("--repeats", default=5, show_default=True, help="Counted runs; the median is shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(name: str | None, device: str, repeats: int, as_json: bool) -> None:
    """Run the benchmark NAME, or list the benchmarks."""
    if name is None:
        for known in NAMES:
            module = importlib.import_module(f".{known}", __package__)
            click.echo(f"{known:10} {(module.__doc__ or '').splitlines()[0]}")
        return
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    measured = "matmul_cuda" if name == "matmul" and device != "cpu" else name
    try:
        rows: list[dict[str, Any]] = importlib.import_module(f".{measured}", __package__).run(
            device, repeats
        )
    except PouwError as error:
        raise click.ClickException(str(error)) from None
    report = {"benchmark": name, "commit": _commit(), "machine": _machine(), "rows": rows}
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(f"{name} at {report['commit']} on {report['machine']}")
    for row in rows:
        click.echo("  ".join(f"{key}={value}" for key, value in row.items()))


def _commit() -> str:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _machine() -> str:
    """Name the processor as /proc/cpuinfo does, where there is one."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
