"""Running quantised models as a node does, and a real miner for a town's node."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pouw.genesis import TINY
from pouw.kernels.blas import BlasMultiplier
from pouw.miner.config import MinerConfig
from pouw.miner.devices import open_device
from pouw.miner.service import Miner
from pouw.tests.cli.town import WORKER, Town
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.quantise import Quantised
from pouw.vm.products import plain_products
from pouw.vm.tensor import encode_output

BLOCKS_PER_SECOND: Final = 6
"""Of idle mining: fast for a test, slow enough for transactions to arrive between two blocks."""


def output_of(quantised: Quantised, x: ArrayLike) -> bytes:
    """Return the output blob of a model's program, executed as every node executes it."""
    checked = check_program(quantised.program)
    handler = plain_products(BlasMultiplier())
    data = quantised.encoder.encode(x)
    return encode_output(checked, execute(checked, quantised.weights, data, handler).output)


def answers_of(quantised: Quantised, x: ArrayLike) -> NDArray[Any]:
    """Return what the network would answer, as the model's own numbers."""
    return quantised.decoder.decode(output_of(quantised, x))


def float_answers(module: torch.nn.Module, x: NDArray[Any]) -> NDArray[Any]:
    """Return PyTorch's answers."""
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def accuracy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the share of items whose largest output is that of their class."""
    return float(np.mean(logits.argmax(axis=1) == labels))


@contextmanager
def mining_town(town: Town) -> Generator[Miner]:
    """Run a funded miner on a town's node: it takes jobs, and mines idly between them."""
    town.fund(WORKER.address)
    torch.set_num_threads(1)
    config = MinerConfig(
        TINY,
        town.url,
        lambda: town.env["POUW_RPC_TOKEN"],
        WORKER,
        WORKER.address,
        town.folder / "miner",
        idle_rate=BLOCKS_PER_SECOND * TINY.min_difficulty,
    )
    miner = Miner(config, [open_device("cpu")])
    thread = threading.Thread(target=miner.run)
    thread.start()
    try:
        yield miner
    finally:
        miner.stop.set()
        thread.join(20)
    assert not thread.is_alive() and not miner.failed
