"""Metrics as a Prometheus server sees them: scraped over a socket, parsed by its own client."""

import socket
import urllib.request
from collections.abc import Iterator

import pytest
from pouw.core.errors import UserError
from pouw.genesis import TINY
from pouw.miner.events import JobsAtHand
from pouw.miner.meter import Meter
from pouw.miner.metrics import MetricsServer, parse_endpoint
from pouw.miner.status import MinerStatus, NodeInfo, NodeState
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

BARE = MinerStatus(TINY, "http://127.0.0.1:1", "xpouw1", 12.5)
FULL = MinerStatus(
    TINY,
    "http://127.0.0.1:1",
    "xpouw1",
    60.0,
    template_height=8,
    node=NodeState(True, NodeInfo("tiny", 7, 1 << 30), 5_000),
    jobs=JobsAtHand(1, 2, 3),
)


def scrape(server: MetricsServer) -> Samples:
    with urllib.request.urlopen(server.url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def started(meter: Meter, status: MinerStatus) -> Iterator[MetricsServer]:
    server = MetricsServer(meter, lambda: status, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def server(meter: Meter) -> Iterator[MetricsServer]:
    yield from started(meter, FULL)


@pytest.fixture
def bare(meter: Meter) -> Iterator[MetricsServer]:
    yield from started(meter, BARE)


def test_a_scrape_holds_what_was_counted(meter: Meter, server: MetricsServer) -> None:
    meter.device("cpu").add(useful=100, idle=20, tickets=3)
    meter.device("cuda:0").add(idle=10**15, tickets=5)
    meter.add(blocks=5, job_blocks=2, jobs=4, earned=1_500_000_000)
    samples = scrape(server)
    assert samples["pouw_miner_macs_total", (("device", "cpu"), ("kind", "useful"))] == 100
    assert samples["pouw_miner_macs_total", (("device", "cuda:0"), ("kind", "idle"))] == 1e15
    assert samples["pouw_miner_tickets_total", (("device", "cuda:0"),)] == 5
    assert samples["pouw_miner_blocks_total", (("kind", "job"),)] == 2
    assert samples["pouw_miner_blocks_total", (("kind", "idle"),)] == 3
    assert samples["pouw_miner_jobs_total", ()] == 4
    assert samples["pouw_miner_earned_base_units_total", ()] == 1_500_000_000
    assert not any(("device", "") in labels for _, labels in samples)
    meter.device("cpu").add(useful=1)
    assert scrape(server)["pouw_miner_macs_total", (("device", "cpu"), ("kind", "useful"))] == 101


def test_a_scrape_holds_node_and_jobs(server: MetricsServer) -> None:
    samples = scrape(server)
    for name, value in {
        "node_up": 1,
        "template_height": 8,
        "tip_height": 7,
        "difficulty_macs": 1 << 30,
        "hot_key_balance_base_units": 5_000,
        "uptime_seconds": 60,
    }.items():
        assert samples[f"pouw_miner_{name}", ()] == value
    stages = {"claiming": 1, "executing": 2, "delivering": 3}
    for stage, count in stages.items():
        assert samples["pouw_miner_jobs_at_hand", (("stage", stage),)] == count
    assert any(name == "pouw_miner_info" for name, _ in samples)


def test_what_is_not_known_is_left_out(meter: Meter, bare: MetricsServer) -> None:
    meter.device("abacus").add(idle=1)
    names = {name for name, _ in scrape(bare)}
    for unknown in ("node_up", "template_height", "tip_height", "temperature_celsius"):
        assert f"pouw_miner_{unknown}" not in names


def test_work_of_no_device_is_not_lost(meter: Meter, bare: MetricsServer) -> None:
    meter.device("cpu").add(idle=5, tickets=1)
    meter.add(idle=2, tickets=1)
    samples = scrape(bare)
    assert samples["pouw_miner_macs_total", (("device", ""), ("kind", "idle"))] == 2
    assert samples["pouw_miner_tickets_total", (("device", ""),)] == 1


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = MetricsServer(Meter(), lambda: BARE, "127.0.0.1", port)
        with pytest.raises(UserError, match=f"127.0.0.1:{port} .*choose another port"):
            server.start()
        server.stop()


def test_a_host_that_is_not_this_machine_is_told() -> None:
    server = MetricsServer(Meter(), lambda: BARE, "192.0.2.1", 0)
    with pytest.raises(UserError, match="cannot serve metrics"):
        server.start()


def test_stopping_frees_the_port(meter: Meter) -> None:
    server = MetricsServer(meter, lambda: BARE, "127.0.0.1", 0)
    server.start()
    host, port = parse_endpoint(server.url.removeprefix("http://").removesuffix("/metrics"))
    server.stop()
    again = MetricsServer(meter, lambda: BARE, host, port)
    again.start()
    assert scrape(again)
    again.stop()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        (" localhost:65535 ", ("localhost", 65535)),
    ],
)
def test_endpoints(text: str, expected: tuple[str, int]) -> None:
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize("text", ["", "localhost", "a:b", "h:65536", "h:-1", "::1:80", "h:", "h:٣"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(UserError, match=r"write 127\.0\.0\.1:9464"):
        parse_endpoint(text)
