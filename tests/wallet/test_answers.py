"""What a node answers is checked before anything is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pouw.core.errors import UserError
from pouw.wallet.answers import (
    AccountState,
    BlobState,
    Info,
    JobState,
    Quote,
    ResultAnswer,
    SentTransaction,
    TransactionStatus,
    ask,
    ask_optional,
    unhex,
)
from pouw.wallet.client import RpcClient

if TYPE_CHECKING:
    from .conftest import FakeNode

JOB: dict[str, Any] = {"status": "settled", "owner": "o", "bounty": 1, "deadline": 2}
RESULT: dict[str, Any] = {
    "output": "00",
    "dtype": "int8",
    "shape": [1],
    "block": "ab" * 32,
    "height": 3,
    "worker": "w",
}

MALFORMED: list[tuple[type[msgspec.Struct], Any]] = [
    (Info, None),
    (Info, []),
    (Info, {"network": "tiny", "chain_id": 4}),
    (Info, {"network": "tiny", "chain_id": 4, "height": -1}),
    (Info, {"network": "tiny", "chain_id": 4, "height": "9"}),
    (Info, {"network": "tiny", "chain_id": 4, "height": 1.5}),
    (Info, {"network": "tiny", "chain_id": True, "height": 1}),
    (AccountState, {"balance": 2**63, "nonce": 0, "pending_nonce": 0}),
    (AccountState, {"balance": 1, "nonce": 0}),
    (SentTransaction, {"id": "ab"}),
    (SentTransaction, {"id": "AB" * 32}),
    (SentTransaction, {"id": "ab" * 32 + "\n"}),
    (TransactionStatus, {"status": "lost"}),
    (BlobState, {"size": 1, "chunks": 1, "next_chunk": 2**32, "complete": True}),
    (BlobState, {"size": 1, "chunks": 1, "next_chunk": 0, "complete": 1}),
    (Quote, {"macs": 1}),
    (JobState, JOB | {"status": "done"}),
    (JobState, JOB | {"owner": None}),
    (ResultAnswer, RESULT | {"shape": [-1]}),
    (ResultAnswer, RESULT | {"output": "0" * (2**19 + 1)}),
]


@pytest.mark.parametrize(("kind", "answer"), MALFORMED)
def test_malformed(node: FakeNode, kind: type[msgspec.Struct], answer: Any) -> None:
    node.answers["method"] = answer
    with pytest.raises(UserError, match="answers 'method' in a form unknown here") as caught:
        ask(RpcClient(node.url), kind, "method")
    assert "\n" not in str(caught.value)


def test_more_fields_than_known_are_fine(node: FakeNode) -> None:
    node.answers["getjob"] = JOB | {"colour": "blue"}
    job = ask(RpcClient(node.url), JobState, "getjob")
    assert job.ended and job.worker is None and job.deadline == 2


def test_null_where_allowed(node: FakeNode) -> None:
    client = RpcClient(node.url)
    node.answers["getblob"] = None
    assert ask_optional(client, BlobState, "getblob", root="00") is None
    node.answers["getblob"] = {"size": 1, "chunks": 1, "next_chunk": 1, "complete": True}
    assert ask_optional(client, BlobState, "getblob") == BlobState(1, 1, 1, True)
    node.answers["getblob"] = {}
    with pytest.raises(UserError, match="unknown here"):
        ask_optional(client, BlobState, "getblob")


@pytest.mark.parametrize("text", ["0", "zz", "0x00", "é0"])
def test_hex(text: str) -> None:
    client = RpcClient("http://127.0.0.1:1")
    assert unhex(client, "00ff") == b"\x00\xff"
    with pytest.raises(UserError, match="not hexadecimal"):
        unhex(client, text)
