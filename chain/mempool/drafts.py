"""The states after what senders have waiting, kept for the next transaction of the same sender."""

from collections import OrderedDict
from typing import Final

from .ground import Draft
from .sender import Sender

MAX_DRAFTS: Final = 4096
MAX_DRAFT_BYTES: Final = 32 << 20
"""Canonical bytes of the transactions whose states are kept; a state takes up to eight times as
much, where transfers have many outputs."""


class Drafts:
    """States by sender, those used last; each can be made again."""

    def __init__(self) -> None:
        self._drafts: Final[OrderedDict[bytes, tuple[Draft, int]]] = OrderedDict()
        self._size = 0

    def get(self, address: bytes) -> Draft | None:
        """Return the state after all that a sender has waiting, if it is still kept."""
        held = self._drafts.get(address)
        return None if held is None else held[0]

    def keep(self, sender: Sender, draft: Draft) -> None:
        """Remember the state after a sender's transactions; the longest unused may be forgotten."""
        self.drop(sender.address)
        self._drafts[sender.address] = draft, sender.size
        self._size += sender.size
        while len(self._drafts) > MAX_DRAFTS or self._size > MAX_DRAFT_BYTES:
            _, (_, size) = self._drafts.popitem(last=False)
            self._size -= size

    def drop(self, address: bytes) -> None:
        """Forget a state that is no longer true."""
        held = self._drafts.pop(address, None)
        if held is not None:
            self._size -= held[1]

    def clear(self) -> None:
        """Forget all: the tip has moved."""
        self._drafts.clear()
        self._size = 0
