"""`pouw devnet`: a network of real processes on this machine, and the demo that proves it."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Final

import click
from rich.console import Console

from ..core.errors import UserError
from ..devnet.cluster import PASSWORD, Cluster
from ..devnet.demo import IDLE, MINERS, NODES, run_demo
from ..devnet.digits import train_digits
from .common import json_option, print_json

_WATCH_SECONDS: Final = 1.0


@click.group()
def devnet() -> None:
    """Run a network of your own on this machine; its coins are worth nothing."""


@devnet.command(epilog="Example: pouw devnet demo")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep folders and logs here.")
@json_option
def demo(folder: Path | None, as_json: bool) -> None:
    """Run the main job end to end: three nodes, two miners, one real AI job.

    Exits with 0 only if everything that it claims holds.
    """
    _end_on_terminate()
    started = time.monotonic()
    console = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="pouw-demo-") as scratch:
        report = run_demo(folder or Path(scratch) / "devnet", Steps(console))
    report.facts["time"] = f"{time.monotonic() - started:.0f} s"
    if as_json:
        print_json(report.as_json())
    else:
        report.show(Console(highlight=False))
    if not report.holds:
        raise UserError("not everything holds; run again with --folder to keep the logs")


@devnet.command(epilog="Example: pouw devnet up --nodes 3 --miners 2")
@click.option("--nodes", default=NODES, show_default=True, type=click.IntRange(1, 20))
@click.option("--miners", default=MINERS, show_default=True, type=click.IntRange(1, 8))
@click.option("--idle-rate", default=IDLE[1], show_default=True, help="MAC/s of each miner.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("devnet-data"),
    show_default=True,
    help="Where folders, wallets and logs go; an earlier devnet there is replaced.",
)
def up(nodes: int, miners: int, idle_rate: str, folder: Path) -> None:
    """Start a devnet and keep it running until Ctrl-C.

    Processes may be stopped and started by hand meanwhile; the commands are printed.
    """
    _end_on_terminate()
    with Cluster(folder.resolve(), nodes, [("--idle-rate", idle_rate)] * miners) as cluster:
        cluster.start(Steps(Console(stderr=True, highlight=False)))
        _describe(cluster)
        _watch(cluster)


@devnet.command(epilog="Example: pouw devnet digits --folder digits")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("digits"),
    show_default=True,
    help="Where the files go.",
)
def digits(folder: Path) -> None:
    """Train the demo's classifier and write the files to register and ask it.

    digits.program and digits.weights are for `pouw model register`, images.npy holds images it
    has not seen for `pouw job submit`, labels.npy their true digits.
    """
    model = train_digits()
    model.save(folder)
    click.echo(f"accuracy of the float model: {model.accuracy(model.float_answers):.2%}", err=True)
    for name in sorted(path.name for path in folder.iterdir()):
        click.echo(str(folder / name))


class Steps:
    """Progress for people: one line per stage and step, on stderr."""

    def __init__(self, console: Console) -> None:
        self._console: Final = console
        self._started: Final = time.monotonic()
        self._told = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell a step, once."""
        line = f"{stage} {done}/{total}" if total > 1 else f"{stage}{' ✓' if done else ' …'}"
        if line != self._told:
            self._told = line
            self._console.print(f"{time.monotonic() - self._started:6.1f} s  {line}")


def _describe(cluster: Cluster) -> None:
    click.echo(f"\nThe devnet runs; everything lies in {cluster.folder}\n")
    for node in cluster.nodes:
        click.echo(f"  {node.name}   RPC {node.url}   data {node.data}")
    for miner in cluster.miners:
        click.echo(f"  {miner.name}  pid {miner.pid}   log {miner.log}")
    first = cluster.nodes[0]
    click.echo(
        f"\nA funded wallet: {cluster.wallet_path('user')} (password: {PASSWORD})\n"
        "In a second terminal:\n"
        f"  export PATH={Path(sys.executable).parent}:$PATH\n"
        f"  export POUW_NETWORK=devnet POUW_RPC={first.url} POUW_DATA={first.data}\n"
        f"  export POUW_WALLET={cluster.wallet_path('user')} POUW_WALLET_PASSWORD={PASSWORD}\n"
        "  pouw wallet balance\n"
        "  pouw node stop\n"
        "Start a stopped node again with:\n"
        f"  {' '.join(first.command)}\n"
        "\nCtrl-C ends it all."
    )


def _watch(cluster: Cluster) -> None:
    """Wait for Ctrl-C; say when a process ends by itself or by somebody's hand."""
    processes = [*cluster.nodes, *cluster.miners]
    ended: set[str] = set()
    while len(ended) < len(processes):
        for process in processes:
            if process.name not in ended and not process.running:
                ended.add(process.name)
                click.echo(f"{process.name} has ended with {process.exit_code}; see {process.log}")
        time.sleep(_WATCH_SECONDS)
    raise UserError("every process of the devnet has ended")


def _end_on_terminate() -> None:
    """Let SIGINT and SIGTERM unwind, so that children are stopped.

    SIGINT too: a shell starts background commands with it ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
