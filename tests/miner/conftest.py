"""What the miner's tests share: a device, a chain behind RPC, and a model on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import torch
from pouw.miner.devices import Device, open_device
from pouw.tests.miner.harbour import Harbour, Kit, open_harbour


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Log to stdout, where capsys finds it, whatever a test before has configured."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def device() -> Device:
    """The CPU, single-threaded as in the miner's process."""
    torch.set_num_threads(1)
    return open_device("cpu")


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Harbour]:
    """A node at block 0."""
    with open_harbour(tmp_path / "chain") as opened:
        yield opened


@pytest.fixture(scope="session")
def kit() -> Kit:
    """A small model with an input."""
    return Kit()
