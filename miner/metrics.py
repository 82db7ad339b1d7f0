"""What a miner does, for Prometheus: the names below stay as they are.

Every scrape reads the meter and the status afresh; nothing is counted twice.
"""

from collections.abc import Callable, Iterator
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from .._version import __version__
from ..core.errors import UserError
from .meter import Counts, Meter
from .sensors import Sensors
from .status import MinerStatus

LOOPBACK: Final = "127.0.0.1"
_MAX_PORT: Final = 65_535
_NO_DEVICE: Final = ""
"""Label of work that was counted for no device; Prometheus reads it as an absent label."""


def parse_endpoint(text: str) -> tuple[str, int]:
    """Read "HOST:PORT", "[::1]:PORT", or a port alone, which means loopback. Raises UserError."""
    host, _, port = text.strip().rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else -1
    bare = host.removeprefix("[").removesuffix("]")
    if not 0 <= number <= _MAX_PORT or (":" in host and host != f"[{bare}]"):
        raise UserError(f"'{text}' is no address to serve metrics at: write {LOOPBACK}:9464")
    return bare or LOOPBACK, number


class MetricsServer:
    """Serves `http://HOST:PORT/metrics` to whoever can reach it. Nothing in it is secret."""

    def __init__(
        self, meter: Meter, status: Callable[[], MinerStatus], host: str, port: int
    ) -> None:
        """Prepare; port 0 takes any free one."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(MinerCollector(meter, status))
        self._host, self._port = host, port
        self._server: WSGIServer | None = None

    @property
    def url(self) -> str:
        """Where it serves, once started."""
        port = self._port if self._server is None else self._server.server_port
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{port}/metrics"

    def start(self) -> None:
        """Begin to serve. Raises UserError when it cannot listen there."""
        try:
            self._server, _ = start_http_server(self._port, self._host, self._registry)
        except OSError as error:
            raise UserError(
                f"cannot serve metrics at {self._host}:{self._port} "
                f"({error.strerror or error}): choose another port with --metrics, "
                "or end the program that uses this one"
            ) from None

    def stop(self) -> None:
        """Serve no more and free the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class MinerCollector(Collector):
    """Turns meter, sensors and status into samples."""

    def __init__(self, meter: Meter, status: Callable[[], MinerStatus]) -> None:
        self._meter = meter
        self._status = status
        self._sensors = Sensors()

    def collect(self) -> Iterator[Metric]:
        """Yield every family, those without a known value empty."""
        status = self._status()
        info = InfoMetricFamily("pouw_miner", "Version and network.")
        info.add_metric([], {"version": __version__, "network": status.params.name})
        yield info
        yield GaugeMetricFamily("pouw_miner_uptime_seconds", "Since the start.", status.seconds)
        yield from self._work()
        yield from self._conditions()
        yield from _node(status)
        jobs = GaugeMetricFamily("pouw_miner_jobs_at_hand", "Jobs by stage.", labels=["stage"])
        for stage in ("claiming", "executing", "delivering"):
            jobs.add_metric([stage], getattr(status.jobs, stage))
        yield jobs

    def _work(self) -> Iterator[Metric]:
        total, devices = self._meter.snapshot()
        if remainder := _remainder(total, devices):
            devices[_NO_DEVICE] = remainder
        macs = CounterMetricFamily(
            "pouw_miner_macs", "Multiply-accumulates done.", labels=["device", "kind"]
        )
        tickets = CounterMetricFamily("pouw_miner_tickets", "Tickets drawn.", labels=["device"])
        for name, counts in devices.items():
            macs.add_metric([name, "useful"], counts.useful)
            macs.add_metric([name, "idle"], counts.idle)
            tickets.add_metric([name], counts.tickets)
        blocks = CounterMetricFamily(
            "pouw_miner_blocks", "Blocks that became the tip.", labels=["kind"]
        )
        blocks.add_metric(["job"], total.job_blocks)
        blocks.add_metric(["idle"], total.blocks - total.job_blocks)
        yield from (macs, tickets, blocks)
        yield CounterMetricFamily("pouw_miner_jobs", "Jobs settled.", total.jobs)
        yield CounterMetricFamily(
            "pouw_miner_earned_base_units", "Earned by settled jobs.", total.earned
        )

    def _conditions(self) -> Iterator[Metric]:
        celsius, watts, busy = (
            GaugeMetricFamily(f"pouw_miner_{name}", what, labels=["device"])
            for name, what in (
                ("temperature_celsius", "Temperature, where known."),
                ("power_watts", "Power draw, where known."),
                ("utilisation_ratio", "How busy the device is with anything, where known."),
            )
        )
        for name in self._meter.by_device:
            reading = self._sensors.read(name)
            for family, value in (
                (celsius, reading.celsius),
                (watts, reading.watts),
                (busy, reading.utilisation),
            ):
                if value is not None:
                    family.add_metric([name], value)
        yield from (celsius, watts, busy)


def _node(status: MinerStatus) -> Iterator[Metric]:
    node = status.node
    values = {
        ("node_up", "Whether the node answers."): None if node.up is None else int(node.up),
        ("template_height", "Height of the block that is mined."): status.template_height,
        ("tip_height", "Height of the node's tip."): node.info and node.info.height,
        ("difficulty_macs", "Expected multiply-accumulates per block."): (
            node.info and node.info.difficulty
        ),
        ("hot_key_balance_base_units", "Money on the hot key."): node.balance,
    }
    for (name, what), value in values.items():
        family = GaugeMetricFamily(f"pouw_miner_{name}", what)
        if value is not None:
            family.add_metric([], value)
        yield family


def _remainder(total: Counts, devices: dict[str, Counts]) -> Counts | None:
    """Return the work that no device's meter was told of, None where there is none."""
    rest = Counts(
        useful=total.useful - sum(each.useful for each in devices.values()),
        idle=total.idle - sum(each.idle for each in devices.values()),
        tickets=total.tickets - sum(each.tickets for each in devices.values()),
    )
    return None if rest == Counts() else rest
