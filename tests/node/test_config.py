"""Defaults of a node."""

from pathlib import Path

import pytest
from pouw.genesis import NETWORKS
from pouw.node.config import DEFAULT_PORTS, default_data, default_host


def test_every_network_has_ports_of_its_own() -> None:
    assert set(DEFAULT_PORTS) == set(NETWORKS)
    ports = [port for ports in DEFAULT_PORTS.values() for port in (ports.p2p, ports.rpc)]
    assert len(set(ports)) == len(ports)


def test_the_data_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data("testnet") == tmp_path / "pouw" / "testnet"
    for unusable in ("", "relative/folder"):
        monkeypatch.setenv("XDG_DATA_HOME", unusable)
        assert default_data("testnet") == Path.home() / ".local/share/pouw/testnet"


def test_play_networks_stay_on_the_machine() -> None:
    assert default_host("devnet") == default_host("tiny") == "127.0.0.1"
    assert default_host("mainnet") == default_host("testnet") == "0.0.0.0"
