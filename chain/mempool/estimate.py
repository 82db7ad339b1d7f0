"""What it takes to be included soon: from what recent blocks took, and from what waits now."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from ...core.block import BlockBody
from ...core.codec import encode
from ...core.hashing import Hash
from ...genesis import Params
from ..chainstate import Chain, ChainChange, ConnectedBlock
from .fees import KIB
from .packages import Package, sort_rate
from .room import BlockRoom, bundles_of

HISTORY: Final = 24
"""Blocks that are remembered."""
_FULL: Final = 8
"""A block with less than an eighth of its room left turned something away."""
_TENTH: Final = 10
"""The least paying tenth of a block's bytes says nothing: miners include what they like."""


class FeeEstimator:
    """Remembers what the newest blocks asked."""

    def __init__(self, chain: Chain) -> None:
        """Begin with the blocks that are there already."""
        self._params: Final[Params] = chain.params
        self._room: Final = BlockRoom(chain.params).bytes_left
        self._asked: Final[deque[tuple[Hash, int]]] = deque(maxlen=HISTORY)
        tip = chain.tip.height
        for height in range(max(1, tip - HISTORY + 1), tip + 1):
            entry = chain.at_height(height)
            body = None if entry is None else chain.body(entry.id)
            if entry is not None and body is not None:
                self._asked.append((entry.id, asked_rate(body, chain.params)))

    def follow(self, change: ChainChange) -> None:
        """Forget the blocks taken off and learn from those put on."""
        for entry, _ in change.disconnected:
            if self._asked and self._asked[-1][0] == entry.id:
                self._asked.pop()
        newest: Iterable[ConnectedBlock] = change.connected[-HISTORY:]
        for entry, body in newest:
            self._asked.append((entry.id, asked_rate(body, self._params)))

    def estimate(self, waiting: Iterable[Sequence[Package]], blocks: int) -> int:
        """Return a rate in base units per KiB; 0 where nothing competes.

        The larger of two: what is needed to stand within `blocks` blocks' room of what waits, and
        the median, over the spans of `blocks` blocks, of the least that one of the span asked.
        """
        return max(self._rate_to_stand(waiting, blocks), self._rate_of_spans(blocks))

    def _rate_to_stand(self, waiting: Iterable[Sequence[Package]], blocks: int) -> int:
        packages = sorted(
            (package for packages in waiting for package in packages),
            key=lambda package: package.rate,
            reverse=True,
        )
        left = blocks * self._room
        for package in packages:
            left -= package.size
            if left < 0:
                return _per_kib(package.fee, package.size) + 1
        return 0

    def _rate_of_spans(self, blocks: int) -> int:
        asked = [rate for _, rate in self._asked]
        spans = [
            min(islice(asked, start, start + blocks))
            for start in range(max(1, len(asked) - blocks + 1))
            if asked
        ]
        return sorted(spans)[len(spans) // 2] if spans else 0


def asked_rate(body: BlockBody, params: Params) -> int:
    """Return the rate in base units per KiB that got into a block; 0 if it had room left."""
    room = BlockRoom(params)
    bytes_of_all, chunks_of_all = room.bytes_left, room.chunk_bytes_left
    paid: list[tuple[int, int, int]] = []
    for bundle in bundles_of(body):
        size = len(encode(bundle))
        room.take(bundle, size)
        fee = bundle.transaction.payload.fee
        paid.append((sort_rate(fee, size), fee, size))
    if room.bytes_left * _FULL > bytes_of_all and room.chunk_bytes_left * _FULL > chunks_of_all:
        return 0
    ignored = sum(size for _, _, size in paid) // _TENTH
    for _, fee, size in sorted(paid):
        ignored -= size
        if ignored < 0:
            return _per_kib(fee, size)
    return 0


def _per_kib(fee: int, size: int) -> int:
    """Return the rate of a fee, rounded up."""
    return -(-fee * KIB // size)
