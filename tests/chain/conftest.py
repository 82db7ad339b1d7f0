"""Chains over real databases; blocks come from workshop.py."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from pouw.chain.chainstate import Chain
from pouw.chain.kv import LevelDB
from pouw.genesis import TINY, Params
from pouw.tests.chain.workshop import Forge, open_chain

OpenStore: TypeAlias = Callable[[], LevelDB]
OpenChain: TypeAlias = Callable[..., Chain]


@pytest.fixture
def forge() -> Forge:
    """A maker of blocks on TINY."""
    return Forge()


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens new databases, and closes them all in the end."""
    stores: list[LevelDB] = []

    def open_new() -> LevelDB:
        stores.append(LevelDB(tmp_path / f"db{len(stores)}"))
        return stores[-1]

    yield open_new
    for store in stores:
        store.close()


@pytest.fixture
def new_chain(new_store: OpenStore) -> OpenChain:
    """Opens chains in new databases."""

    def open_new(params: Params = TINY) -> Chain:
        return open_chain(new_store(), params)

    return open_new


@pytest.fixture
def chain(new_chain: OpenChain) -> Chain:
    """A chain at block 0 of TINY."""
    return new_chain()
