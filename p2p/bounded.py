"""Collections that cannot grow without end, whatever strangers send."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class BoundedSet(Generic[T]):
    """A set that forgets its oldest members beyond `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._members: OrderedDict[T, None] = OrderedDict()

    def __contains__(self, member: T) -> bool:
        return member in self._members

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[T]:
        return iter(self._members)

    def add(self, member: T) -> bool:
        """Add a member as the youngest; return whether it is new."""
        fresh = member not in self._members
        self._members[member] = None
        self._members.move_to_end(member)
        if len(self._members) > self._capacity:
            self._members.popitem(last=False)
        return fresh

    def update(self, members: Iterable[T]) -> None:
        """Add several members."""
        for member in members:
            self.add(member)

    def discard(self, member: T) -> None:
        """Remove a member if present."""
        self._members.pop(member, None)

    def clear(self) -> None:
        """Forget everything."""
        self._members.clear()


class TokenBucket:
    """Grants at most `per_minute` tokens in a minute; unused ones are saved up to that number."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._capacity = float(per_minute)
        self._tokens = float(per_minute)
        self._clock = clock
        self._filled_at = clock()

    def take(self) -> bool:
        """Take one token; return False when there is none."""
        now = self._clock()
        earned = max(0.0, now - self._filled_at) * self._capacity / 60
        self._tokens = min(self._capacity, self._tokens + earned)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
