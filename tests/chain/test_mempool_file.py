"""The pool on disk: whole or not used at all, and judged anew when it is read."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pouw.chain.chainstate import Chain
from pouw.chain.mempool import Mempool
from pouw.chain.mempool import file as file_module
from pouw.chain.mempool.file import read_pool, write_pool
from pouw.core.blob import CHUNK_BYTES
from pouw.core.transaction import Bundle
from pouw.tests.chain.conftest import OpenChain
from pouw.tests.chain.workshop import FAUCET, FUNDED, KEYS, Forge, feed, pay, uploads
from structlog.testing import capture_logs

ALICE, BOB = KEYS[:2]


@pytest.fixture
def chain(new_chain: OpenChain) -> Chain:
    return new_chain(FUNDED)


def waiting() -> list[Bundle]:
    parts = list(uploads(ALICE, bytes(2 * CHUNK_BYTES), 0, each=1))
    return [*parts, *(Bundle(pay(BOB, FAUCET.address, 1, nonce), ()) for nonce in range(3))]


def filled(chain: Chain) -> Mempool:
    pool = Mempool(chain, lambda: 1_234)
    for bundle in waiting():
        pool.add(bundle)
    return pool


def stored(tmp_path: Path, chain: Chain) -> Path:
    path = tmp_path / "pool"
    assert write_pool(path, chain.index.genesis.id, filled(chain).entries()) == len(waiting())
    return path


def read(path: Path, chain: Chain) -> list[tuple[Bundle, int]]:
    return list(read_pool(path, chain.index.genesis.id))


def test_what_is_written_is_read(tmp_path: Path, chain: Chain) -> None:
    path = stored(tmp_path, chain)
    with capture_logs() as logs:
        assert read(path, chain) == [(bundle, 1_234) for bundle in waiting()]
    assert logs == []
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["pool"]


def test_an_empty_pool_is_a_file_too(tmp_path: Path, chain: Chain) -> None:
    path = tmp_path / "pool"
    write_pool(path, chain.index.genesis.id, Mempool(chain).entries())
    with capture_logs() as logs:
        assert read(path, chain) == []
        assert read(tmp_path / "absent", chain) == []
    assert logs == []


def test_what_is_read_is_judged_anew(tmp_path: Path, chain: Chain, new_chain: OpenChain) -> None:
    path = stored(tmp_path, chain)
    forge, later = Forge(FUNDED), new_chain(FUNDED)
    rival = pay(BOB, FAUCET.address, 5, 0)
    feed(later, forge.mine(forge.genesis.id, [waiting()[0], rival]))
    pool = Mempool(later, lambda: 2_000)
    taken: list[Bundle] = []
    for bundle, arrived in read(path, later):
        try:
            pool.restore(bundle, arrived)
            taken.append(bundle)
        except Exception as refusal:
            assert bundle in (waiting()[0], waiting()[2]), refusal
    assert taken == [waiting()[1], *waiting()[3:]]
    assert {entry.arrived for entry in pool.entries()} == {1_234}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_a_damaged_file_is_ignored_with_a_word(
    tmp_path: Path, chain: Chain, data: st.DataObject
) -> None:
    path = tmp_path / "pool"
    if not path.exists():
        stored(tmp_path, chain)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1), label="at")
    damaged = data.draw(
        st.sampled_from(
            [
                whole[:at],
                whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
                whole + whole[: at + 1],
                whole[:at] + whole[at + 1 :],
            ]
        ),
        label="damaged",
    )
    other = tmp_path / "damaged"
    other.write_bytes(damaged)
    with capture_logs() as logs:
        assert read(other, chain) == []
    assert [line["event"] for line in logs] == ["mempool.file_ignored"]


def test_a_forged_file_ends_where_it_makes_no_sense(tmp_path: Path, chain: Chain) -> None:
    path, genesis = tmp_path / "pool", chain.index.genesis.id
    honest = stored(tmp_path, chain).read_bytes()[:-32]
    for tail in (b"\xff" * 12, bytes(12), (5).to_bytes(4, "little") + bytes(8) + b"abcde"):
        path.write_bytes(honest + tail + file_module.blake3(honest + tail).digest())
        with capture_logs() as logs:
            found = list(read_pool(path, genesis))
        assert [bundle for bundle, _ in found] == waiting()
        assert [line["event"] for line in logs] == ["mempool.file_ignored"]


def test_a_file_of_another_network_is_ignored(tmp_path: Path, chain: Chain) -> None:
    path = stored(tmp_path, chain)
    with capture_logs() as logs:
        assert list(read_pool(path, bytes(32))) == []
    assert "another network" in logs[0]["why"]


def test_a_file_too_large_is_not_read(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, chain)
    monkeypatch.setattr(file_module, "MAX_FILE_BYTES", 100)
    with capture_logs() as logs:
        assert read(path, chain) == []
    assert "no file of a pool" in logs[0]["why"]


def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, chain)
    before = path.read_bytes()

    def fails(_descriptor: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(file_module.os, "fsync", fails)
    with pytest.raises(OSError, match="full"):
        write_pool(path, chain.index.genesis.id, Mempool(chain).entries())
    assert path.read_bytes() == before
