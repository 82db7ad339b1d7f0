"""The asynchronous client against a real node, with a real miner that does the work."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pouw.core.errors import UserError
from pouw.genesis import TINY
from pouw.sdk.async_client import AsyncClient
from pouw.sdk.client import Client
from pouw.sdk.submitting import NOT_SUBMITTED
from pouw.sdk.wallet import Wallet
from pouw.tests.cli.town import DATA, OUTPUT, Town
from pouw.tests.sdk.workshop import PATIENCE, Steps, expected, miner_at, sent


@pytest.fixture
def worker(town: Town) -> Iterator[None]:
    """Somebody who answers."""
    with miner_at(town):
        yield


def client_of(town: Town, **options: Any) -> AsyncClient:
    settings: dict[str, Any] = {"token": town.env["POUW_RPC_TOKEN"], "timeout": PATIENCE}
    return AsyncClient(town.url, Wallet(town.key, TINY), **(settings | options))


def data(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.random.default_rng(seed).integers(-64, 64, (4, 16), dtype=np.int8)


@pytest.mark.usefixtures("worker")
async def test_a_run_from_quote_to_receipt(town: Town, model: str) -> None:
    client = client_of(town)
    assert model in {each.id for each in await client.models()}
    quote = await client.quote(model, DATA)
    before = await client.balance()
    answer = await client.run(await client.model(model), DATA, max_cost=quote.total)
    assert answer.raw.tolist() == OUTPUT.tolist()
    assert answer.cost == before - await client.balance()
    again = await client.receipt(answer.receipt.job)
    assert again.settlement == answer.receipt.settlement


@pytest.mark.usefixtures("worker")
async def test_several_inputs_in_one_job(town: Town, model: str) -> None:
    answers = await client_of(town).run_many(model, [data(1), data(2)[0]])
    assert [each.raw.tolist() for each in answers] == [
        expected(data(1)).tolist(),
        expected(data(2))[0].tolist(),
    ]


@pytest.mark.usefixtures("worker")
async def test_runs_at_the_same_time_share_the_wallet(town: Town, model: str) -> None:
    client = client_of(town)
    seeds = range(20, 24)
    answers = await asyncio.gather(*(client.run(model, data(seed)) for seed in seeds))
    for seed, answer in zip(seeds, answers, strict=True):
        assert answer.raw.tolist() == expected(data(seed)).tolist()
    assert len({answer.receipt.job for answer in answers}) == len(answers)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("sockets", [64, 0])
async def test_waiting_with_and_without_news(
    town: Town, model: str, sockets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """News make questions rare; a node that takes no WebSockets is asked instead."""
    monkeypatch.setattr("pouw.node.rpc.sockets.MAX_SOCKETS", sockets)
    steps = Steps()
    client = client_of(town, progress=steps)
    handle = await client.submit(model, data(3 + sockets))
    answer = await handle.result()
    assert answer.raw.tolist() == expected(data(3 + sockets)).tolist()
    assert steps[-1] == ("job settled", 3, 3)
    assert await handle.status() == "settled"
    assert await client.job(handle.id).wait() == "settled"


async def test_a_change_wakes_who_waits_long_before_the_next_question(
    town: Town, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.sdk.async_client.ASK_SECONDS", 10 * PATIENCE)
    steps = Steps()
    handle = await _submitted(town, client_of(town), model, 5)
    client = client_of(town, progress=steps)
    handle = client.job(handle.id)
    waiting = asyncio.create_task(handle.wait())
    async with asyncio.timeout(PATIENCE):
        while not steps:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(_cancel, town, client, handle.id)
        assert await waiting == "cancelled"
    with pytest.raises(UserError, match="the run is cancelled"):
        await handle.result()


async def test_time_and_cancellation_leave_the_job_and_name_it(town: Town, model: str) -> None:
    client = client_of(town)
    handle = await _submitted(town, client, model, 6)
    with pytest.raises(UserError, match=rf"client\.job\('{handle.id}'\)"):
        await handle.wait(timeout=0.1)
    waiting = asyncio.create_task(handle.result())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await handle.status() == "submitted"


async def test_a_cancelled_submission_signs_nothing_more(town: Town, model: str) -> None:
    """It is cancelled while its upload waits for a block; the submission is never sent."""
    uploading = threading.Event()

    def watch(stage: str, _done: int, _total: int) -> None:
        assert stage == "uploading the input"
        uploading.set()

    client = client_of(town, progress=watch)
    signed = sent(town)
    task = asyncio.create_task(client.submit(model, data(7)))
    await asyncio.to_thread(uploading.wait, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(sent, town) == signed:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert NOT_SUBMITTED in raised.value.__notes__[0]
    await asyncio.to_thread(town.mine, 3)
    assert await asyncio.to_thread(sent, town) == signed + 1


async def test_errors_come_through(town: Town, model: str) -> None:
    client = client_of(town)
    with pytest.raises(UserError, match="nothing was signed"):
        await client.run(model, DATA, max_cost=1)
    with pytest.raises(UserError, match="no model"):
        await client.model("0" * 64)
    with pytest.raises(UserError, match="no node answers"):
        await AsyncClient("http://127.0.0.1:1").models()
    reader = AsyncClient(town.url)
    with pytest.raises(UserError, match="no job"):
        await reader.job("0" * 64).wait()


async def _submitted(town: Town, client: AsyncClient, model: str, seed: int) -> Any:
    with town.mining():
        return await client.submit(model, data(seed))


def _cancel(town: Town, client: AsyncClient, job: str) -> None:
    with town.mining():
        sync: Client = client.sync
        sync.cancel([job])
