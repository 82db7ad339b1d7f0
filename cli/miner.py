"""`pouw-miner`: `run`, the default, mines for a node; `bench` measures this machine."""

import json
import logging
import os
import platform
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import click
import structlog

from .._version import __version__
from ..core.errors import UserError
from ..core.keys import format_address, parse_address
from ..miner.bench import SHAPES, measure
from ..miner.config import MinerConfig
from ..miner.devices import open_device, use_one_thread
from ..miner.node_link import TokenSource, no_token
from ..miner.rate import format_rate, parse_rate
from ..miner.service import Miner
from ..node.config import default_data
from ..node.logs import configure_logs
from ..node.token import TOKEN_FILE
from ..wallet import keystore
from .common import is_local
from .main import run as run_command
from .purse import first_line, read_password

_DEFAULT_COMMAND: Final = "run"
_OWN_OPTIONS: Final = ("-h", "--help", "--version")


class _Group(click.Group):
    """Takes `pouw-miner --node …` for `pouw-miner run --node …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in _OWN_OPTIONS):
            args = [_DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pouw-miner")
def cli() -> None:
    """Mine POUW: claim paid AI jobs, execute them, secure the chain with the same work."""


@cli.command(
    epilog="Example: pouw-miner --node http://127.0.0.1:9341 --wallet miner.json --payout tpouw1…"
)
@click.option("--node", required=True, metavar="URL", help="The node's JSON-RPC address.")
@click.option(
    "--wallet",
    required=True,
    type=click.Path(path_type=Path),
    help="Wallet file; its first account is the hot key that holds bonds.",
)
@click.option("--password-file", type=click.Path(path_type=Path), help="File with its password.")
@click.option("--payout", metavar="ADDRESS", help="Gets block rewards; the hot key by default.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda:0.")
@click.option("--idle-rate", metavar="MAC/s", help="Cap of idle mining, like 5M or 2G.")
@click.option("--token", help="The node's token; it changes whenever the node starts.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help=f"File the node keeps its token in.  [default: {TOKEN_FILE} in the data folder of this "
    "machine's node]",
)
@click.option("--state", type=click.Path(path_type=Path), help="Folder for unfinished jobs.")
@click.option("--no-jobs", is_flag=True, help="Only mine idly.")
@click.option("--no-idle", is_flag=True, help="Only work on jobs.")
@click.option("--json-log", is_flag=True, help="Log one JSON object per line.")
def run(
    node: str,
    wallet: Path,
    password_file: Path | None,
    payout: str | None,
    device: str,
    idle_rate: str | None,
    token: str | None,
    token_file: Path | None,
    state: Path | None,
    no_jobs: bool,
    no_idle: bool,
    json_log: bool,
) -> None:
    """Mine for a node until interrupted (the default command)."""
    if json_log:
        _configure_json_logs()
    else:
        configure_logs()
    if no_jobs and no_idle:
        raise UserError("--no-jobs and --no-idle leave nothing to do: drop one of them")
    rate = None if idle_rate is None else parse_rate(idle_rate)
    if token is not None and token_file is not None:
        raise UserError("give either --token or --token-file")
    opened = open_device(device)
    use_one_thread()
    unlocked = keystore.unlock(wallet, read_password(password_file))
    params, key = unlocked.params, unlocked.key()
    own = format_address(key.address, params.address_prefix)
    config = MinerConfig(
        params=params,
        node=node,
        token=_token_source(token, token_file or _own_nodes_token(node, params.name)),
        key=key,
        payout=parse_address(payout or own, params.address_prefix),
        state=state or wallet.with_name(wallet.name + ".miner"),
        idle_rate=rate,
        take_jobs=not no_jobs,
        mine_idle=not no_idle,
    )
    _run_until_signal(Miner(config, opened))


@cli.command(epilog="Example: pouw-miner bench --device cpu")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda:0.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(device: str, repeats: int, as_json: bool) -> None:
    """Measure this machine's plain, useful and idle multiply-accumulates per second."""
    opened = open_device(device)
    use_one_thread()
    rows = [measure(opened, shape, repeats) for shape in SHAPES]
    if as_json:
        machine = f"{platform.processor() or platform.machine()} {platform.system()}"
        result = {"benchmark": "miner", "device": device, "machine": machine, "rows": rows}
        click.echo(json.dumps(result))
        return
    click.echo(f"{'m×n×k':>18} {'plain':>14} {'useful':>14} {'idle':>14}   useful/plain")
    for row in rows:
        shape = f"{row['m']}×{row['n']}×{row['k']}"
        speeds = [format_rate(row[f"{kind}_macs_per_s"]) for kind in ("plain", "useful", "idle")]
        columns = " ".join(f"{speed:>14}" for speed in speeds)
        click.echo(f"{shape:>18} {columns}   {row['useful_ratio']}")


def main() -> NoReturn:
    """Run `pouw-miner` with the process's arguments."""
    run_command(cli, "pouw-miner")


def _run_until_signal(miner: Miner) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        miner.stop.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    miner.run()
    status = 1 if miner.failed else 0
    if not miner.finished:
        # A thread inside torch cannot be interrupted, and would crash an interpreter that shuts
        # down around it. Whatever must last is on disk already.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _own_nodes_token(url: str, network: str) -> Path | None:
    """Return where this machine's node keeps its token; no other node is told it."""
    if not is_local(url):
        return None
    folder = os.environ.get("POUW_DATA")
    return (Path(folder) if folder else default_data(network)) / TOKEN_FILE


def _token_source(token: str | None, file: Path | None) -> TokenSource:
    if token is not None:
        return lambda: token
    if file is None:
        return no_token

    def read() -> str | None:
        try:
            return first_line(file, "the token")
        except UserError:
            return None  # the node is not up yet, or not any more: calls to it will say so

    return read


def _configure_json_logs() -> None:
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
