"""Invalid blocks: each is named by its rule, remembered, and leaves no trace in the state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import pytest
from pouw.chain.chainstate import Chain, ChainChange
from pouw.core.blob import CHUNK_BYTES, split_blob
from pouw.core.block import Block, BlockBody, seal
from pouw.core.codec import encode
from pouw.core.errors import BodyMismatch, RuleViolation
from pouw.core.hashing import ZERO_HASH, Hash, u256
from pouw.core.ticket import MAX_DEPTH, TILE, Opening
from pouw.core.transaction import Bundle, Output, RegisterModel, Transaction, Transfer, UploadBlob
from pouw.genesis import TINY
from pouw.tests.chain.conftest import OpenChain, OpenStore
from pouw.tests.chain.workshop import (
    FAUCET,
    KEYS,
    MINER,
    NOW,
    Forge,
    active_records,
    assemble,
    audit,
    feed,
    find_proof,
    offer,
    open_chain,
    pay,
    transaction_of,
    uploads,
)

ALICE = KEYS[0]
Tamper: TypeAlias = Callable[[Forge, Hash], Block]


def resealed(block: Block, **head: Any) -> Block:
    changed = msgspec.structs.replace(block.sealed.head, **head)
    return Block(seal(MINER, block.header, changed), block.body)


def on_header(**fields: Any) -> Tamper:
    return lambda forge, parent: forge.mine(parent, **fields)


def with_payment(sender_amount: int = 1, **payload: Any) -> Tamper:
    def tampered(forge: Forge, parent: Hash) -> Block:
        return forge.mine(
            parent, [forge.payment(parent, FAUCET, ALICE.address, sender_amount, **payload)]
        )

    return tampered


def forged_signature(forge: Forge, parent: Hash) -> Block:
    good = forge.payment(parent, FAUCET, ALICE.address, 1)
    return forge.mine(parent, [Transaction(good.payload, bytes(64))])


def unsigned(forge: Forge, parent: Hash) -> Block:
    block = forge.mine(parent)
    return Block(msgspec.structs.replace(block.sealed, signature=bytes(64)), block.body)


def too_many_chunks(forge: Forge, parent: Hash) -> Block:
    data = bytes(TINY.max_chunk_bytes + 1)
    return forge.mine(parent, list(uploads(FAUCET, data, 1, each=64)))


def too_many_bytes(forge: Forge, parent: Hash) -> Block:
    outputs = tuple(Output(bytes([i % 256, i // 256]) * 16, 1) for i in range(1000))
    body = Transfer(outputs)
    return forge.mine(parent, [transaction_of(FAUCET, body, 1 + n) for n in range(60)])


def out_of_order_blob(forge: Forge, parent: Hash) -> Block:
    _, second = uploads(FAUCET, bytes(2 * CHUNK_BYTES), 0, each=1)
    return forge.mine(parent, [Bundle(transaction_of(FAUCET, upload_of(second), 1), second.chunks)])


def upload_of(bundle: Bundle) -> UploadBlob:
    body = bundle.transaction.payload.body
    assert isinstance(body, UploadBlob)
    return body


HEADER_CASES: dict[str, tuple[str, Tamper]] = {
    "version": ("header-version", on_header(version=2)),
    "height": ("header-height", on_header(height=7)),
    "early": ("header-time", on_header(time=TINY.genesis_time)),
    "difficulty": ("header-difficulty", on_header(difficulty=u256(1))),
    "signature": ("header-signature", unsigned),
    "shape": ("ticket-shape", lambda f, p: resealed(f.mine(p), k=257)),
}
BODY_CASES: dict[str, tuple[str, Tamper]] = {
    "lanes": ("ticket-lanes", lambda f, p: resealed(f.mine(p), lanes=bytes(128))),
    "transaction signature": ("tx-signature", forged_signature),
    "chunk budget": ("block-chunks", too_many_chunks),
    "byte budget": ("block-bytes", too_many_bytes),
}
STATE_CASES: dict[str, tuple[str, Tamper]] = {
    "state root": ("state-root", on_header(state_root=ZERO_HASH)),
    "payout unlike the root": ("state-root", on_header(payout=ALICE.address)),
    "nonce": ("tx-nonce", with_payment(nonce=9)),
    "balance": ("balance", with_payment(10**18)),
    "nothing": ("transfer-zero", with_payment(0)),
    "other chain": ("tx-chain", with_payment(chain_id=9)),
    "expired": ("tx-expired", with_payment(expiry=1)),
    "blob order": ("blob-order", out_of_order_blob),
}
CASES = {**HEADER_CASES, **BODY_CASES, **STATE_CASES}


@pytest.mark.parametrize("case", CASES)
def test_an_invalid_block_is_named_and_leaves_no_trace(
    new_store: OpenStore, forge: Forge, case: str
) -> None:
    rule, tamper = CASES[case]
    store = new_store()
    chain = open_chain(store)
    payment = forge.payment(forge.genesis.id, FAUCET, ALICE.address, 10**9)
    base = forge.mine(forge.genesis.id, [payment])
    feed(chain, base)
    bad = tamper(forge, base.id)
    before, changes = active_records(store), list[ChainChange]()
    chain.listeners.append(changes.append)
    with pytest.raises(RuleViolation) as refused:
        feed(chain, bad)
    assert refused.value.rule == rule
    assert active_records(store) == before
    assert not changes
    assert (chain.index.get(bad.id) is None) == (case in HEADER_CASES)
    if case in HEADER_CASES:
        return
    for again in (chain, open_chain(store)):
        entry = again.index.get(bad.id)
        assert entry is not None
        assert entry.invalid == rule
        with pytest.raises(RuleViolation) as remembered:
            again.accept_body(bad.id, bad.body)
        assert remembered.value.rule == rule
        with pytest.raises(RuleViolation, match="header-branch"):
            again.accept_header(heir(forge, bad).sealed, NOW)
        assert again.index.best_header.id == base.id
        assert again.wanted_bodies(9) == []
    feed(chain, forge.mine(base.id))
    audit(chain, forge)


def heir(forge: Forge, bad: Block) -> Block:
    """Mine a header on a block that the forge cannot build on."""
    header = msgspec.structs.replace(
        bad.header, parent=bad.id, height=bad.header.height + 1, time=bad.header.time + 1
    )
    return assemble(header, MINER)


def test_a_registration_beyond_the_block_s_check_budget(new_chain: OpenChain) -> None:
    params = replace(TINY, block_check_bytes=1000)
    forge = Forge(params)
    chain = new_chain(params)
    data = bytes(1001)
    (bundle,) = uploads(FAUCET, data, 0, each=1)
    base = forge.mine(forge.genesis.id, [bundle])
    root = split_blob(data)[0]
    registration = RegisterModel("large", root, root, "", ())
    bad = forge.mine(base.id, [transaction_of(FAUCET, registration, 1)])
    feed(chain, base)
    with pytest.raises(RuleViolation, match="block-budget"):
        feed(chain, bad)
    audit(chain, forge)


def other_bodies(block: Block) -> dict[str, BlockBody]:
    body, opening = block.body, block.body.opening
    swap = msgspec.structs.replace
    return {
        "no transactions": swap(body, transactions=()),
        "another order": swap(body, transactions=body.transactions[::-1]),
        "another signature": swap(
            body,
            transactions=(
                swap(body.transactions[0], signature=bytes(64)),
                *body.transactions[1:],
            ),
        ),
        "no chunks": swap(body, chunks=()),
        "a chunk twice": swap(body, chunks=body.chunks * 2),
        "another chunk": swap(body, chunks=(swap(body.chunks[0], data=b"lie"),)),
        "padded opening": swap(body, opening=swap(opening, a_rows=bytes(16))),
        "padded path": swap(body, opening=swap(opening, b_path=(ZERO_HASH,))),
    }


@pytest.mark.parametrize("case", range(8))
def test_another_block_s_body_condemns_nobody(
    new_store: OpenStore, forge: Forge, case: int
) -> None:
    store = new_store()
    chain = open_chain(store)
    (bundle,) = uploads(FAUCET, b"truth", 0, each=1)
    payment = pay(FAUCET, ALICE.address, 1, 1)
    block = forge.mine(forge.genesis.id, [bundle, payment])
    chain.accept_header(block.sealed, NOW)
    wrong = list(other_bodies(block).values())[case]
    for again in (chain, open_chain(store)):
        with pytest.raises(BodyMismatch):
            again.accept_body(block.id, wrong)
        assert again.body(block.id) is None
        assert again.wanted_bodies(1) == [block.id]
    chain.accept_body(block.id, block.body)
    assert chain.tip.id == block.id
    audit(chain, forge)


def test_a_body_that_a_peer_inflated_beyond_the_limit_condemns_nobody(
    new_chain: OpenChain, forge: Forge
) -> None:
    """The head binds the opening: one that does not match it says nothing of the block."""
    payment = forge.payment(forge.genesis.id, FAUCET, ALICE.address, 1)
    block = forge.mine(forge.genesis.id, [payment])
    params = replace(TINY, max_block_bytes=len(encode(block.body)))
    chain = new_chain(params)
    chain.accept_header(block.sealed, NOW)
    inflated = Opening(bytes(TILE * MAX_DEPTH), (), bytes(TILE * MAX_DEPTH), ())
    with pytest.raises(BodyMismatch):
        chain.accept_body(block.id, msgspec.structs.replace(block.body, opening=inflated))
    chain.accept_body(block.id, block.body)
    assert chain.tip.id == block.id


def test_two_proofs_of_one_header_are_two_blocks(chain: Chain, forge: Forge) -> None:
    first = forge.mine(forge.genesis.id)
    head, opening = find_proof(first.header)
    other = msgspec.structs.replace(head, nonce=b"\x01" + bytes(7), lanes=bytes(128))
    second = Block(seal(MINER, first.header, other), BlockBody(opening, (), ()))
    offer(chain, second, first)
    assert chain.tip.id == first.id, "the same header with a false proof must not block it"
