"""Crashes: a write that fails, power that goes, a process that is killed, at every step.

Whatever is lost, the next start opens, stands at some block with exactly that block's state, and
goes on to the same tip when it is given the same blocks again.
"""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

import pytest
from pouw.chain.chainstate import Chain
from pouw.chain.kv import KeyValueReader, KeyValueStore, LevelDB
from pouw.core.blob import CHUNK_BYTES
from pouw.core.block import Block
from pouw.core.codec import encode
from pouw.core.errors import BodyMismatch, MissingParent, RuleViolation, StorageError
from pouw.core.hashing import ZERO_HASH, Hash
from pouw.tests.chain.conftest import OpenStore
from pouw.tests.chain.workshop import (
    FAUCET,
    FUNDED,
    NOW,
    Forge,
    audit,
    busy_branch,
    open_chain,
    uploads,
)

Batch = Mapping[bytes, bytes | None]

CHILD: Final = """
import sys
from pathlib import Path
from pouw.chain.chainstate import Chain
from pouw.chain.kv import LevelDB
from pouw.core.block import Block
from pouw.core.codec import decode
from pouw.tests.chain.workshop import FUNDED, NOW, open_chain

folder, file = map(Path, sys.argv[1:])
data = file.read_bytes()
chain = open_chain(LevelDB(folder), FUNDED)
for block in decode(tuple[Block, ...], data, len(data)):
    chain.accept_header(block.sealed, NOW)
    chain.accept_body(block.id, block.body)
    print(chain.tip.height, flush=True)
"""


