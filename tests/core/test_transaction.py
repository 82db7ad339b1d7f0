"""Transactions: what the signature and the id cover, and the bounds of every body."""

from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core import transaction as t
from pouw.core.blob import CHUNK_BYTES, Chunk
from pouw.core.codec import MAX_INT, decode, encode
from pouw.core.errors import DecodeError
from pouw.core.hashing import digest
from pouw.core.keys import PrivateKey, address_of

KEY = PrivateKey(b"k" * 32)
H = b"h" * 32

hashes = st.binary(min_size=32, max_size=32)
amounts = st.integers(0, MAX_INT)
bodies = st.one_of(
    st.builds(
        t.Transfer,
        st.lists(st.builds(t.Output, hashes, amounts), max_size=4).map(tuple),
    ),
    st.builds(t.UploadBlob, hashes, amounts, st.integers(0, 2**32 - 1), st.integers(1, 64)),
    st.builds(
        t.RegisterModel,
        st.text(min_size=1, max_size=64),
        hashes,
        hashes,
        st.text(max_size=100),
        st.lists(st.builds(t.RoyaltyShare, hashes, st.integers(0, 65535)), max_size=3).map(tuple),
        st.text(max_size=100),
        hashes,
    ),
    st.builds(t.SubmitJob, hashes, hashes, st.integers(0, 65535), amounts, amounts),
    st.builds(t.CancelJob, hashes),
    st.builds(t.ClaimJob, hashes),
    st.builds(t.CommitResult, hashes, hashes),
    st.builds(
        t.SettleJob,
        hashes,
        st.binary(min_size=1, max_size=100),
        hashes,
        st.lists(hashes, max_size=3).map(tuple),
    ),
)


def payload(body: t.Body, **changes: Any) -> t.Payload:
    fields: dict[str, Any] = {"chain_id": 4, "nonce": 1, "fee": 10, "expiry": 100}
    return t.Payload(sender=KEY.public, body=body, **(fields | changes))


@given(bodies)
def test_round_trip_through_the_wire(body: t.Body) -> None:
    signed = t.sign_transaction(KEY, payload(body))
    data = encode(signed)
    read = decode(t.Transaction, data, t.MAX_TRANSACTION_BYTES)
    assert read == signed
    assert type(read.payload.body) is type(body)
    assert read.signature_is_valid()
    assert read.id == signed.id == digest("tx", data)


def test_every_body_has_its_own_tag() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(t.Body)]
    assert sorted(tags) == list(range(1, 9))


@given(bodies, st.data())
def test_any_changed_byte_breaks_form_or_signature(body: t.Body, data: st.DataObject) -> None:
    signed = t.sign_transaction(KEY, payload(body))
    encoded = bytearray(encode(signed))
    index = data.draw(st.integers(0, len(encoded) - 1))
    encoded[index] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode(t.Transaction, bytes(encoded), t.MAX_TRANSACTION_BYTES)
    except DecodeError:
        return
    assert not changed.signature_is_valid()
    assert changed.id != signed.id


@pytest.mark.parametrize(
    "changes",
    [{"chain_id": 1}, {"nonce": 2}, {"fee": 11}, {"expiry": 101}, {"body": t.CancelJob(H)}],
)
def test_signature_covers_every_field(changes: dict[str, Any]) -> None:
    signed = t.sign_transaction(KEY, payload(t.ClaimJob(H)))
    replaced = msgspec.structs.replace(signed.payload, **changes)
    assert not msgspec.structs.replace(signed, payload=replaced).signature_is_valid()


def test_signature_of_another_sender() -> None:
    other = PrivateKey(b"o" * 32)
    forged = t.sign_transaction(other, payload(t.ClaimJob(H)))
    assert forged.payload.sender == KEY.public
    assert not forged.signature_is_valid()


def test_signature_is_over_a_labelled_digest() -> None:
    """No other signed thing of the protocol (a block id) can be taken for a transaction."""
    body = payload(t.ClaimJob(H))
    assert t.sign_transaction(KEY, body).signature == KEY.sign(digest("tx-sign", encode(body)))


def test_id_covers_the_signature() -> None:
    signed = t.sign_transaction(KEY, payload(t.ClaimJob(H)))
    assert msgspec.structs.replace(signed, signature=bytes(64)).id != signed.id


def test_sender_address() -> None:
    assert payload(t.ClaimJob(H)).sender_address == address_of(KEY.public) == KEY.address


