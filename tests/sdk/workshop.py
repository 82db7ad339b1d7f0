"""What the SDK's tests share: a town with a model that has a card, and a real miner at work."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pouw.core.codec import decode
from pouw.core.keys import PrivateKey
from pouw.core.transaction import MAX_TRANSACTION_BYTES, Transaction
from pouw.genesis import TINY
from pouw.miner.config import MinerConfig
from pouw.miner.devices import open_device
from pouw.miner.node_link import NodeLink
from pouw.miner.service import Miner
from pouw.sdk.client import Client
from pouw.sdk.wallet import Wallet
from pouw.tests.cli.town import PROGRAM, WEIGHTS, WORKER, Town
from pouw.vm.program import encode_program
from pouw.wallet.jobs import ModelOffer, register_model

SCALE: Final = 0.25
SHIFT: Final = 1.0
CARD: Final = {
    "encoding": {
        "input": {"kind": "affine", "scale": SCALE, "shift": SHIFT},
        "output": {"kind": "affine", "scale": 0.5, "shift": -3.0},
    }
}
BLOCKS_PER_SECOND: Final = 10
PATIENCE: Final = 60.0


def expected(items: NDArray[Any]) -> NDArray[np.int32]:
    """The model's answer on integers (items, 16)."""
    return items.astype(np.int32) @ WEIGHTS.astype(np.int32).T


def register(town: Town, card: Any = None, name: str = "a layer") -> str:
    """Register the town's model, with a card if one is given; return its id."""
    text = "" if card is None else json.dumps(card)
    offer = ModelOffer(name, encode_program(PROGRAM), WEIGHTS.tobytes(), card=text)
    return register_model(town.session(town.key), offer, PATIENCE).hex()


def client_of(town: Town, **options: Any) -> Client:
    """A client of the town's person."""
    settings: dict[str, Any] = {"token": town.env["POUW_RPC_TOKEN"], "timeout": PATIENCE}
    return Client(town.url, Wallet(town.key, TINY), **(settings | options))


def sent(town: Town) -> int:
    """How many transactions the person has signed, as far as the chain and the mempool know."""
    return town.client.call("getaccount", address=Wallet(town.key, TINY).address)["pending_nonce"]


def transaction_of(town: Town, identity: str) -> Transaction:
    """A transaction on the chain."""
    proof = town.client.call("gettransactionproof", id=identity)
    return decode(Transaction, bytes.fromhex(proof["transaction"]), MAX_TRANSACTION_BYTES)


class Steps(list[tuple[str, int, int]]):
    """Progress that a test looks at afterwards."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.append((stage, done, total))


@contextmanager
def miner_at(town: Town, key: PrivateKey = WORKER) -> Generator[Miner]:
    """Run a real miner on the CPU, slow enough for deadlines counted in blocks."""
    if town.balance(key) == 0:
        town.fund(key.address)
    config = MinerConfig(
        TINY,
        town.url,
        lambda: town.env["POUW_RPC_TOKEN"],
        key,
        key.address,
        town.folder / "miner",
        idle_rate=BLOCKS_PER_SECOND * TINY.initial_difficulty,
    )
    miner = Miner(config, [open_device("cpu")], NodeLink(config.node, config.token))
    thread = threading.Thread(target=miner.run)
    thread.start()
    try:
        yield miner
    finally:
        miner.stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