class Watched:
    """A store over a real one. Every write goes through `_write`."""

    def __init__(self, inner: LevelDB) -> None:
        self.inner = inner
        self.writes = 0

    def get(self, key: bytes) -> bytes | None:
        return self.inner.get(key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self.inner.iterate(prefix)

    def snapshot(self) -> AbstractContextManager[KeyValueReader]:
        return self.inner.snapshot()

    def close(self) -> None:
        self.inner.close()

    def write(self, batch: Batch, sync: bool = True) -> None:
        self.writes += 1
        self._write(batch, sync)

    def _write(self, batch: Batch, sync: bool) -> None:
        self.inner.write(batch, sync)


class Failing(Watched):
    """Fails at one write: `lands` says whether it reached the disk, `heals` what follows."""

    def __init__(self, inner: LevelDB, fails_at: int, lands: bool = False, heals: bool = False):
        super().__init__(inner)
        self._fails_at = fails_at
        self._lands = lands
        self._heals = heals

    def _write(self, batch: Batch, sync: bool) -> None:
        if self.writes == self._fails_at and self._lands:
            self.inner.write(batch, sync)
        if self.writes == self._fails_at or (self.writes > self._fails_at and not self._heals):
            raise StorageError("injected failure")
        self.inner.write(batch, sync)


class Journal(Watched):
    """Keeps what was written, to tell afterwards what a loss of power may leave."""

    def __init__(self, inner: LevelDB) -> None:
        super().__init__(inner)
        self.batches: list[tuple[dict[bytes, bytes | None], bool]] = []

    def _write(self, batch: Batch, sync: bool) -> None:
        self.batches.append((dict(batch), sync))
        self.inner.write(batch, sync)


class Story:
    """Blocks that make a chain do everything: reorgs to and fro, an invalid branch, a blob."""

    def __init__(self) -> None:
        self.forge = forge = Forge(FUNDED)
        (bundle,) = uploads(FAUCET, bytes(range(256)) * (CHUNK_BYTES // 256), 0, each=1)
        start = forge.mine(forge.genesis.id, [bundle])
        trunk = [start, *busy_branch(forge, start.id, 1, seed=1)]
        old = busy_branch(forge, trunk[-1].id, 3, seed=2)
        new = busy_branch(forge, start.id, 5, seed=3)
        bad = forge.mine(old[1].id, state_root=ZERO_HASH)
        rotten = [bad]
        for _ in range(5):
            rotten.append(forge.bury(rotten[-1].id))
        late = busy_branch(forge, old[-1].id, 4, seed=4)
        self.blocks = [*trunk, *old, *new, *rotten[1:], bad, *late[1:], late[0]]
        self.headers_first = [*rotten, *late]
        self.tip = late[-1].id

    def tell(self, chain: Chain) -> None:
        """Deliver everything; only a failing store stops it."""
        for block in self.blocks:
            if block is self.blocks[10]:
                for early in self.headers_first:
                    take_header(chain, early)
            take_header(chain, block)
            with suppress(RuleViolation, MissingParent, BodyMismatch):
                chain.accept_body(block.id, block.body)

    def check(self, store: KeyValueStore) -> None:
        """Open what a crash left, audit it, and go on to the end."""
        chain = open_chain(store, FUNDED)
        audit(chain, self.forge)
        self.tell(chain)
        assert chain.tip.id == self.tip
        audit(chain, self.forge)


def take_header(chain: Chain, block: Block) -> None:
    with suppress(RuleViolation, MissingParent):
        chain.accept_header(block.sealed, NOW)


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


def count_writes(story: Story, store: LevelDB) -> int:
    watched = Watched(store)
    story.check(watched)
    return watched.writes


def test_the_story_has_everything(story: Story, new_store: OpenStore) -> None:
    chain = open_chain(new_store(), FUNDED)
    tips: list[Hash] = []
    chain.listeners.append(lambda change: tips.append(chain.tip.id))
    lengths = list[int]()
    chain.listeners.append(lambda change: lengths.append(len(change.disconnected)))
    story.tell(chain)
    assert tips[-1] == story.tip
    assert sum(length > 2 for length in lengths) >= 3
    rotten = chain.index.get(story.headers_first[0].id)
    assert rotten is not None
    assert rotten.invalid == "state-root"


@pytest.mark.parametrize("lands", [False, True])
def test_every_write_may_be_the_last(story: Story, new_store: OpenStore, lands: bool) -> None:
    total = count_writes(story, new_store())
    assert total > 60
    for number in range(1, total + 1):
        store = new_store()
        with pytest.raises(StorageError, match="injected"):
            story.tell(open_chain(Failing(store, number, lands), FUNDED))
        story.check(store)
        store.close()


def test_a_chain_outlives_a_write_that_failed_once(story: Story, new_store: OpenStore) -> None:
    """What is in memory must not run ahead of the disk: the same object goes on correctly."""
    total = count_writes(story, new_store())
    for number in range(2, total + 1):
        store = new_store()
        chain = open_chain(Failing(store, number, heals=True), FUNDED)
        with pytest.raises(StorageError, match="injected"):
            story.tell(chain)
        audit(chain, story.forge)
        story.tell(chain)
        assert chain.tip.id == story.tip
        audit(chain, story.forge)
        again = open_chain(store, FUNDED)
        assert again.tip.id == story.tip
        assert len(again.index) == len(chain.index)
        store.close()


def test_a_header_that_was_not_written_is_not_known(story: Story, new_store: OpenStore) -> None:
    store = new_store()
    chain = open_chain(Failing(store, 2, heals=True), FUNDED)
    first = story.blocks[0].sealed
    with pytest.raises(StorageError, match="injected"):
        chain.accept_header(first, NOW)
    assert chain.accept_header(first, NOW)
    assert len(open_chain(store, FUNDED).index) == len(chain.index) == 2


@pytest.mark.parametrize("survival", [0.0, 0.5])
def test_power_may_take_any_write_that_was_not_synced(
    story: Story, new_store: OpenStore, survival: float
) -> None:
    journal = Journal(new_store())
    story.tell(open_chain(journal, FUNDED))
    rng = random.Random(survival)
    for length in range(len(journal.batches) + 1):
        store = new_store()
        for batch, sync in journal.batches[:length]:
            if sync or rng.random() < survival:
                store.write(batch, sync=False)
        story.check(store)
        store.close()


def zigzag(forge: Forge, rounds: int) -> list[Block]:
    """Mine branches that overtake each other, round by round."""
    rng = random.Random(5)
    blocks: list[Block] = []
    tip, height = forge.genesis.id, 0
    for seed in range(rounds):
        back = rng.randint(0, min(4, height))
        base = tip
        for _ in range(back):
            base = forge.header(base).header.parent
        branch = busy_branch(forge, base, back + 1, seed)
        blocks += branch
        tip, height = branch[-1].id, height + 1
    return blocks


def run_until(folder: Path, file: Path, lines: int) -> bool:
    """Import in another process and kill it after some lines; tell whether it was still busy."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(file)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for read, _ in enumerate(child.stdout, 1):
            if read == lines:
                child.send_signal(signal.SIGKILL)
                break
        child.stdout.read()
    return child.returncode == -signal.SIGKILL


def test_a_killed_process_leaves_a_sound_chain(tmp_path: Path) -> None:
    forge = Forge(FUNDED)
    blocks = zigzag(forge, 150)
    file, folder = tmp_path / "blocks", tmp_path / "db"
    file.write_bytes(encode(tuple(blocks)))
    rng = random.Random(9)
    heights: list[int] = []
    for killed in range(10):
        assert run_until(folder, file, rng.randint(1, 40 * (killed + 1)))
        store = LevelDB(folder)
        chain = open_chain(store, FUNDED)
        audit(chain, forge)
        heights.append(chain.tip.height)
        store.close()
    assert not run_until(folder, file, len(blocks) + 1)
    store = LevelDB(folder)
    chain = open_chain(store, FUNDED)
    assert chain.tip.id == blocks[-1].id
    audit(chain, forge)
    store.close()
    assert heights == sorted(heights)
    assert len(set(heights)) > 3
