"""Signed bundles a node accepts: fees by size, bounds of every number, blobs cut into uploads."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.blob import CHUNK_BYTES, chunk_count, split_blob, verify_chunk
from pouw.core.codec import MAX_INT, decode, encode
from pouw.core.errors import UserError
from pouw.core.keys import PrivateKey
from pouw.core.transaction import (
    MAX_BUNDLE_BYTES,
    MAX_UPLOAD_CHUNKS,
    Body,
    Bundle,
    ClaimJob,
    Output,
    RegisterModel,
    SettleJob,
    Transfer,
    UploadBlob,
)
from pouw.genesis import DEVNET, MAINNET, TESTNET, TINY, Params
from pouw.wallet.builder import UPLOADS_PER_BLOCK, Builder, Terms, size_in_kib, uploads

KEY = PrivateKey(b"s" * 32)
BUILDER = Builder(TINY, KEY)
H = b"h" * 32
NETWORKS = [MAINNET, TESTNET, DEVNET, TINY]

small_bodies = st.one_of(
    st.just(ClaimJob(H)),
    st.integers(1, 60).map(lambda n: Transfer((Output(H, MAX_INT // n),) * n)),
    st.integers(1, 5000).map(lambda n: SettleJob(H, bytes(n), H, ())),
    st.integers(0, 3000).map(lambda n: RegisterModel("m", H, H, "x" * n, ())),
)


@given(small_bodies, st.integers(0, MAX_INT), st.integers(0, MAX_INT))
def test_bundle_is_signed_and_reads_back(body: Body, nonce: int, expiry: int) -> None:
    bundle = BUILDER.build(body, Terms(nonce, expiry))
    assert decode(Bundle, encode(bundle), MAX_BUNDLE_BYTES) == bundle
    payload = bundle.transaction.payload
    assert bundle.transaction.signature_is_valid()
    assert (payload.chain_id, payload.nonce, payload.expiry) == (TINY.chain_id, nonce, expiry)
    assert payload.body == body
    assert payload.sender == KEY.public
    assert BUILDER.address == KEY.address == payload.sender_address


@given(small_bodies)
def test_default_fee_is_twice_the_minimum_for_the_size(body: Body) -> None:
    bundle = BUILDER.build(body, Terms(0, 9))
    kib = -(-len(encode(bundle)) // 1024)
    assert size_in_kib(bundle) == kib
    fee = bundle.transaction.payload.fee
    minimum = TINY.min_fee_per_kib * kib
    # The size is taken with the widest fee, which may start one more KiB.
    assert fee in (2 * minimum, 2 * (minimum + TINY.min_fee_per_kib))


@given(small_bodies, st.integers(0, 10**9))
def test_fee_by_rate(body: Body, rate: int) -> None:
    bundle = BUILDER.build(body, Terms(0, 9, fee_per_kib=rate))
    kib = size_in_kib(bundle)
    assert bundle.transaction.payload.fee in (rate * kib, rate * (kib + 1))


def test_given_fee_wins_and_may_be_zero() -> None:
    for fee in (0, 1, MAX_INT):
        bundle = BUILDER.build(ClaimJob(H), Terms(0, 9, fee=fee, fee_per_kib=7))
        assert bundle.transaction.payload.fee == fee


def test_chunks_are_paid_for() -> None:
    upload = uploads(TINY, bytes(CHUNK_BYTES))[0]
    bundle = BUILDER.build(upload.body, Terms(0, 9), upload.chunks)
    assert bundle.chunks == upload.chunks
    assert bundle.transaction.payload.fee == 2 * TINY.min_fee_per_kib * 65


@pytest.mark.parametrize(
    "terms",
    [
        Terms(-1, 9),
        Terms(0, -1),
        Terms(MAX_INT + 1, 9),
        Terms(1 << 70, 9),
        Terms(0, 9, fee=-1),
        Terms(0, 9, fee=MAX_INT + 1),
        Terms(0, 9, fee_per_kib=-1),
        Terms(0, 9, fee_per_kib=MAX_INT),
        Terms(0, 9, fee_per_kib=1 << 70),
    ],
)
def test_numbers_out_of_range(terms: Terms) -> None:
    large = Transfer((Output(H, 1),) * 100)
    with pytest.raises(UserError, match="not a possible transaction"):
        BUILDER.build(large, terms)


@pytest.mark.parametrize(
    "body",
    [
        Transfer((Output(H, MAX_INT + 1),)),
        Transfer((Output(b"short", 1),)),
        UploadBlob(H, 1, 0, 0),
        RegisterModel("\udc80", H, H, "", ()),
    ],
)
def test_bodies_out_of_range(body: Body) -> None:
    with pytest.raises(UserError, match="not a possible transaction"):
        BUILDER.build(body, Terms(0, 9))


def check_uploads(params: Params, data: bytes, first: int) -> None:
    root, chunks = split_blob(data)
    budget = params.max_chunk_bytes // UPLOADS_PER_BLOCK
    expected = first
    for upload in uploads(params, data, first):
        body = upload.body
        assert (body.root, body.size, body.first_chunk) == (root, len(data), expected)
        assert body.chunk_count == len(upload.chunks) <= MAX_UPLOAD_CHUNKS
        for offset, chunk in enumerate(upload.chunks):
            verify_chunk(root, len(data), expected + offset, chunk)
        used = sum(len(encode(chunk)) for chunk in upload.chunks)
        assert used <= budget or body.chunk_count == 1
        assert used <= params.max_chunk_bytes
        expected += body.chunk_count
    assert expected == max(first, len(chunks))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NETWORKS), st.integers(1, 20 * CHUNK_BYTES), st.integers(0, 21))
def test_uploads_cover_the_blob_in_order(params: Params, size: int, first: int) -> None:
    check_uploads(params, bytes(size), min(first, chunk_count(size)))


def test_uploads_of_a_large_blob() -> None:
    check_uploads(MAINNET, bytes(150 * CHUNK_BYTES + 1), 0)
    assert len(uploads(MAINNET, bytes(150 * CHUNK_BYTES))) == 10


def test_upload_is_bounded_by_the_number_of_chunks_too() -> None:
    wide = replace(MAINNET, max_chunk_bytes=1 << 30)
    parts = uploads(wide, bytes(150 * CHUNK_BYTES))
    assert [part.body.chunk_count for part in parts] == [64, 64, 22]


def test_complete_blob_needs_no_upload() -> None:
    assert uploads(TINY, bytes(3 * CHUNK_BYTES), 3) == []


def test_empty_blob() -> None:
    with pytest.raises(UserError, match="cannot be uploaded: a blob of 0 bytes"):
        uploads(TINY, b"")


@pytest.mark.parametrize("params", NETWORKS)
def test_largest_upload_fits_a_bundle(params: Params) -> None:
    for upload in uploads(params, bytes(40 * CHUNK_BYTES)):
        bundle = Builder(params, KEY).build(upload.body, Terms(0, 9), upload.chunks)
        assert decode(Bundle, encode(bundle), MAX_BUNDLE_BYTES) == bundle
