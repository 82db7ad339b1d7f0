"""`pouw-miner bench`: what this machine can do, and what that is expected to bring."""

import json
import platform
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import click

from ..consensus.prices import subsidy
from ..core.errors import UserError
from ..core.units import BASE_UNITS_PER_POUW, format_amount
from ..genesis import NETWORKS, Params, network
from ..miner.bench import SHAPES, Row, measure, together
from ..miner.devices import Device, use_one_thread
from ..miner.forecast import Forecast, forecast, format_macs, format_seconds
from ..miner.rate import format_rate
from ..miner.selection import choose_devices
from ..miner.status import NodeInfo
from ..wallet.answers import ask
from ..wallet.client import RpcClient
from .common import DEFAULT_NETWORK
from .minershow import device_option
from .progress import shown_progress

_MAX_DIFFICULTY: Final = (1 << 256) - 1
_KINDS: Final = ("plain", "useful", "idle")


@dataclass(frozen=True, slots=True)
class _Goal:
    """What a forecast is made for."""

    params: Params
    difficulty: int
    subsidy: int
    source: str
    """Where the difficulty comes from, in words."""


@click.command(
    epilog="""\b
Examples:
  pouw-miner bench
  pouw-miner bench --node http://127.0.0.1:9341     at the network's difficulty of now
  pouw-miner bench --device cpu:4 --network testnet --json
"""
)
@device_option
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option("--node", metavar="URL", help="Take difficulty and subsidy from this node.")
@click.option(
    "--difficulty",
    type=click.IntRange(min=1),
    metavar="MACS",
    help="Expect blocks at this difficulty.  [default: the network's initial one]",
)
@click.option(
    "--network",
    "network_name",
    type=click.Choice(list(NETWORKS)),
    help=f"Whose subsidy and block spacing.  [default: {DEFAULT_NETWORK}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    device: str,
    repeats: int,
    node: str | None,
    difficulty: int | None,
    network_name: str | None,
    as_json: bool,
) -> None:
    """Measure how fast this machine multiplies, and what mining is expected to bring.

    For each device and shape: multiply-accumulates (MACs) per second plainly, usefully (a job's
    product with tickets drawn) and idly, tickets per second, and how long a node takes to verify
    a ticket. Nothing is mined and nothing is sent.
    """
    goal = _goal(node, difficulty, network_name)  # before minutes are spent on measuring
    use_one_thread()
    with ExitStack() as opened:
        chosen = choose_devices(device, _tell)
        for each in chosen:
            opened.callback(each.device.close)
            _tell(f"{each.device.name}: {each.why}")
        devices = {each.device.name: each.why for each in chosen}
        rows = _measure([each.device for each in chosen], repeats)
    expected = forecast(goal.difficulty, together(rows), goal.subsidy, goal.params.target_spacing)
    if as_json:
        click.echo(json.dumps(_report(device, devices, rows, goal, expected)))
        return
    _print_rows(rows)
    _print_forecast(goal, expected)


def _goal(node: str | None, difficulty: int | None, name: str | None) -> _Goal:
    if node is None:
        params = network(name or DEFAULT_NETWORK)
        if difficulty is not None:
            if difficulty > _MAX_DIFFICULTY:
                raise UserError("--difficulty is below 2^256: no header can hold more")
            return _Goal(params, difficulty, subsidy(params, 1), "the difficulty given")
        source = f"{params.name}'s initial difficulty, not today's: --node URL asks a node"
        return _Goal(params, params.initial_difficulty, subsidy(params, 1), source)
    if difficulty is not None or name is not None:
        raise UserError("--node tells network and difficulty: drop --network and --difficulty")
    info = ask(RpcClient(node), NodeInfo, "getinfo")
    params = network(info.network[:64])
    if info.difficulty is None or info.subsidy is None:
        raise UserError(f"{node} does not tell its difficulty: update the node, or --difficulty")
    return _Goal(params, info.difficulty, info.subsidy, f"{node} at height {info.height}")


def _measure(devices: list[Device], repeats: int) -> list[Row]:
    rows: list[Row] = []
    stop = threading.Event()
    with shown_progress() as progress:
        for done, shape in enumerate(SHAPES):
            progress(f"measuring {'×'.join(map(str, shape))}", done, len(SHAPES))
            rows += measure(devices, shape, repeats, stop)
    return rows


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _report(
    device: str, devices: dict[str, str], rows: list[Row], goal: _Goal, expected: Forecast
) -> dict[str, Any]:
    return {
        "benchmark": "miner",
        "device": device,
        "devices": devices,
        "machine": f"{platform.processor() or platform.machine()} {platform.system()}",
        "rows": rows,
        "network": goal.params.name,
        "difficulty_source": goal.source,
        "expected": expected.fields(),
    }


def _print_rows(rows: list[Row]) -> None:
    click.echo(_line(["", "", *([""] * len(_KINDS)), "useful/", "tickets/s", "verify"]))
    click.echo(_line(["device", "m×n×k", *_KINDS, "plain", "useful–idle", "a ticket"]))
    for row in rows:
        speeds = [format_rate(float(row[f"{kind}_macs_per_s"])) for kind in _KINDS]
        tickets = "–".join(f"{row[f'{kind}_tickets_per_s']:,.0f}" for kind in _KINDS[1:])
        shape = f"{row['m']}×{row['n']}×{row['k']}"
        ratio, verify = str(row["useful_ratio"]), f"{row['verify_ms']} ms"
        click.echo(_line([str(row["device"]), shape, *speeds, ratio, tickets, verify]))


def _line(cells: list[str]) -> str:
    widths = (8, 15, 12, 12, 12, 8, 17, 9)
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _print_forecast(goal: _Goal, expected: Forecast) -> None:
    per_day = _figure(expected.base_units_per_day / BASE_UNITS_PER_POUW)
    click.echo(
        f"\nMining idly at {format_rate(expected.macs_per_s)}, the best shape above, all devices "
        f"together,\nat a difficulty of {format_macs(goal.difficulty)} ({goal.source}):\n"
        f"  expected time to a block   {format_seconds(expected.seconds_to_block)}\n"
        f"  expected blocks a day      {_figure(expected.blocks_per_day)}\n"
        f"  expected POUW a day        {per_day}, at {format_amount(goal.subsidy)} a block\n"
        "An expectation, not a promise: finding blocks is a lottery, and the difficulty follows\n"
        "everybody's speed. Jobs pay their bounties on top."
    )
    if expected.too_fast:
        click.echo(
            f"This machine alone finds blocks faster than {goal.params.name}'s "
            f"{goal.params.target_spacing} s: the difficulty\nwould rise, so a day is counted "
            "with one block per spacing."
        )
