"""Worlds for the tests of consensus; what a world is stands in world.py."""

import pytest
from pouw.core.hashing import Hash
from pouw.tests.consensus.world import World, layered_kit, plain_kit


@pytest.fixture
def world() -> World:
    """A fresh chain at genesis."""
    return World()


@pytest.fixture
def plain(world: World) -> Hash:
    """A registered model whose only product every node recomputes."""
    return world.register(plain_kit())


@pytest.fixture
def layered(world: World) -> Hash:
    """A registered model with one posted and one recomputed product."""
    return world.register(layered_kit())
