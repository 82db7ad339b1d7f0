"""A node that comes and goes, over real HTTP."""

import threading

import pytest
from pouw.core.errors import UserError
from pouw.genesis import MAINNET
from pouw.miner.node_link import NodeAway, NodeLink
from pouw.tests.miner.harbour import PARAMS, Harbour, serving
from pouw.wallet.client import RpcError


def test_calls_reach_a_node_of_the_right_network(harbour: Harbour) -> None:
    with serving(harbour) as url:
        link = NodeLink(url)
        link.require_network(PARAMS)
        with pytest.raises(UserError, match="serves 'tiny', the wallet is for mainnet"):
            link.require_network(MAINNET)


def test_going_and_coming_back_are_told_once(
    harbour: Harbour, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(harbour) as url:
        link = NodeLink(url, timeout=2)
        link.require_network(PARAMS)
    for _ in range(3):
        with pytest.raises(NodeAway):
            link.require_network(PARAMS)
        assert link.away
    assert capsys.readouterr().out.count("node.away") == 1


def test_a_refusal_shows_that_the_node_is_there(harbour: Harbour) -> None:
    with serving(harbour) as url:
        link = NodeLink(url)
        with pytest.raises(RpcError):
            link.call("getmodel", id="00" * 32)
        assert not link.away


def test_a_new_token_is_read_when_the_old_one_stops_working(harbour: Harbour) -> None:
    tokens = ["first"]
    with serving(harbour, "second") as url:
        link = NodeLink(url, lambda: tokens[0])
        with pytest.raises(RpcError, match="token"):
            link.require_network(PARAMS)
        assert not link.away, "a node that refuses us is there"
        tokens[0] = "second"
        link.require_network(PARAMS)
        assert not link.away


def test_threads_may_share_a_link(harbour: Harbour, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(harbour) as url:
        link = NodeLink(url)
        threads = [
            threading.Thread(target=lambda: [link.require_network(PARAMS) for _ in range(5)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert harbour.calls.count("getinfo") == 20
    assert "node.away" not in capsys.readouterr().out
