"""The one thread in which everything happens that changes the chain or judges it at length."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from ..consensus.supply import SupplyBroken
from ..core.errors import StorageError

P = ParamSpec("P")
T = TypeVar("T")

FATAL: Final = (StorageError, SupplyBroken)
"""After one of these the node must not go on: its own data or rules are wrong."""


class Worker:
    """Runs functions one after another, off the event loop."""

    def __init__(self, on_fatal: Callable[[BaseException], None]) -> None:
        """`on_fatal` is told, in the event loop, of an error the node cannot survive."""
        self._executor: Final = ThreadPoolExecutor(1, thread_name_prefix="chain")
        self._on_fatal: Final = on_fatal

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns, after everything asked for before."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        except FATAL as error:
            self._on_fatal(error)
            raise

    def close(self) -> None:
        """Wait for what is under way; nothing may be run afterwards."""
        self._executor.shutdown(wait=True, cancel_futures=True)
