"""`pouw-miner`: `run`, the default, mines for a node; `bench` measures this machine."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import click
import structlog

from .._version import __version__
from ..core.errors import UserError
from ..core.keys import format_address, parse_address
from ..miner.config import MinerConfig
from ..miner.devices import Device, use_one_thread
from ..miner.node_link import TokenSource, no_token
from ..miner.rate import parse_rate
from ..miner.selection import choose_devices
from ..miner.service import Miner
from ..node.config import default_data
from ..node.logs import configure_logs
from ..node.token import TOKEN_FILE
from ..wallet import keystore
from .bench import bench
from .common import is_local
from .main import run as run_command
from .minershow import Show, device_option, is_watched, parse_endpoint
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
    epilog="""\b
Examples:
  pouw-miner --node http://127.0.0.1:9341 --wallet miner.json --payout tpouw1…
  pouw-miner --node http://127.0.0.1:9341 --wallet miner.json --idle-rate 5G --no-jobs
  pouw-miner --node http://127.0.0.1:9341 --wallet miner.json --metrics 127.0.0.1:9464
"""
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
@device_option
@click.option("--rate", metavar="MAC/s", help="Cap of all work, like 5M or 2G.")
@click.option("--idle-rate", metavar="MAC/s", help="Cap of idle mining alone.")
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
@click.option("--plain", is_flag=True, help="Log lines, even where a live view could be shown.")
@click.option("--json-log", is_flag=True, help="Log one JSON object per line.")
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve Prometheus metrics there; a port alone means this machine only.  [default: off]",
)
def run(
    node: str,
    wallet: Path,
    password_file: Path | None,
    payout: str | None,
    device: str,
    rate: str | None,
    idle_rate: str | None,
    token: str | None,
    token_file: Path | None,
    state: Path | None,
    no_jobs: bool,
    no_idle: bool,
    plain: bool,
    json_log: bool,
    metrics: str | None,
) -> None:
    """Mine for a node until interrupted (the default command).

    On a terminal a live view is shown, elsewhere lines of log; both on standard error.
    """
    if json_log:
        _configure_json_logs()
    else:
        configure_logs()
    if no_jobs and no_idle:
        raise UserError("--no-jobs and --no-idle leave nothing to do: drop one of them")
    cap = None if rate is None else parse_rate(rate)
    idle_cap = None if idle_rate is None else parse_rate(idle_rate)
    endpoint = None if metrics is None else parse_endpoint(metrics)
    if token is not None and token_file is not None:
        raise UserError("give either --token or --token-file")
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
        rate=cap,
        idle_rate=idle_cap,
        take_jobs=not no_jobs,
        mine_idle=not no_idle,
    )
    miner = Miner(config, _open_devices(device))
    live = is_watched() and not plain and not json_log
    _run_until_signal(miner, Show(config, miner, live=live, metrics=endpoint))


cli.add_command(bench)


def main() -> NoReturn:
    """Run `pouw-miner` with the process's arguments."""
    run_command(cli, "pouw-miner")


def _open_devices(request: str) -> list[Device]:
    log = structlog.get_logger(__name__)
    chosen = choose_devices(request, lambda why: log.info("device.refused", why=why))
    for each in chosen:
        log.info("device.chosen", device=each.device.name, why=each.why)
    use_one_thread()
    return [each.device for each in chosen]


def _run_until_signal(miner: Miner, show: Show) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        # In a thread: this one may be inside `stop.wait` and hold the lock that `set` asks for.
        threading.Thread(target=miner.stop.set, name="stop").start()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    with show.shown():
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
