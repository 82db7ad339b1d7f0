"""What the rules need from storage, and the scratch layer on which they write.

The state transition reads single keys and hands back a diff; it never scans, never counts and
never writes to a database. Naming only that keeps the rules testable on a plain dict and leaves
the storage free to change (after chia-blockchain `chia/consensus/coin_store_protocol.py`).
"""

from typing import Final, Protocol, TypeAlias

StateDiff: TypeAlias = dict[bytes, bytes | None]
"""State key → new value, or None where the key is deleted."""


class StateView(Protocol):
    """The state after some block, read one key at a time.

    No iteration: a rule that looped over a range of keys would cost more the larger the state
    grows, and its price could not be bounded. No writes: they go to an `Overlay`, so that an
    invalid transaction leaves nothing behind.
    """

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value under `key`, or None when there is none. b"" is a value."""
        ...


class Overlay:
    """Writes held in memory over a view that stays untouched. Is itself a `StateView`.

    Overlays nest: run a transaction on `Overlay(block_overlay)`, then `commit_into_parent`, or
    drop the object when the transaction turns out invalid.
    """

    def __init__(self, base: StateView) -> None:
        self._base: Final = base
        self._writes: StateDiff = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the latest value written here, else what the base holds."""
        if key in self._writes:
            return self._writes[key]
        return self._base.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        self._writes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove `key`; removing what is not there changes nothing."""
        self._writes[key] = None

    def diff(self) -> StateDiff:
        """Return what really differs from the base, in ascending order of keys.

        A key written back to the value it had, or created and deleted again, is left out.
        """
        return {
            key: value
            for key, value in sorted(self._writes.items())
            if self._base.get(key) != value
        }

    def commit_into_parent(self) -> None:
        """Move the writes into the overlay below; this one is then empty and may be reused.

        Raises TypeError when the base is not an overlay.
        """
        if not isinstance(self._base, Overlay):
            raise TypeError("only an overlay over another overlay has a parent to commit into")
        self._base._writes.update(self._writes)
        self._writes.clear()
