"""The node as it is watched, honest or not."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pouw.core.errors import UserError
from pouw.core.keys import format_address
from pouw.genesis import TINY
from pouw.miner.events import EventLog
from pouw.miner.status import NodeState, NodeWatch, StatusBoard
from pouw.miner.templates import TemplateSource
from pouw.tests.miner.harbour import (
    PARAMS,
    WORKER,
    Harbour,
    HarbourLink,
    open_harbour,
    serving,
)
from pouw.wallet.client import RpcError

ADDRESS = format_address(WORKER.address, PARAMS.address_prefix)
INFO: dict[str, Any] = {
    "network": "tiny",
    "chain_id": 4,
    "height": 7,
    "difficulty": 1 << 90,
    "subsidy": 50,
    "peers": 2,
    "syncing": False,
}


@pytest.fixture
def served(harbour: Harbour) -> Iterator[str]:
    harbour.answers["getinfo"] = INFO
    with serving(harbour) as url:
        yield url


def test_a_node_that_answers(served: str) -> None:
    watch = NodeWatch(served, ADDRESS)
    assert watch.state == NodeState()
    watch.look()
    state = watch.state
    assert state.up and state.info is not None
    assert (state.info.height, state.info.difficulty, state.info.peers) == (7, 1 << 90, 2)
    assert state.balance == 1000 * 10**9


def test_what_was_known_stays_while_the_node_is_away(tmp_path: Path) -> None:
    with open_harbour(tmp_path) as harbour, serving(harbour) as url:
        watch = NodeWatch(url, ADDRESS)
        watch.look()
    watch.look()
    assert watch.state.up is False
    assert watch.state.info is not None and watch.state.info.difficulty is None
    assert watch.state.balance == 1000 * 10**9


def test_an_account_that_is_refused_is_no_node_away(harbour: Harbour, served: str) -> None:
    harbour.refusals["getaccount"] = RpcError(-1, "not now")
    watch = NodeWatch(served, ADDRESS)
    watch.look()
    assert watch.state.up and watch.state.balance is None


@pytest.mark.parametrize(
    "change",
    [
        {"difficulty": 0},
        {"difficulty": 1 << 256},
        {"difficulty": 10**4000},
        {"difficulty": 1.5},
        {"height": -1},
        {"height": "7"},
        {"network": None},
    ],
)
def test_nonsense_counts_as_no_answer(
    harbour: Harbour, served: str, change: dict[str, Any]
) -> None:
    harbour.answers["getinfo"] = INFO | change
    watch = NodeWatch(served, ADDRESS)
    watch.look()
    assert watch.state.up is False and watch.state.info is None


def test_it_follows_until_stopped(harbour: Harbour, served: str) -> None:
    watch = NodeWatch(served, ADDRESS, 0.01)
    watch.start()
    end = time.monotonic() + 20
    while harbour.calls.count("getinfo") < 3 and time.monotonic() < end:
        time.sleep(0.005)
    watch.stop()
    assert harbour.calls.count("getinfo") >= 3
    for thread in threading.enumerate():
        if thread.name == "node watch":
            thread.join(10)
            assert not thread.is_alive()


def test_an_unusable_address_is_told() -> None:
    with pytest.raises(UserError):
        NodeWatch("ftp://x", ADDRESS)


def test_a_board_shows_what_is_mined_and_logged(harbour: Harbour, served: str) -> None:
    templates = TemplateSource(HarbourLink(harbour), WORKER.public, ADDRESS)
    log, watch = EventLog(), NodeWatch(served, ADDRESS)
    board = StatusBoard(TINY, "xpouw1", lambda: templates.latest, watch, log, iter((3, 5)).__next__)
    log.notice({"event": "job.claiming", "job": "ab"})
    assert templates.latest is None
    templates.refresh()
    harbour.mine()
    shown = board()
    assert shown.template_height == 1
    assert (shown.node_url, shown.payout, shown.seconds) == (served, "xpouw1", 2)
    assert shown.jobs.claiming == 1


def test_before_the_first_template_there_is_no_height(served: str) -> None:
    board = StatusBoard(TINY, "xpouw1", lambda: None, NodeWatch(served, ADDRESS), EventLog())
    assert board().template_height is None
