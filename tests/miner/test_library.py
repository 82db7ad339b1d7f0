"""Models and inputs: checked against their roots, kept for the next job."""

import pytest
from pouw.core.errors import UserError
from pouw.miner.library import MODELS_KEPT, Library
from pouw.tests.miner.harbour import Harbour, HarbourLink, Kit
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products


def test_a_model_is_fetched_once_and_runs(harbour: Harbour, kit: Kit) -> None:
    identity, root = harbour.register(kit), harbour.publish(kit.data)
    library = Library(HarbourLink(harbour))
    model, data = library.model(identity), library.input(root)
    assert data == kit.data
    assert model.weights == kit.weights
    assert len(model.run(data, plain_products(ReferenceMultiplier()))) == 40 * 10 * 4
    calls = len(harbour.calls)
    assert library.model(identity) is model
    assert len(harbour.calls) == calls
    assert library.royalties(identity, 25) == 2


def test_only_the_last_few_models_stay(harbour: Harbour) -> None:
    models = [harbour.register(Kit(seed)) for seed in range(MODELS_KEPT + 1)]
    library = Library(HarbourLink(harbour))
    loaded = [library.model(identity) for identity in models]
    assert library.model(models[-1]) is loaded[-1]
    assert library.model(models[0]) is not loaded[0]


def test_other_data_than_asked_for_is_refused(harbour: Harbour, kit: Kit) -> None:
    root = harbour.publish(kit.data)
    wrong = kit.data[:-1] + bytes([kit.data[-1] ^ 1])
    harbour.answers["getblobdata"] = {"data": wrong.hex()}
    with pytest.raises(UserError, match="sent other data"):
        Library(HarbourLink(harbour)).input(root)
