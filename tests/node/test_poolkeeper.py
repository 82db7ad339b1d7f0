"""The pool over a restart, through a real worker thread and a real file."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pouw.chain.kv import LevelDB
from pouw.chain.mempool import Mempool
from pouw.core.transaction import Bundle
from pouw.node import poolkeeper
from pouw.node.poolkeeper import POOL_FILE, PoolKeeper
from pouw.node.worker import Worker
from pouw.tests.chain.workshop import FAUCET, FUNDED, KEYS, open_chain, pay
from structlog.testing import capture_logs

BUNDLES = [Bundle(pay(key, FAUCET.address, 1, nonce), ()) for nonce in range(20) for key in KEYS]


@contextmanager
def keeper_of(folder: Path) -> Generator[tuple[Mempool, PoolKeeper]]:
    store = LevelDB(folder / "db")
    worker = Worker(lambda _error: None)
    try:
        chain = open_chain(store, FUNDED)
        pool = Mempool(chain, lambda: 1_000)
        yield pool, PoolKeeper(pool, worker, folder, chain.index.genesis.id)
    finally:
        worker.close()
        store.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_waits_is_there_after_a_restart(tmp_path: Path) -> None:
    with keeper_of(tmp_path) as (pool, keeper):
        keeper.start()
        await until(lambda: keeper._is_loaded)
        for bundle in BUNDLES:
            pool.add(bundle)
        await keeper.stop()
        before = list(pool.bundles())
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [POOL_FILE]
    with keeper_of(tmp_path) as (pool, keeper):
        keeper.start()
        await until(lambda: len(pool) == len(BUNDLES))
        assert list(pool.bundles()) == before
        await keeper.stop()


async def test_it_is_saved_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poolkeeper, "SAVE_SECONDS", 0.01)
    with keeper_of(tmp_path) as (pool, keeper):
        pool.add(BUNDLES[0])
        keeper.start()
        await until((tmp_path / POOL_FILE).exists)
        await keeper.stop()


async def test_a_damaged_file_is_replaced_at_the_next_stop(tmp_path: Path) -> None:
    (tmp_path / POOL_FILE).write_bytes(b"something else, long enough to be one" * 9)
    with capture_logs() as logs, keeper_of(tmp_path) as (pool, keeper):
        keeper.start()
        await until(lambda: keeper._is_loaded)
        pool.add(BUNDLES[0])
        await keeper.stop()
    assert "mempool.file_ignored" in [line["event"] for line in logs]
    with keeper_of(tmp_path) as (pool, keeper):
        keeper.start()
        await until(lambda: len(pool) == 1)
        await keeper.stop()


async def test_a_stop_before_all_is_read_keeps_the_file(tmp_path: Path) -> None:
    with keeper_of(tmp_path) as (pool, keeper):
        for bundle in BUNDLES:
            pool.add(bundle)
        keeper.save()
    whole = (tmp_path / POOL_FILE).read_bytes()
    with keeper_of(tmp_path) as (_, keeper):
        keeper.start()
        await keeper.stop()
    assert (tmp_path / POOL_FILE).read_bytes() == whole


async def test_a_disk_that_takes_nothing_is_logged(tmp_path: Path) -> None:
    with keeper_of(tmp_path) as (_, keeper):
        (tmp_path / POOL_FILE).mkdir()
        with capture_logs() as logs:
            keeper.save()
    assert [line["event"] for line in logs] == ["mempool.not_saved"]
