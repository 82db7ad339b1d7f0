"""One real node for each test file; the tests of a file leave each other alone."""

from collections.abc import Iterator

import pytest
from pouw.sdk.client import Client
from pouw.tests.cli.town import Town, open_town
from pouw.tests.sdk.workshop import CARD, client_of, register


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A running node and a funded person."""
    with open_town(tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(town: Town) -> str:
    """A model whose card tells how floats are encoded."""
    return register(town, CARD)


@pytest.fixture
def client(town: Town) -> Client:
    """The person's client."""
    return client_of(town)
