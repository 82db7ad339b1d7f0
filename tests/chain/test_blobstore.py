"""Blobs on the chain: uploaded over several blocks, read back whole, never half."""

import random

import pytest
from pouw.chain.blobstore import StoredBlobs, chunk_writes
from pouw.chain.chainstate import Chain
from pouw.chain.schema import chunk_key
from pouw.chain.statetree import FLAT_PREFIX
from pouw.consensus.records import blob_key
from pouw.core.blob import CHUNK_BYTES, split_blob
from pouw.core.block import Block
from pouw.core.errors import StorageError
from pouw.core.hashing import Hash
from pouw.tests.chain.conftest import OpenStore
from pouw.tests.chain.workshop import FAUCET, Forge, audit, feed, open_chain, uploads

DATA = random.Random(1).randbytes(4 * CHUNK_BYTES + 17)
ROOT, CHUNKS = split_blob(DATA)


def upload_blocks(forge: Forge, parent: Hash, each: int = 2) -> list[Block]:
    """Mine one block for every part of the blob."""
    blocks: list[Block] = []
    nonce = forge.account(parent, FAUCET.address).nonce
    for bundle in uploads(FAUCET, DATA, nonce, each):
        blocks.append(forge.mine(parent, [bundle]))
        parent = blocks[-1].id
    return blocks


def test_a_blob_uploaded_over_several_blocks_is_read_back(chain: Chain, forge: Forge) -> None:
    blocks = upload_blocks(forge, forge.genesis.id)
    assert len(blocks) == 3
    for block in blocks:
        with pytest.raises(StorageError):
            chain.blobs.blob(ROOT)
        feed(chain, block)
    assert chain.blobs.blob(ROOT) == DATA
    audit(chain, forge)


def test_several_uploads_in_one_block_keep_their_own_chunks(chain: Chain, forge: Forge) -> None:
    others = [random.Random(i).randbytes(CHUNK_BYTES + i) for i in (2, 3)]
    bundles = [
        bundle
        for number, data in enumerate(others)
        for bundle in uploads(FAUCET, data, number, each=2)
    ]
    feed(chain, forge.mine(forge.genesis.id, bundles))
    assert [chain.blobs.blob(split_blob(data)[0]) for data in others] == others


def test_a_reorg_takes_a_blob_back_and_a_second_one_restores_it(chain: Chain, forge: Forge) -> None:
    blocks = upload_blocks(forge, forge.genesis.id)
    rival = forge.chain_of(blocks[0].id, 3, later=2)
    feed(chain, *blocks, *rival)
    assert chain.tip.id == rival[-1].id
    with pytest.raises(StorageError):
        chain.blobs.blob(ROOT)
    feed(chain, *forge.chain_of(blocks[-1].id, 2))
    assert chain.blobs.blob(ROOT) == DATA


def test_a_blob_whose_time_is_over_is_gone(chain: Chain, forge: Forge) -> None:
    blocks = upload_blocks(forge, forge.genesis.id)
    rest = forge.chain_of(blocks[-1].id, forge.params.blob_window - len(blocks))
    feed(chain, *blocks, *rest)
    assert chain.blobs.blob(ROOT) == DATA
    feed(chain, forge.mine(rest[-1].id))
    with pytest.raises(StorageError, match="not in the state"):
        chain.blobs.blob(ROOT)


def test_a_lost_chunk_is_named(new_store: OpenStore, forge: Forge) -> None:
    store = new_store()
    chain = open_chain(store)
    feed(chain, *upload_blocks(forge, forge.genesis.id))
    store.write({chunk_key(ROOT, 3): None})
    with pytest.raises(StorageError, match="chunk 3 of blob"):
        chain.blobs.blob(ROOT)


def test_a_damaged_record_is_the_disk_s_fault(new_store: OpenStore, forge: Forge) -> None:
    store = new_store()
    chain = open_chain(store)
    feed(chain, *upload_blocks(forge, forge.genesis.id))
    store.write({FLAT_PREFIX + blob_key(ROOT): b"\x91\x00"})
    with pytest.raises(StorageError, match="BlobRecord in the database is damaged"):
        StoredBlobs(store, chain.state).blob(ROOT)


def test_chunks_are_stored_under_root_and_number(forge: Forge) -> None:
    body = upload_blocks(forge, forge.genesis.id)[1].body
    expected = {chunk_key(ROOT, i): CHUNKS[i].data for i in (2, 3)}
    assert dict(chunk_writes(body)) == expected
