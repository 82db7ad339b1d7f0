"""Bodies: what is somebody's wrong body, and what condemns the block."""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from pouw.consensus.body_rules import announced_chunks, check_body, check_chunks
from pouw.consensus.header_rules import HEADER_VERSION
from pouw.consensus.ticket import Operand, Shape, Tag, prove
from pouw.core.blob import CHUNK_BYTES, Chunk, split_blob
from pouw.core.block import (
    MAX_BLOCK_CHUNKS,
    BlockBody,
    Header,
    SealedHeader,
    seal,
    transactions_root,
)
from pouw.core.codec import MAX_INT, encode
from pouw.core.errors import BodyMismatch, RuleViolation
from pouw.core.hashing import ZERO_HASH, u256
from pouw.core.transaction import (
    Body,
    Output,
    Payload,
    Transaction,
    Transfer,
    UploadBlob,
    sign_transaction,
)
from pouw.genesis import TINY
from pouw.tests.consensus.world import ALICE, BOB

DATA = np.random.default_rng(0).bytes(600 * 256)
ROOT, CHUNKS = split_blob(DATA)
TRANSFER = Transfer((Output(BOB.address, 1),))
UPLOAD = UploadBlob(ROOT, len(DATA), 0, 3)


@dataclass(frozen=True)
class Found:
    """A block that was mined, and its body."""

    sealed: SealedHeader
    body: BlockBody


def signed(body: Body, nonce: int = 0) -> Transaction:
    return sign_transaction(ALICE, Payload(4, ALICE.public, nonce, 0, MAX_INT, body))


def found(
    transactions: tuple[Transaction, ...] = (), chunks: tuple[Chunk, ...] = (), rows: int = 16
) -> Found:
    header = Header(
        version=HEADER_VERSION,
        parent=ZERO_HASH,
        height=1,
        time=TINY.genesis_time + 1,
        difficulty=u256(TINY.initial_difficulty),
        miner=ALICE.public,
        payout=ALICE.address,
        transactions_root=transactions_root(transactions),
        state_root=ZERO_HASH,
    )
    a = Operand.commit(np.random.default_rng(1).integers(-64, 64, (rows, 256), dtype=np.int8))
    head, opening = prove(header.sigma, Shape(rows, 16, 256), Tag(), a, None, (0, 0))
    return Found(seal(ALICE, header, head), BlockBody(opening, transactions, chunks))


def condemned_by(block: Found, params: Any = TINY) -> str:
    with pytest.raises(RuleViolation) as caught:
        check_body(block.sealed, block.body, params)
    return caught.value.rule


def test_good_bodies_pass() -> None:
    for block in (
        found(),
        found((signed(TRANSFER),)),
        found((signed(UPLOAD), signed(TRANSFER, 1)), tuple(CHUNKS)),
        found((signed(UploadBlob(ROOT, len(DATA), 1, 2)),), tuple(CHUNKS[1:])),
    ):
        check_body(block.sealed, block.body, TINY)


BLOCK = found((signed(UPLOAD), signed(TRANSFER, 1)), tuple(CHUNKS), rows=32)
TAMPERED: dict[str, dict[str, Any]] = {
    "a transaction left out": {"transactions": BLOCK.body.transactions[:1]},
    "transactions in another order": {"transactions": BLOCK.body.transactions[::-1]},
    "no transactions": {"transactions": ()},
    "another signature": {
        "transactions": (
            BLOCK.body.transactions[0],
            msgspec.structs.replace(BLOCK.body.transactions[1], signature=bytes(64)),
        )
    },
    "a chunk left out": {"chunks": BLOCK.body.chunks[:2]},
    "no chunks": {"chunks": ()},
    "a chunk too many": {"chunks": (*BLOCK.body.chunks, CHUNKS[0])},
    "chunks in another order": {"chunks": (CHUNKS[1], CHUNKS[0], CHUNKS[2])},
    "a changed chunk": {
        "chunks": (*CHUNKS[:2], Chunk(b"\xff" + CHUNKS[2].data[1:], CHUNKS[2].path))
    },
    "a longer chunk": {"chunks": (*CHUNKS[:2], Chunk(CHUNKS[2].data + b"\0", CHUNKS[2].path))},
    "a longer path": {"chunks": (*CHUNKS[:2], Chunk(CHUNKS[2].data, (*CHUNKS[2].path, ZERO_HASH)))},
    "other rows": {"opening": found(rows=48).body.opening},
    "padded rows": {
        "opening": msgspec.structs.replace(
            BLOCK.body.opening, a_rows=BLOCK.body.opening.a_rows + bytes(256)
        )
    },
    "rows for the zero operand": {
        "opening": msgspec.structs.replace(BLOCK.body.opening, b_rows=bytes(16 * 256))
    },
}


