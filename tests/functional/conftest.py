"""Real processes: nodes of the tiny network, and blocks mined for them in the test's process."""

from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.block import Header, seal
from pouw.core.codec import decode, encode
from pouw.core.keys import PrivateKey, format_address
from pouw.devnet.process import NodeProcess
from pouw.genesis import TINY
from pouw.wallet.client import RpcClient

MINER = PrivateKey(b"the key of the miner in the test")
Prepare = Callable[..., NodeProcess]


@pytest.fixture
def prepare(tmp_path: Path) -> Generator[Prepare]:
    """A function that prepares a node process by name; whatever runs at the end is stopped."""
    prepared: list[NodeProcess] = []

    def prepare(name: str = "node", connect: tuple[str, ...] = ()) -> NodeProcess:
        process = NodeProcess(name, tmp_path, "tiny", connect)
        prepared.append(process)
        return process

    yield prepare
    for process in prepared:
        process.stop()


@pytest.fixture
def mine() -> Callable[[RpcClient, int], str]:
    """A function that mines blocks at a node and returns the id of the last."""

    def mine(client: RpcClient, blocks: int) -> str:
        block = ""
        for _ in range(blocks):
            template = client.call(
                "gettemplate",
                miner=MINER.public.hex(),
                payout=format_address(MINER.address, TINY.address_prefix),
            )
            header = decode(Header, bytes.fromhex(template["header"]), 1024)
            head, opening = prove(header.sigma, Shape(16, 16, 256), Tag(), None, None, (0, 0))
            block = client.call(
                "submitsolution",
                template=template["id"],
                head=encode(head).hex(),
                opening=encode(opening).hex(),
                signature=seal(MINER, header, head).signature.hex(),
            )["block"]
        return block

    return mine