OUT_OF_BOUNDS: list[Callable[[], t.Body]] = [
    lambda: t.Transfer((t.Output(H, 1),) * (t.MAX_TRANSFER_OUTPUTS + 1)),
    lambda: t.Transfer((t.Output(H, MAX_INT + 1),)),
    lambda: t.Transfer((t.Output(H[:31], 1),)),
    lambda: t.UploadBlob(H, 1, 0, 0),
    lambda: t.UploadBlob(H, 1, 0, t.MAX_UPLOAD_CHUNKS + 1),
    lambda: t.UploadBlob(H, 1, 2**32, 1),
    lambda: t.RegisterModel("", H, H, "", ()),
    lambda: t.RegisterModel("x" * (t.MAX_NAME_CHARS + 1), H, H, "", ()),
    lambda: t.RegisterModel("x", H, H, "x" * (t.MAX_LICENCE_CHARS + 1), ()),
    lambda: t.RegisterModel("x", H, H, "", (t.RoyaltyShare(H, 1),) * (t.MAX_ROYALTY_SHARES + 1)),
    lambda: t.RegisterModel("x", H, H, "", (t.RoyaltyShare(H, 65536),)),
    lambda: t.RegisterModel("x", H, H, "", (), "x" * (t.MAX_CARD_CHARS + 1)),
    lambda: t.RegisterModel("x", H, H, "", (), "", H[:31]),
    lambda: t.SubmitJob(H, H, 65536, 1, 1),
    lambda: t.SubmitJob(H, H, 0, -1, 1),
    lambda: t.SettleJob(H, b"", H, ()),
    lambda: t.SettleJob(H, bytes(t.MAX_OUTPUT_BYTES + 1), H, ()),
    lambda: t.SettleJob(H, b"x", H, (H,) * (t.MAX_POSTED_PRODUCTS + 1)),
]


@pytest.mark.parametrize("make", OUT_OF_BOUNDS)
def test_bounds_of_bodies(make: Callable[[], t.Body]) -> None:
    signed = t.sign_transaction(KEY, payload(make()))
    with pytest.raises(DecodeError, match="not a valid Transaction"):
        decode(t.Transaction, encode(signed), 1 << 24)


@pytest.mark.parametrize(
    "changes", [{"chain_id": 2**32}, {"nonce": -1}, {"fee": MAX_INT + 1}, {"expiry": MAX_INT + 1}]
)
def test_bounds_of_the_envelope(changes: dict[str, Any]) -> None:
    signed = t.sign_transaction(KEY, payload(t.ClaimJob(H), **changes))
    with pytest.raises(DecodeError, match="not a valid Transaction"):
        decode(t.Transaction, encode(signed), 1 << 24)


@pytest.mark.parametrize(
    "body",
    [
        t.Transfer((t.Output(H, MAX_INT),) * t.MAX_TRANSFER_OUTPUTS),
        t.RegisterModel(
            "𝕏" * t.MAX_NAME_CHARS,
            H,
            H,
            "𝕏" * t.MAX_LICENCE_CHARS,
            (t.RoyaltyShare(H, 10_000),) * t.MAX_ROYALTY_SHARES,
            "𝕏" * t.MAX_CARD_CHARS,
            H,
        ),
        t.SettleJob(H, bytes(t.MAX_OUTPUT_BYTES), H, (H,) * t.MAX_POSTED_PRODUCTS),
    ],
)
def test_largest_bodies_fit_the_byte_bound(body: t.Body) -> None:
    huge = payload(body, chain_id=2**32 - 1, nonce=MAX_INT, fee=MAX_INT, expiry=MAX_INT)
    signed = t.sign_transaction(KEY, huge)
    assert decode(t.Transaction, encode(signed), t.MAX_TRANSACTION_BYTES) == signed


def test_largest_bundle_fits_the_byte_bound() -> None:
    body = t.SettleJob(H, bytes(t.MAX_OUTPUT_BYTES), H, (H,) * t.MAX_POSTED_PRODUCTS)
    chunk = Chunk(bytes(CHUNK_BYTES), (H,) * 16)
    bundle = t.Bundle(t.sign_transaction(KEY, payload(body)), (chunk,) * t.MAX_UPLOAD_CHUNKS)
    assert decode(t.Bundle, encode(bundle), t.MAX_BUNDLE_BYTES) == bundle
    crowded = msgspec.structs.replace(bundle, chunks=(chunk,) * (t.MAX_UPLOAD_CHUNKS + 1))
    with pytest.raises(DecodeError):
        decode(t.Bundle, encode(crowded), 2 * t.MAX_BUNDLE_BYTES)


def test_result_commitment_binds_everything() -> None:
    a, b, c, d = (bytes([i]) * 32 for i in range(4))
    assert t.result_commitment(a, b, c, d) == digest("commit", a + b + c + d)
    assert len({t.result_commitment(*order) for order in ((a, b, c, d), (b, a, c, d))}) == 2
