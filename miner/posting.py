"""Putting a job's long products on the chain as blobs, between commitment and settlement."""

from typing import Final

import structlog

from ..core.blob import Chunk
from ..core.hashing import Hash
from ..wallet.answers import BlobState, ask_optional
from ..wallet.builder import pack_chunks, split
from ..wallet.client import RpcError
from ..wallet.session import WAVE_UPLOADS
from .desk import Desk, Dispatch

_log = structlog.get_logger(__name__)


class Posting:
    """The blobs of one settlement. Each step asks what is missing and sends it."""

    def __init__(self, desk: Desk, products: tuple[bytes, ...]) -> None:
        self._desk: Final = desk
        self._blobs: dict[Hash, tuple[int, list[Chunk]]] = {}
        self.roots: tuple[Hash, ...] = ()
        """Blob roots in product order."""
        for data in products:
            root, chunks = split(data)
            self._blobs[root] = len(data), chunks
            self.roots += (root,)
        self._under_way: list[Dispatch] = []
        self._refusal = ""

    def step(self) -> bool:
        """Send what can be sent; return whether every blob is complete."""
        missing = {
            root: start for root in self._blobs if (start := self._missing(root)) is not None
        }
        if not missing:
            return True
        self._under_way = [one for one in self._under_way if _pending(one)]
        if not self._under_way:
            try:
                self._send(missing)
            except RpcError as refusal:
                if refusal.message != self._refusal:
                    _log.warning("job.refused", action="post", why=refusal.message)
                self._refusal = refusal.message
        return False

    def _missing(self, root: Hash) -> int | None:
        """Return the first chunk that the chain lacks, None when the blob is complete."""
        blob = ask_optional(self._desk.session.client, BlobState, "getblob", root=root.hex())
        if blob is None:
            return 0
        return None if blob.complete else blob.next_chunk

    def _send(self, missing: dict[Hash, int]) -> None:
        for root, first in missing.items():
            size, chunks = self._blobs[root]
            for upload in pack_chunks(self._desk.params, root, size, chunks, first):
                if len(self._under_way) >= WAVE_UPLOADS:
                    return
                self._under_way.append(Dispatch(self._desk, self._desk.upload(upload)))


def _pending(dispatch: Dispatch) -> bool:
    return dispatch.included_at() is None and dispatch.started
