"""Keeps the mempool on disk: read back at the start, written now and then and when the node stops.

What is read back is judged like a peer's transactions, a few at a time, so that a large file keeps
neither blocks nor peers waiting.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from ..chain.mempool import Mempool
from ..chain.mempool.file import read_pool, write_pool
from ..core.errors import PouwError
from ..core.hashing import Hash
from ..core.transaction import Bundle
from .worker import FATAL, Worker

_log: Final = structlog.get_logger(__name__)

POOL_FILE: Final = "mempool"
"""In the node's data folder."""
SAVE_SECONDS: Final = 300.0
"""What a crash may lose."""
_AT_ONCE: Final = 32


class PoolKeeper:
    """Saves one pool to one file."""

    def __init__(self, mempool: Mempool, worker: Worker, folder: Path, genesis: Hash) -> None:
        """`worker` is the thread that changes the chain; `genesis` is the id of block 0."""
        self._mempool: Final = mempool
        self._worker: Final = worker
        self._path: Final = folder / POOL_FILE
        self._genesis: Final = genesis
        self._is_loaded = False
        self._writing: Final = Lock()
        """The last save may come while one from time to time is still under way."""
        self._duty: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read back, then to save from time to time."""
        self._duty = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Save for the last time, unless the old file still holds what was not read back yet."""
        if self._duty is not None:
            self._duty.cancel()
            with suppress(asyncio.CancelledError):
                await self._duty
        if self._is_loaded:
            await asyncio.to_thread(self.save)

    def save(self) -> None:
        """Write the file. A disk that does not take it is worth a line in the log, no more."""
        try:
            with self._writing:
                count = write_pool(self._path, self._genesis, self._mempool.entries())
        except OSError as error:
            _log.warning("mempool.not_saved", file=str(self._path), why=str(error))
        else:
            _log.debug("mempool.saved", transactions=count)

    async def _keep(self) -> None:
        await self._load()
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await asyncio.to_thread(self.save)

    async def _load(self) -> None:
        stored = read_pool(self._path, self._genesis)
        taken = 0
        while (found := await self._worker.run(self._take, stored)) is not None:
            taken += found
        self._is_loaded = True
        if taken:
            _log.info("mempool.restored", transactions=taken)

    def _take(self, stored: Iterator[tuple[Bundle, int]]) -> int | None:
        """Offer the next few to the pool; return how many it took, None at the end."""
        batch = list(islice(stored, _AT_ONCE))
        return sum(self._restore(*each) for each in batch) if batch else None

    def _restore(self, bundle: Bundle, arrived: int) -> bool:
        try:
            self._mempool.restore(bundle, arrived)
        except FATAL:
            raise
        except PouwError:
            return False
        return True
