"""Every mistake a person can make about a transaction's body, in one line each."""

from collections.abc import Callable

import pytest
from pouw.core.blob import blob_root
from pouw.core.codec import MAX_INT
from pouw.core.errors import UserError
from pouw.core.hashing import digest
from pouw.core.transaction import (
    INSTANT_MODE,
    MAX_OUTPUT_BYTES,
    CancelJob,
    ClaimJob,
    CommitResult,
    Output,
    RegisterModel,
    RoyaltyShare,
    SettleJob,
    SubmitJob,
    Transfer,
)
from pouw.genesis import TINY
from pouw.wallet import bodies

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def test_bodies() -> None:
    assert bodies.transfer([(A, 1), (B, 2)]) == Transfer((Output(A, 1), Output(B, 2)))
    assert bodies.register_model(TINY, "m", A, B, "MIT", [(C, 5000)]) == RegisterModel(
        "m", A, B, "MIT", (RoyaltyShare(C, 5000),)
    )
    assert bodies.register_model(TINY, "m", A, B, card="{}", previous=C) == RegisterModel(
        "m", A, B, "", (), "{}", C
    )
    assert bodies.submit_job(A, B, 0, 9) == SubmitJob(A, B, INSTANT_MODE, 0, 9)
    assert bodies.cancel_job(A) == CancelJob(A)
    assert bodies.claim_job(A) == ClaimJob(A)
    assert bodies.settle_job(A, b"out", B, [C]) == SettleJob(A, b"out", B, (C,))


def test_commitment_is_over_the_outputs_blob_root() -> None:
    expected = digest("commit", A, B, blob_root(b"out"), C)
    assert bodies.commit_result(A, B, b"out", C) == CommitResult(B, expected)


MISTAKES: list[tuple[str, Callable[[], object]]] = [
    ("1 to 1000 addresses", lambda: bodies.transfer([])),
    ("1 to 1000 addresses", lambda: bodies.transfer([(A, 1)] * 1001)),
    ("an address is 32 bytes, not 31", lambda: bodies.transfer([(A[1:], 1)])),
    ("more than zero", lambda: bodies.transfer([(A, 0)])),
    ("more than zero", lambda: bodies.transfer([(A, -5)])),
    ("more than can ever exist", lambda: bodies.transfer([(A, MAX_INT), (B, 1)])),
    ("printable", lambda: bodies.register_model(TINY, "", A, B)),
    ("1 to 64", lambda: bodies.register_model(TINY, "x" * 65, A, B)),
    ("printable", lambda: bodies.register_model(TINY, "a\nb", A, B)),
    ("a blob root is 32", lambda: bodies.register_model(TINY, "m", b"", B)),
    ("a blob root is 32", lambda: bodies.register_model(TINY, "m", A, B + b"x")),
    ("licence", lambda: bodies.register_model(TINY, "m", A, B, "x" * 16_385)),
    ("a card is at most", lambda: bodies.register_model(TINY, "m", A, B, card="x" * 16_385)),
    ("a model id is 32", lambda: bodies.register_model(TINY, "m", A, B, previous=b"")),
    ("at most 32 contributors", lambda: bodies.register_model(TINY, "m", A, B, "", [(C, 1)] * 33)),
    ("at least one basis", lambda: bodies.register_model(TINY, "m", A, B, "", [(C, 0)])),
    ("an address is", lambda: bodies.register_model(TINY, "m", A, B, "", [(b"", 1)])),
    ("5000 basis points", lambda: bodies.register_model(TINY, "m", A, B, "", [(C, 2501)] * 2)),
    ("a model id is 32", lambda: bodies.submit_job(b"", B, 1, 1)),
    ("a blob root is 32", lambda: bodies.submit_job(A, b"", 1, 1)),
    ("bounty", lambda: bodies.submit_job(A, B, -1, 1)),
    ("bounty", lambda: bodies.submit_job(A, B, MAX_INT + 1, 1)),
    ("deadline", lambda: bodies.submit_job(A, B, 1, -1)),
    ("a job id is 32", lambda: bodies.cancel_job(A[:5])),
    ("a job id is 32", lambda: bodies.claim_job(A[:5])),
    ("an address is 32", lambda: bodies.commit_result(b"", A, b"o", B)),
    ("a salt is 32", lambda: bodies.commit_result(A, B, b"o", b"salt")),
    ("an output is 1 to", lambda: bodies.commit_result(A, B, b"", C)),
    ("an output is 1 to", lambda: bodies.settle_job(A, bytes(MAX_OUTPUT_BYTES + 1), B)),
    ("a salt is 32", lambda: bodies.settle_job(A, b"o", b"salt")),
    ("at most 256 products", lambda: bodies.settle_job(A, b"o", B, [C] * 257)),
    ("a blob root is 32", lambda: bodies.settle_job(A, b"o", B, [b"x"])),
]


@pytest.mark.parametrize(("message", "make"), MISTAKES)
def test_mistakes(message: str, make: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=message):
        make()
