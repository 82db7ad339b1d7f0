"""What a subscription is fed from: taken when the client has read what came before, bounded.

A client that reads slowly finds only the newest of what replaces what came before (`Latest`), and
of what does not a bounded number, with a count of the rest (`Backlog`).
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

from .types import Answer

T = TypeVar("T")

MAX_BACKLOG: Final = 4_096
"""Items that wait for a slow client."""
MAX_TOGETHER: Final = 1_000
"""Items in one notification."""


class Feed(Protocol):
    """Where the notifications of one subscription come from."""

    async def next(self) -> Answer:
        """Wait for news and return the `result` of the next notification."""
        ...

    def close(self) -> None:
        """Let go of the source."""
        ...


class Latest(Generic[T]):
    """Holds one value, the newest."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._filled: Final = asyncio.Event()

    def put(self, value: T) -> None:
        """Replace what nobody has taken yet."""
        self._value = value
        self._filled.set()

    async def take(self) -> T:
        """Return the newest value once there is one that was not taken before."""
        while (value := self._value) is None:
            self._filled.clear()
            await self._filled.wait()
        self._value = None
        return value


class Backlog:
    """Holds the newest MAX_BACKLOG items in the order in which they came."""

    def __init__(self, name: str) -> None:
        """`name` is the field of the notification that lists the items."""
        self._name: Final = name
        self._items: deque[Any] = deque()
        self._missed = 0
        self._filled: Final = asyncio.Event()

    def put(self, items: Iterable[Any]) -> None:
        """Add items; the oldest beyond the bound are only counted."""
        self._items.extend(items)
        while len(self._items) > MAX_BACKLOG:
            self._items.popleft()
            self._missed += 1
        if self._items:
            self._filled.set()

    async def take(self) -> Answer:
        """Return what is held, up to MAX_TOGETHER items, and how many were missed before them."""
        await self._filled.wait()
        count = min(len(self._items), MAX_TOGETHER)
        answer = {self._name: list(islice(self._items, count)), "missed": self._missed}
        for _ in range(count):
            self._items.popleft()
        self._missed = 0
        if not self._items:
            self._filled.clear()
        return answer
