"""The synchronous client against a real node, with a real miner that does the work."""

from collections.abc import Iterator

import numpy as np
import pytest
from pouw.core.errors import UserError
from pouw.core.keys import PrivateKey
from pouw.sdk.client import Client
from pouw.tests.cli.town import DATA, OUTPUT, Town
from pouw.tests.sdk.test_quote import MOST
from pouw.tests.sdk.workshop import (
    CARD,
    SCALE,
    SHIFT,
    Steps,
    client_of,
    expected,
    miner_at,
    register,
    sent,
    transaction_of,
)


@pytest.fixture(scope="module", autouse=True)
def miner(town: Town) -> Iterator[None]:
    """Somebody who answers."""
    with miner_at(town):
        yield


def test_a_batch_of_integers(town: Town, client: Client, model: str) -> None:
    quote = client.quote(model, DATA)
    before = client.balance()
    answer = client.run(model, DATA, max_cost=quote.total)
    assert answer.raw.tolist() == OUTPUT.tolist()
    assert answer.output.tolist() == (OUTPUT * 0.5 - 3).tolist()
    assert answer.cost == before - client.balance() <= quote.total
    receipt = answer.receipt
    cost = receipt.cost
    assert (cost.bounty, cost.fees) == (quote.bounty, quote.fees)
    assert (receipt.model, receipt.model_version) == (model, 1)
    assert transaction_of(town, receipt.settlement).id.hex() == receipt.settlement
    assert receipt.confirm(client) >= 1


def test_one_item_of_floats_gives_one_answer(client: Client, model: str) -> None:
    q = np.arange(-8, 8)
    answer = client.run(model, q * SCALE + SHIFT)
    assert answer.output.shape == (8,)
    assert answer.raw.tolist() == expected(q[np.newaxis])[0].tolist()


def test_several_inputs_in_one_job(client: Client, model: str) -> None:
    inputs = [DATA[0], DATA[1:], DATA.astype(np.float64) * SCALE + SHIFT]
    answers = client.run_many(model, inputs)
    assert [answer.raw.tolist() for answer in answers] == [
        OUTPUT[0].tolist(),
        OUTPUT[1:].tolist(),
        OUTPUT.tolist(),
    ]
    assert len({answer.receipt.job for answer in answers}) == 1


def test_more_than_one_job_holds_is_divided_and_joined_in_order(client: Client, model: str) -> None:
    items = np.random.default_rng(3).integers(-64, 64, (MOST + 3, 16), dtype=np.int8)
    answer = client.run(model, items)
    assert answer.raw.tolist() == expected(items).tolist()
    assert len(answer.receipts) == 2
    assert answer.cost == sum(receipt.cost.total for receipt in answer.receipts)
    with pytest.raises(UserError, match="2 jobs"):
        _ = answer.receipt


def test_an_interrupted_run_is_resumed_by_id_and_not_paid_again(
    town: Town, client: Client, model: str
) -> None:
    handle = client.submit(model, DATA[::-1])
    paid = sent(town)
    again = client_of(town).job(handle.id)
    answer = again.result()
    assert answer.raw.tolist() == OUTPUT[::-1].tolist()
    assert sent(town) == paid
    assert answer.receipt.job == handle.id
    assert handle.result().raw.tolist() == answer.raw.tolist()
    assert handle.status() == again.status() == "settled"


def test_progress_is_told(town: Town, model: str) -> None:
    steps = Steps()
    client_of(town, progress=steps).run(model, DATA + 0)
    stages = list(dict.fromkeys(stage for stage, _, _ in steps))
    assert stages[:2] == ["uploading the input", "submitting"]
    assert stages[-1] == "job settled"
    assert steps[-1] == ("job settled", 3, 3)
    assert all(0 <= done <= total for _, done, total in steps)


def test_a_reader_needs_neither_wallet_nor_token(town: Town, client: Client, model: str) -> None:
    job = client.run(model, DATA).receipt
    reader = Client(town.url)
    assert reader.quote(model, items=2).items == 2
    assert reader.job(job.job).result().raw.tolist() == OUTPUT.tolist()
    assert reader.receipt(job.job).settlement == job.settlement
    with pytest.raises(UserError, match="no wallet"):
        reader.run(model, DATA)


def test_models_are_found_by_part_of_their_name(town: Town, client: Client, model: str) -> None:
    other = register(town, name="Another one")
    assert [each.id for each in client.models("another")] == [other]
    assert {model, other} <= {each.id for each in client.models()}
    assert len(client.models(limit=1)) == 1
    assert client.models(owner=client.wallet.address if client.wallet else None)
    with pytest.raises(UserError, match="limit"):
        client.models(limit=0)


def test_a_model_without_an_encoding_takes_integers(town: Town, client: Client) -> None:
    plain = client.model(register(town, name="plain"))
    with pytest.raises(UserError, match="no card"):
        client.run(plain, DATA * 1.0)
    answer = client.run(plain, DATA)
    assert answer.output.dtype == np.int32
    assert answer.output.tolist() == OUTPUT.tolist()


def test_another_network_is_refused_before_anything_is_signed(town: Town, model: str) -> None:
    key = PrivateKey(b"a person who is paid in the test")
    with pytest.raises(UserError, match="which network"):
        Client(town.url, key)
    client = Client(town.url, key, network="devnet", token=town.env["POUW_RPC_TOKEN"])
    with pytest.raises(UserError, match="serves 'tiny', not devnet"):
        client.run(model, DATA)


@pytest.mark.parametrize("identity", ["", "7", "g" * 64, "0" * 63, "0" * 66])
def test_what_is_no_id(client: Client, identity: str) -> None:
    for ask in (client.model, client.job, client.receipt):
        with pytest.raises(UserError, match="64 hexadecimal"):
            ask(identity)


def test_ids_of_nothing(client: Client) -> None:
    with pytest.raises(UserError, match="no model"):
        client.run("0" * 64, DATA)
    with pytest.raises(UserError, match="no job"):
        client.job("0" * 64).status()
    with pytest.raises(UserError, match="at least one"):
        client.job()


def test_the_card_is_read_once(client: Client, model: str) -> None:
    found = client.model(model)
    assert found.encodings is found.encodings
    assert CARD["encoding"]