@pytest.mark.parametrize("changes", TAMPERED.values(), ids=TAMPERED.keys())
def test_a_tampered_body_is_only_the_wrong_body(changes: dict[str, Any]) -> None:
    body = msgspec.structs.replace(BLOCK.body, **changes)
    with pytest.raises(BodyMismatch):
        check_body(BLOCK.sealed, body, TINY)
    check_body(BLOCK.sealed, BLOCK.body, TINY)


def test_an_oversized_opening_cannot_condemn_a_block_that_fits_with_its_own() -> None:
    """The size was once judged before the opening: padding it made a good block invalid."""
    params = replace(TINY, max_block_bytes=len(encode(BLOCK.body)))
    check_body(BLOCK.sealed, BLOCK.body, params)
    padded = msgspec.structs.replace(BLOCK.body.opening, b_rows=bytes(100_000))
    with pytest.raises(BodyMismatch):
        check_body(BLOCK.sealed, msgspec.structs.replace(BLOCK.body, opening=padded), params)
    tighter = replace(params, max_block_bytes=params.max_block_bytes - 1)
    assert condemned_by(BLOCK, tighter) == "block-bytes"


def test_a_bad_signature_condemns() -> None:
    forged = msgspec.structs.replace(signed(TRANSFER), signature=bytes(64))
    assert condemned_by(found((forged,))) == "tx-signature"


def test_more_chunk_bytes_than_a_block_may_carry_condemn() -> None:
    exactly = replace(TINY, max_chunk_bytes=len(DATA))
    check_body(BLOCK.sealed, BLOCK.body, exactly)
    assert condemned_by(BLOCK, replace(exactly, max_chunk_bytes=len(DATA) - 1)) == "block-chunks"


def test_uploads_that_no_chunks_can_satisfy_condemn_without_any() -> None:
    """Else every node would wait for ever for a body that nobody can have."""
    beyond = found((signed(UploadBlob(ROOT, len(DATA), 1, 3)),))
    assert condemned_by(beyond) == "blob-range"
    assert condemned_by(found((signed(UploadBlob(ROOT, len(DATA), 2**32 - 1, 1)),))) == "blob-range"
    assert condemned_by(found((signed(UploadBlob(ROOT, 0, 0, 1)),))) == "blob-size"
    assert condemned_by(found((signed(UploadBlob(ROOT, MAX_INT, 0, 1)),))) == "blob-size"
    much = signed(UploadBlob(ROOT, 100 * CHUNK_BYTES, 0, 64))
    assert condemned_by(found((much,))) == "block-chunks"


def test_more_chunks_than_a_body_can_encode_condemn() -> None:
    single, (chunk,) = split_blob(b"x")
    tiny = signed(UploadBlob(single, 1, 0, 1))
    full = (tiny,) * MAX_BLOCK_CHUNKS
    block = found(full, (chunk,) * MAX_BLOCK_CHUNKS)
    check_body(block.sealed, block.body, replace(TINY, max_block_bytes=1 << 24))
    assert condemned_by(found((*full, tiny))) == "block-chunks"


def test_announced_chunks_follow_the_transactions() -> None:
    second = UploadBlob(ROOT, len(DATA), 2, 1)
    transactions = (signed(second), signed(TRANSFER), signed(UPLOAD))
    assert list(announced_chunks(transactions)) == [(second, 2), *((UPLOAD, i) for i in range(3))]
    check_chunks(transactions, (CHUNKS[2], *CHUNKS))
    with pytest.raises(BodyMismatch):
        check_chunks(transactions, (*CHUNKS, CHUNKS[2]))
