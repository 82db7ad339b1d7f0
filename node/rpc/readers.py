"""Threads in which the database is read, so that the event loop never waits for it."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from threading import RLock
from typing import Any, Final, TypeVar

T = TypeVar("T")


class Readers:
    """Runs functions beside the event loop."""

    def __init__(self, lock: RLock, threads: int) -> None:
        """`lock` is the chain's: its holder sees a state that belongs to one tip."""
        self._lock: Final = lock
        self._executor: Final = ThreadPoolExecutor(threads, thread_name_prefix="rpc")

    async def read(self, function: Callable[[], T]) -> T:
        """Run a function under the chain's lock."""

        def locked() -> T:
            with self._lock:
                return function()

        return await self.scan(locked)

    async def scan(self, function: Callable[[], T]) -> T:
        """Run a function without the lock: for what walks over the database at length."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def close(self) -> None:
        """Wait for what is under way; nothing may be run afterwards."""
        self._executor.shutdown(wait=True, cancel_futures=True)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; a cancellation meanwhile is raised only when it has ended.

    For what others count on, too: a reader thread goes on when its caller is cancelled, and what it
    found would be lost to everybody.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # nobody is left to hear of it
        raise
